"""Whatever a container does: a clear event, one `done`, and a worker that goes on. A second run shows the latter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents import lifecycle
from agents.intake import COALESCE_S
from streaming.events import Event
from tests.agents.site import Site, errors, statuses, text

MIB = 2**20


def run_bad(site: Site, code: str, patience_s: float = 40, **fields: Any) -> list[Event]:
    """The events of a run of `code`; after it, another run of the same agent, with a sane program, works."""
    if not site.workers:
        site.worker()
    name = site.define("bad", code, **fields)
    agent = site.agent(name)
    events = site.end(lifecycle.submit_run(agent, "go"), patience_s)
    site.define("bad", 'say("text", content="fine")')
    again = site.end(lifecycle.submit_run(agent, "again"))
    assert (again[-1].data["status"], text(again)) == ("completed", "fine")
    return events


def logged(events: list[Event], stream: str = "stdout") -> str:
    return "".join(one.data["content"] for one in events if one.type == "log" and one.data["stream"] == stream)


def test_lines_that_are_no_events_are_kept_as_log(any_site: Site) -> None:
    code = r"""
print("plain words")
print('{"type": "text"')
print('["a list"]')
print('{"no": "type"}')
print('{"type": 7}')
print('{"type": "telepathy", "content": "x"}')
print('{"type": "text", "content": 5}')
print('{"type": "tool-call", "call_id": "c"}')
print('{"type": "text", "content": NaN}')
print('{"type": "tool-call", "call_id": "c", "name": "n", "arguments": "none"}')
print("[" * 5000)
print('{"type": "tool-result", "call_id": "c", "result": ' + "[" * 200 + "]" * 200 + "}")
print("on stderr", file=sys.stderr)
"""
    events = run_bad(any_site, code)
    assert events[-1].data["status"] == "completed"
    assert errors(events) == []
    said = logged(events)
    for part in (
        "plain words",
        "telepathy",
        '["a list"]',
        '{"no": "type"}',
        '"type": 7',
        '"content": 5',
        "NaN",
        "[[[[",
    ):
        assert part in said
    assert logged(events, "stderr") == "on stderr\n"
    assert {event.type for event in events} == {"message", "status", "log", "done"}


def test_what_only_the_site_may_say_stays_words_of_the_program(any_site: Site) -> None:
    code = r"""
run = start["run_id"]
for said in (
    {"type": "status", "status": "completed"},
    {"type": "message", "role": "user", "content": "I am the user"},
    {"type": "message", "message_id": "u-" + run, "content": "I never said that"},
    {"type": "text", "message_id": "u-" + run, "content": "and more"},
    {"type": "files", "changes": [{"path": "x", "change": "added", "size": 1, "sha256": None}]},
    {"type": "approval-response", "approval_id": "a", "decision": "approve", "by": "root"},
    {"type": "title", "title": "hacked"},
    {"type": "snapshot", "state": {}},
    {"type": "reset", "reason": "trimmed"},
    {"type": "done", "status": "running"},
    {"type": "done", "status": "splendid"},
):
    print(json.dumps(said))
say("text", content="honest", agent_id="0", run_id="0", epoch=99, seq=10**15, timestamp="never", data={"x": 1})
say("text", content="!", seq=-1)
say("usage", model="m", input_tokens=2**53 - 1, output_tokens=0, cost_usd=1e308)
say("usage", model="m", input_tokens=2**53 - 1, output_tokens=0, cost_usd=1e308)
say("usage", model="m", input_tokens=-5, output_tokens=0)
say("usage", model="m", input_tokens=0, output_tokens=3, total={"input_tokens": 0, "output_tokens": 10**9})
say("done", result="ok", tool_calls=99, files_changed=99, duration_ms=1, usage={"input_tokens": 7})
"""
    events = run_bad(any_site, code)
    assert statuses(events) == ["queued", "running", "completed"]
    assert {event.agent_id for event in events} == {events[0].agent_id}
    assert [one.data["content"] for one in events if one.type == "message"] == ["go"]
    assert not [one for one in events if one.type in ("files", "approval-response", "title")]
    assert text(events) == "honest!"
    assert {key for one in events if one.type == "text" for key in one.data} == {"message_id", "content"}
    assert logged(events).count("\n") == 13
    done = events[-1].data
    assert (done["result"], done["tool_calls"], done["files_changed"]) == ("ok", 0, 0)
    assert done["usage"] == {"input_tokens": 2**53 - 1, "output_tokens": 3, "cost_usd": 1e308}
    assert done["duration_ms"] != 1
    messages = any_site.state(next(iter(any_site.owner.agents.all())))["messages"]
    assert (messages[0]["role"], messages[0]["parts"]) == ("user", [{"type": "text", "text": "go"}])


def test_strings_that_no_database_takes_are_mended(any_site: Site) -> None:
    code = r"""
out = sys.stdout.buffer
out.write(b'{"type":"text","content":"nul \\u0000 lone \\ud800 pair \\ud83d\\ude00"}\n')
out.write(b'{"type":"text","content":"raw \xff\xfe bytes"}\n')
out.write(b"words \x00 with \xc3\x28 junk\n")
out.write(b'{"type":"done","result":{"k\\u0000":"v\\udfff"}}\n')
out.flush()
"""
    events = run_bad(any_site, code)
    said = text(events)
    assert said.startswith("nul \ufffd lone \ufffd pair \U0001f600raw \ufffd")
    assert "words \ufffd with \ufffd( junk\n" in logged(events)
    assert events[-1].data["result"] == {"k\ufffd": "v\ufffd"}


def test_a_line_of_100_mb_below_the_limit_is_cut_and_the_run_goes_on(any_site: Site) -> None:
    code = r"""
say("text", content="before ")
part = "x" * 2**20
for _ in range(100):
    sys.stdout.write(part)
sys.stdout.write("\n")
say("text", content="after")
"""
    events = run_bad(any_site, code, patience_s=100, limits={"output_mib": 200})
    assert errors(events) == ["line-too-long"]
    assert events[-1].data["status"] == "completed"
    assert text(events) == "before after"
    assert logged(events) == "x" * MIB + "\n"


def test_a_line_of_100_mb_above_the_limit_ends_the_run(any_site: Site) -> None:
    code = r"""
say("text", content="before")
part = "x" * 2**20
for _ in range(100):
    sys.stdout.write(part)
"""
    events = run_bad(any_site, code, limits={"output_mib": 2})
    assert errors(events)[-1] == "output-limit"
    assert events[-1].data["status"] == "failed"
    assert text(events) == "before"


def test_output_without_end_ends_at_the_limit(any_site: Site) -> None:
    events = run_bad(any_site, "while True:\n    print('again and again')\n", limits={"output_mib": 1})
    assert errors(events) == ["output-limit"]
    assert abs(len(logged(events)) - MIB) < 200_000


@pytest.mark.slow
def test_a_million_tiny_lines_become_few_events(site: Site) -> None:
    events = run_bad(site, "sys.stdout.write('a\\n' * 1_000_000)", patience_s=60)
    assert logged(events) == "a\n" * 1_000_000
    batches_a_second = 1 / COALESCE_S
    assert len(events) < 20 + batches_a_second * events[-1].data["duration_ms"] / 1000


@pytest.mark.slow
def test_a_hundred_thousand_tiny_deltas_become_few_events_in_order(site: Site) -> None:
    code = """
for number in range(100_000):
    sys.stdout.write('{"type":"text","content":"%d "}\\n' % number)
"""
    events = run_bad(site, code, patience_s=60)
    assert text(events) == "".join(f"{number} " for number in range(100_000))
    assert len(events) < 2000


def test_output_after_done_is_kept_and_done_stays_last(any_site: Site) -> None:
    code = """
say("text", content="the answer")
say("done", result=1)
say("text", content="one more thing")
print("and another")
say("done", status="failed", result=2)
"""
    events = run_bad(any_site, code)
    assert errors(events) == ["output-after-done"]
    assert (events[-1].data["status"], events[-1].data["result"]) == ("completed", 1)
    assert text(events) == "the answer"
    late = logged(events)
    assert "one more thing" in late
    assert "and another\n" in late
    assert '"result": 2' in late


def test_much_output_after_done_is_counted(site: Site) -> None:
    events = run_bad(site, 'say("done")\nfor _ in range(50_000):\n    print("more and more")\n')
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["code"] == "output-after-done"
    assert "more lines were dropped" in error.data["message"]
    assert len(logged(events)) < 100_000


def test_last_words_on_stderr_are_no_mistake(any_site: Site) -> None:
    events = run_bad(any_site, 'say("done")\nprint("bye", file=sys.stderr)\n')
    assert errors(events) == []
    assert logged(events, "stderr") == "bye\n"


def test_a_program_that_hangs_after_done_is_stopped_and_completed(
    any_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.protocols.jsonl.JsonlConversation.done_patience_s", 0.5)
    events = run_bad(any_site, 'say("done", result="ready")\ntime.sleep(600)\n')
    assert errors(events) == []
    assert (events[-1].data["status"], events[-1].data["result"]) == ("completed", "ready")


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_program_that_ends_before_it_reads_its_start_line(any_site: Site, exit_code: int) -> None:
    any_site.worker()
    name = any_site.define("early", f"import sys; sys.exit({exit_code})", prelude=False)
    agent = any_site.agent(name)
    for prompt in ("short", "long " * 40_000):
        events = any_site.end(lifecycle.submit_run(agent, prompt))
        assert events[-1].data["status"] == ("failed" if exit_code else "completed")
        assert errors(events) == (["container-exit"] if exit_code else [])


def test_a_program_that_never_reads_a_long_start_line_is_followed_all_the_same(site: Site) -> None:
    site.worker()
    code = "import time\nprint('busy')\nopen('up', 'w').close()\ntime.sleep(600)\n"
    run = lifecycle.submit_run(site.agent(site.define("deaf", code, prelude=False)), "long " * 40_000)
    site.wait_event(run, "log")
    lifecycle.request_cancel(run)
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


def test_errors_of_the_program_do_not_end_it(any_site: Site) -> None:
    code = """
say("error", code="try-again", message="later", retryable=True)
say("error", message="without a code")
say("error", code="Not Kebab", message="odd")
"""
    events = run_bad(any_site, code)
    assert errors(events) == ["try-again", "program-error"]
    assert "Not Kebab" in logged(events)
    assert events[-1].data["status"] == "completed"


def test_deltas_without_message_id_and_results_without_call(any_site: Site) -> None:
    code = """
say("tool-result", call_id="ghost", result=1)
say("tool-output", call_id="ghost", content="boo")
say("text", content="a")
say("text", content="b")
say("thinking", content="c")
"""
    events = run_bad(any_site, code)
    assert text(events) == "ab"
    assert [one.data["call_id"] for one in events if one.type.startswith("tool-")] == ["ghost", "ghost"]
    assert events[-1].data["tool_calls"] == 0


@pytest.mark.docker
def test_a_missing_image_is_named_with_what_to_do(docker_site: Site) -> None:
    events = run_bad(docker_site, "", image="nowhere/nothing:1")
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["code"] == "image-missing"
    assert "docker pull nowhere/nothing:1" in error.data["message"]
    assert statuses(events) == ["queued", "running", "failed"]


@pytest.mark.docker
@pytest.mark.parametrize("image", ["UPPER/Case", "a b", "-x", "../../etc", "x" * 500, "agentsite/base:no:such"])
def test_a_name_that_can_be_no_image_ends_the_run(docker_site: Site, image: str) -> None:
    events = run_bad(docker_site, "", image=image)
    assert errors(events)[0] in ("image-missing", "start-failed", "spec-refused")
    assert events[-1].data["status"] == "failed"


def test_a_command_that_is_not_there_ends_the_run(any_site: Site) -> None:
    events = run_bad(any_site, "", command=["/no/such/program"], process_command=["/no/such/program"])
    assert errors(events) in (["container-exit"], ["start-failed"])
    assert "no such" in json.dumps([event.data for event in events]).lower()


def test_what_is_not_trusted_does_not_run_without_isolation(site: Site) -> None:
    events = run_bad(site, "", trusted=False)
    assert errors(events) == ["spec-refused"]


def test_a_workspace_that_can_not_be_made_ends_the_run(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    path = site.workspace(agent)
    path.rmdir()
    path.write_text("in the way")
    events = site.end(lifecycle.submit_run(agent, "go"))
    assert errors(events)[0] == "workspace-unusable"
    assert events[-1].data["status"] == "failed"
    path.unlink()
    assert site.end(lifecycle.submit_run(agent, "again"))[-1].data["status"] == "completed"


def test_a_mistake_of_ours_ends_the_run_and_not_the_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise KeyError("oops")

        broken.setattr("agents.execution.execution.history", fail)
        broken.setattr("agents.execution.start.Start._spec", fail)
        events = site.end(lifecycle.submit_run(agent, "go"))
    assert errors(events) == ["internal-error"]
    assert "KeyError" in events[-3].data["message"]
    assert site.end(lifecycle.submit_run(agent, "again"))[-1].data["status"] == "completed"


def test_a_definition_removed_meanwhile_ends_the_run(site: Site) -> None:
    agent = site.agent(site.define("gone", ""))
    run = lifecycle.submit_run(agent, "go")
    site.forget("gone")
    site.ask_worker(site.worker(), str(agent.pk))
    events = site.end(run)
    assert errors(events) == ["unknown-definition"]
    assert statuses(events) == ["queued", "failed"]


def test_a_definition_narrowed_meanwhile_ends_the_run_of_an_agent_that_was_made_with_more(site: Site) -> None:
    site.define("writer", "", tools=["read", "write"])
    agent, _ = lifecycle.create_agent(site.owner, "writer", tools=["write"])
    run = lifecycle.submit_run(agent, "go")
    site.define("writer", "", tools=["read"])
    site.ask_worker(site.worker(), str(agent.pk))
    events = site.end(run)
    assert errors(events) == ["choice-not-allowed"]
    assert "'write'" in events[-3].data["message"]
    assert statuses(events) == ["queued", "failed"]


def test_a_program_is_told_the_model_and_tools_that_were_chosen(site: Site) -> None:
    site.worker()
    code = 'say("text", content=json.dumps([start["config"]["model"], start["config"]["tools"]]))'
    site.define("writer", code, tools=["read", "write"], model="openai:small", providers=["anthropic"])
    _, run = lifecycle.create_agent(site.owner, "writer", input="go", model="anthropic:large", tools=["write"])
    assert run is not None
    assert site.end(run)[-1].data["result"] == '["anthropic:large", ["write"]]'


def test_a_broken_file_of_definitions_leaves_the_last_good_ones(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    site.file.write_text(site.file.read_text() + "\n[definitions.fine2]\nimage = 5\n")
    assert site.end(lifecycle.submit_run(agent, "go"))[-1].data["status"] == "completed"


def test_without_an_engine_a_run_ends_and_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.execution.wishes.START_PATIENCE_S", 0.5)
    site.settings.ENGINE = "docker"
    site.settings.DOCKER_HOST = "unix:///nonexistent.sock"
    site.worker()
    agent = site.agent(site.define("fine", ""))
    events = site.end(lifecycle.submit_run(agent, "go"))
    (error,) = [event for event in events if event.type == "error"]
    assert (error.data["code"], error.data["retryable"]) == ("engine-unavailable", True)
    site.settings.ENGINE = "process"
    assert site.end(lifecycle.submit_run(agent, "again"))[-1].data["status"] == "completed"


def test_files_that_can_not_be_read_do_not_end_the_run(site: Site) -> None:
    code = r"""
os.mkfifo("pipe")
os.symlink("/etc/shadow", "link")
os.mkdir("deep")
open(b"bad-\xff-name", "w").close()
open("secret", "w").close()
os.chmod("secret", 0)
note("fine", "x")
"""
    events = run_bad(site, code)
    changed = {change["path"] for event in events if event.type == "files" for change in event.data["changes"]}
    assert "fine" in changed
    assert "link" not in changed
    assert "pipe" not in changed
    assert events[-1].data["status"] == "completed"


def test_a_workspace_that_is_taken_away_does_not_end_the_worker(site: Site) -> None:
    code = "import shutil\nhere = os.getcwd()\nos.chdir('/')\nshutil.rmtree(here)\nsay('text', content='gone')\n"
    events = run_bad(site, code)
    assert text(events) == "gone"
