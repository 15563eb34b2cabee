"""Strategy `steer`: to the program at work, or later as a run of its own; and going on behind a run that ended."""

from __future__ import annotations

import json

import pytest

from agents.errors import RunNotEnded
from agents.models import Run
from agents.programs.history import UNFINISHED
from agents.runs import commands
from agents.worker.execution import Execution
from containers.errors import EngineError
from containers.protocols import jsonl
from tests.agents.site import Site, statuses, text
from tests.faults.waiting import until

LISTENS = """
say("text", content="at work. ")
told = read()
note("told", json.dumps(told) + "\\n")
say("text", content=told["content"])
wait("go")
"""


def steer(site: Site, run: Run, words: str = "Be brief.") -> Run:
    return commands.submit_run(run.agent, words, strategy="steer")


def of(site: Site, run: Run) -> list[str]:
    return statuses(site.events(run))


def test_a_prompt_goes_to_the_program_at_work(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("listens", LISTENS, steering=True))
    any_site.wait_event(run, "text")
    handed = steer(any_site, run)
    (told,) = map(json.loads, any_site.wait_file(run, "told").splitlines())
    assert told == {"type": "message", "content": "Be brief.", "id": str(handed.pk)}
    any_site.wait_status(handed, "completed")
    any_site.let(run, "go")
    events = any_site.end(run)
    assert text(events) == "at work. Be brief."
    assert of(any_site, handed) == ["queued", "completed"]
    assert of(any_site, run) == ["queued", "running", "completed"]
    theirs = [event.data for event in any_site.events(handed) if event.type == "status"]
    assert theirs[-1]["reason"] == f"handed to run {run.pk}"


def test_what_was_handed_over_is_part_of_the_conversation(site: Site) -> None:
    site.worker()
    name = site.define("listens", LISTENS, steering=True)
    run = site.start(name, "First")
    site.wait_event(run, "text")
    site.wait_status(steer(site, run), "completed")
    site.let(run, "go")
    site.end(run)
    site.define("listens", 'say("done", result=[m["content"] for m in start["history"] if m["role"] == "user"])')
    assert site.end(commands.submit_run(run.agent, "Last"))[-1].data["result"] == ["First", "Be brief."]


def test_a_program_that_takes_no_messages_gets_a_run_of_its_own(site: Site) -> None:
    site.worker()
    run = site.start(site.define("works", 'say("text", content="x")\nwait("go")'))
    site.wait_event(run, "text")
    later = steer(site, run)
    site.let(run, "go")
    site.end(later)
    assert of(site, later) == ["queued", "running", "completed"]


def test_without_a_run_it_is_a_run(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", "", steering=True))
    run = commands.submit_run(agent, "go", strategy="steer")
    site.end(run)
    assert of(site, run) == ["queued", "running", "completed"]


def test_what_the_program_did_not_live_to_hear_is_executed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stdin takes nothing more."""
    site.worker()
    run = site.start(site.define("ends", 'wait("go")', steering=True))
    site.wait_status(run, "running")
    with monkeypatch.context() as broken:

        def refuse(*_: object, **__: object) -> bytes:
            raise EngineError("it does not read its stdin")

        broken.setattr("agents.worker.execution.steering.jsonl.message", refuse)
        later = steer(site, run)
        site.let(run, "go")
        site.end(run)
    site.end(later)
    assert of(site, later) == ["queued", "running", "completed"]


def test_what_the_program_may_have_ended_without_reading_is_executed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written to its stdin, and it said `done`."""
    send = Execution._send

    async def send_and_end(execution: Execution, line: bytes, *_: str) -> None:
        await send(execution, line)
        if b"Be brief." in line and execution.run_id == str(run.pk):
            site.let(run, "go")
            await until(lambda: execution._pump is not None and execution._pump.program_done, 30, "it says done")

    monkeypatch.setattr(Execution, "_send", send_and_end)
    site.worker()
    run = site.start(site.define("ends", 'wait("go"); say("done", result="x")', steering=True))
    site.wait_status(run, "running")
    later = steer(site, run)
    site.end(run)
    site.end(later)
    assert of(site, later) == ["queued", "running", "completed"]


def test_it_can_be_cancelled_while_it_waits_in_the_queue(site: Site) -> None:
    site.worker()
    run = site.start(site.define("works", 'wait("go")'))
    site.wait_status(run, "running")
    later = steer(site, run)
    commands.request_cancel(later)
    site.wait_status(later, "cancelled")
    site.let(run, "go")
    site.end(run)


def test_one_whose_record_was_lost_is_sent_again_with_the_same_id(
    any_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after it told the program, before it wrote that down."""
    code = 'for _ in range(2):\n    note("told", json.dumps(read()) + "\\n")\nwait("go")\n'
    first = any_site.worker()
    run = any_site.start(any_site.define("twice", 'say("text", content="x")\n' + code, steering=True))
    any_site.wait_event(run, "text")
    with monkeypatch.context() as broken:

        def die(*_: object) -> None:
            raise ConnectionError("the worker dies here")

        broken.setattr("agents.worker.execution.steering.RunSummary.done", die)
        handed = steer(any_site, run)
        any_site.wait_file(run, "told")
        any_site.kill(first)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    any_site.wait_status(handed, "completed")
    any_site.let(run, "go")
    any_site.end(run)
    one, two = map(json.loads, any_site.wait_file(run, "told").splitlines())
    assert one == two


def test_what_could_not_be_passed_on_once_is_passed_on_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to poke the worker for it."""
    site.worker()
    run = site.start(site.define("listens", LISTENS, steering=True))
    site.wait_event(run, "text")
    whole = jsonl.message
    refused: list[tuple[str, ...]] = []

    def refuse_once(*words: str, **more: str) -> bytes:
        if refused:
            return whole(*words, **more)
        refused.append(words)
        raise EngineError("its stdin is full")

    monkeypatch.setattr("agents.worker.execution.steering.jsonl.message", refuse_once)
    handed = steer(site, run)
    site.wait_status(handed, "completed")
    assert refused
    site.let(run, "go")
    assert text(site.end(run)) == "at work. Be brief."


def test_a_failed_run_is_continued_with_what_it_had_said(site: Site) -> None:
    site.worker()
    run = site.start(site.define("fails", 'say("text", content="half")\nsys.exit(3)'), "Do it")
    site.end(run)
    site.define("fails", 'say("done", result=[start["input"]["content"], start["history"][-1]["content"]])')
    again = commands.resume(run)
    assert again.retry_of == run
    assert site.end(again)[-1].data["result"] == [commands.RESUME_INPUT, f"half\n\n{UNFINISHED['failed']}"]
    assert site.end(commands.resume(again, "And more"))[-1].data["result"][0] == "And more"


def test_a_run_that_goes_on_is_not_continued(site: Site) -> None:
    run = site.start(site.define("fine", ""))
    with pytest.raises(RunNotEnded):
        commands.resume(run)
