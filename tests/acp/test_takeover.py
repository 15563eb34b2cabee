"""A run of an agent goes from one worker to another: it gets its prompt once, and the log has what it said once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.models import Run
from agents.programs.protocols.acp import AcpConversation
from agents.runs import commands
from agents.worker.execution import Execution
from streaming.model.events import Event
from tests.acp.test_conversation import define, of_type, received, run_of
from tests.agents.site import Site, errors, text, until
from tests.agents.takeover import Halt, halt_in, take

LINES = 20
COUNT = f"count:{LINES} note:finished"
WHOLE = "".join(f"{number} " for number in range(LINES))
SENDS = ("initialize", "session/new", "session/prompt")


def is_whole(site: Site, run: Run) -> list[Event]:
    """Nothing lost, nothing twice, and the prompt was worked on once."""
    events = site.end(run)
    assert errors(events) == []
    assert (events[-1].data["status"], events[-1].data["tool_calls"]) == ("completed", LINES)
    assert text(events) == WHOLE
    assert [one["call_id"] for one in of_type(events, "tool-call")] == [f"c{number + 1}" for number in range(LINES)]
    assert len(of_type(events, "tool-result")) == LINES
    assert site.wait_file(run, "middle") == site.wait_file(run, "finished") == "x"
    assert site.containers(run) == []
    return events


def halt_sending(method: str, engine: Any, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> Halt:
    """Stops the worker that sends that message, before or after it has."""
    halt, real = Halt(), engine.send

    async def send(ref: str, line: bytes) -> None:
        is_it = json.loads(line).get("method") == method and not halt.reached.is_set()
        if is_it and before:
            await halt.here()
        await real(ref, line)
        if is_it and not before:
            await halt.here()

    monkeypatch.setattr(engine, "send", send)
    return halt


def hand_over(site: Site, run: Run, halt: Halt, first: Any, how: str) -> None:
    assert halt.reached.wait(20)
    if how == "kill":
        site.kill(first)
    else:
        site.detach(first)
    halt.go_on.set()
    if how == "detach":
        for work in site._work:
            work.result(20)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))


def _while_sending(site: Site, method: str, before: bool, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.worker()
    agent = site.agent(define(site))
    halt = halt_sending(method, first.submit(first.engines()).result(), monkeypatch, before=before)
    run = commands.submit_run(agent, COUNT)
    site.let(run, "go")
    hand_over(site, run, halt, first, how)
    is_whole(site, run)
    assert len(received(site, run, "session/prompt")) == 1


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("method", SENDS)
@pytest.mark.parametrize("how", ["kill", "detach"])
def test_while_each_message_is_sent(
    site: Site, method: str, before: bool, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _while_sending(site, method, before, how, monkeypatch)


@pytest.mark.docker
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_while_the_prompt_is_sent_to_a_container(
    docker_site: Site, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _while_sending(docker_site, "session/prompt", before, "kill", monkeypatch)


def test_a_prompt_that_was_taken_and_not_noted_is_not_worked_on_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent has it and has said nothing: it is told to drop it, and gets it in another session."""
    first = site.worker()
    agent = site.agent(define(site))
    halt = halt_sending("session/prompt", first.submit(first.engines()).result(), monkeypatch, before=False)
    run = commands.submit_run(agent, f"wait:begin {COUNT}")
    assert halt.reached.wait(20)
    until(lambda: received(site, run, "session/prompt"), "the agent has the prompt")
    hand_over(site, run, halt, first, "kill")
    until(lambda: len(received(site, run, "session/prompt")) == 2, "it gets it again")
    for name in ("begin", "go"):
        site.let(run, name)
    is_whole(site, run)
    (cancelled,) = received(site, run, "session/cancel")
    first_prompt, second_prompt = received(site, run, "session/prompt")
    assert cancelled["sessionId"] == first_prompt["sessionId"] != second_prompt["sessionId"]


@pytest.mark.parametrize("how", ["kill", "detach", "fence"])
def test_in_the_middle(any_site: Site, how: str) -> None:
    any_site.settings.COMMIT_INTERVAL_S = 5.0  # what was printed is in Redis only
    first = any_site.worker()
    run = run_of(any_site, COUNT)
    any_site.wait_file(run, "middle")
    if how == "detach":
        any_site.detach(first)
    elif how == "kill":
        any_site.kill(first)
    any_site.settings.COMMIT_INTERVAL_S = 0.1
    second = any_site.worker()
    take(any_site, run, second)
    until(lambda: "taken over" in str([event.data for event in any_site.events(run)]), "taken over")
    any_site.workers = [second]
    any_site.let(run, "go")
    is_whole(any_site, run)
    assert len(received(any_site, run, "session/prompt")) == 1
    if how == "fence":
        any_site.left.append(first)


def test_an_agent_that_does_not_answer_sync_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.programs.protocols.acp.SYNC_PATIENCE_S", 0.5)
    first = site.worker()
    run = run_of(site, COUNT, env={"SILENT_ON": "_agentsite/sync"})
    site.wait_file(run, "middle")
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    site.let(run, "go")
    is_whole(site, run)


def test_it_has_ended_meanwhile(any_site: Site) -> None:
    """Its answer to the prompt is read by a worker that was not there when it was asked."""
    first = any_site.worker()
    run = run_of(any_site, f"{COUNT} say:.")
    any_site.wait_file(run, "middle")
    any_site.kill(first)
    any_site.let(run, "go")
    any_site.wait_file(run, "finished")
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert (text(events), events[-1].data["status"]) == (f"{WHOLE}.", "completed")


def test_it_is_gone_meanwhile(any_site: Site) -> None:
    """There is nobody left to be asked whether all has been read: the end of its output says so."""
    first = any_site.worker()
    run = run_of(any_site, COUNT, env={"LEAVES": "1"})
    any_site.wait_file(run, "middle")
    any_site.kill(first)
    any_site.let(run, "go")
    second = any_site.worker()
    until(lambda: all(not one.running for one in any_site.containers(run)), "the agent ends alone")
    any_site.expire(run.agent)
    any_site.ask_worker(second, str(run.agent_id))
    is_whole(any_site, run)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_at_the_end(site: Site, before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.worker()
    halt = halt_in(Execution, "_finish", monkeypatch, before=True) if before else None
    halt = halt or halt_in(Execution, "_exit", monkeypatch, before=False)
    run = run_of(site, COUNT)
    site.let(run, "go")
    hand_over(site, run, halt, first, "kill")
    is_whole(site, run)


def test_a_question_stays_open_over_a_takeover(any_site: Site) -> None:
    first = any_site.worker()
    run = run_of(any_site, "ask:x.txt say:.")
    any_site.wait_status(run, "waiting")
    any_site.kill(first)
    (asked,) = any_site.state(run)["approvals"]
    commands.answer_approval(run, asked["approval_id"], "Allow", "ada")
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert text(events) == "go-once."
    assert len(of_type(events, "approval-request")) == len(of_type(events, "approval-response")) == 1
    assert [one["call_id"] for one in of_type(events, "tool-call")] == ["c1"]


def test_an_answer_that_was_given_and_not_noted_is_given_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = site.worker()
    engine = first.submit(first.engines()).result()
    run = run_of(site, "ask:x.txt wait:go say:.")
    site.wait_status(run, "waiting")
    halt = halt_sending_answer(engine, monkeypatch)
    (asked,) = site.state(run)["approvals"]
    commands.answer_approval(run, asked["approval_id"], "Reject", "ada")
    hand_over(site, run, halt, first, "kill")
    site.wait_event(run, "approval-response")
    site.let(run, "go")
    events = site.end(run)
    assert (text(events), events[-1].data["status"]) == ("no.", "completed")
    assert len(of_type(events, "approval-response")) == 1


def halt_sending_answer(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Halt:
    halt, real = Halt(), engine.send

    async def send(ref: str, line: bytes) -> None:
        await real(ref, line)
        if b"outcome" in line and not halt.reached.is_set():
            await halt.here()

    monkeypatch.setattr(engine, "send", send)
    return halt


def test_cancel_between_two_workers(any_site: Site) -> None:
    first = any_site.worker()
    run = run_of(any_site, COUNT)
    any_site.wait_file(run, "middle")
    any_site.kill(first)
    commands.request_cancel(run)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    assert any_site.end(run)[-1].data["status"] == "cancelled"
    assert any_site.containers(run) == []


def test_what_it_printed_while_nobody_read_is_said_by_who_comes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker dies when it has begun the conversation, and before anything of it is in the log."""
    first = site.worker()
    halt = halt_in(AcpConversation, "converse", monkeypatch, before=True)
    run = run_of(site, COUNT)
    site.let(run, "go")
    hand_over(site, run, halt, first, "kill")
    is_whole(site, run)
