"""However a program ends, or does not: a clear event, one `done`, and a worker that goes on."""

from __future__ import annotations

import pytest

from agents.runs import commands
from tests.agents.bad_program import run_bad
from tests.agents.site import Site, errors, text


def test_a_program_that_hangs_after_done_is_stopped_and_completed(
    any_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.programs.protocols.jsonl.JsonlConversation.done_patience_s", 0.5)
    events = run_bad(any_site, 'say("done", result="ready")\ntime.sleep(600)\n')
    assert errors(events) == []
    assert (events[-1].data["status"], events[-1].data["result"]) == ("completed", "ready")


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_program_that_ends_before_it_reads_its_start_line(any_site: Site, exit_code: int) -> None:
    any_site.worker()
    name = any_site.define("early", f"import sys; sys.exit({exit_code})", prelude=False)
    agent = any_site.agent(name)
    for prompt in ("short", "long " * 40_000):
        events = any_site.end(commands.submit_run(agent, prompt))
        assert events[-1].data["status"] == ("failed" if exit_code else "completed")
        assert errors(events) == (["container-exit"] if exit_code else [])


def test_a_program_that_never_reads_a_long_start_line_is_followed_all_the_same(site: Site) -> None:
    site.worker()
    code = "import time\nprint('busy')\nopen('up', 'w').close()\ntime.sleep(600)\n"
    run = commands.submit_run(site.agent(site.define("deaf", code, prelude=False)), "long " * 40_000)
    site.wait_event(run, "log")
    commands.request_cancel(run)
    events = site.end(run, patience_s=8)
    assert events[-1].data["status"] == "cancelled"


def test_a_failure_says_its_code_and_the_last_words_on_stderr(any_site: Site) -> None:
    code = """
say("text", content="half an ans")
for number in range(30):
    print("line", number, file=sys.stderr)
sys.exit(7)
"""
    events = run_bad(any_site, code)
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["code"] == "container-exit"
    assert error.data["message"].splitlines() == ["the program ended with code 7:"] + [
        f"line {n}" for n in range(20, 30)
    ]
    assert text(events) == "half an ans"
    assert events[-1].data["result"] == "half an ans"


def test_done_and_then_a_failure_is_a_failure(any_site: Site) -> None:
    events = run_bad(any_site, 'say("done", result="fine"); sys.exit(3)')
    assert errors(events) == ["container-exit"]
    assert events[-1].data["status"] == "failed"


def test_death_by_signal_names_the_signal(any_site: Site) -> None:
    events = run_bad(any_site, "os.kill(os.getpid(), 9)")
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["message"] == "the program ended with code 137 (SIGKILL)"


@pytest.mark.docker
def test_out_of_memory_is_said(docker_site: Site) -> None:
    events = run_bad(docker_site, 'say("text", content="x"); hold = bytearray(400 * 2**20)', limits={"memory_mib": 64})
    (error,) = [event for event in events if event.type == "error"]
    assert (error.data["code"], error.data["message"]) == (
        "out-of-memory",
        "the program needed more than 64 MiB of memory",
    )


def test_a_mistake_of_ours_ends_the_run_and_not_the_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise KeyError("oops")

        broken.setattr("agents.worker.execution.execution.history", fail)
        broken.setattr("agents.worker.execution.container_start.ContainerStart._spec", fail)
        events = site.end(commands.submit_run(agent, "go"))
    assert errors(events) == ["internal-error"]
    assert "KeyError" in events[-3].data["message"]
    assert site.end(commands.submit_run(agent, "again"))[-1].data["status"] == "completed"
