"""Questions of a program, and answers of people."""

from __future__ import annotations

import json
from time import monotonic

import pytest

from agents.errors import AlreadyAnswered, InputInvalid, NoSuchApproval, RunFinished
from agents.log.live_state import state_at_tip
from agents.models import Attempt, Run
from agents.runs import commands
from streaming.errors import JournalUnavailable
from streaming.store import journal
from tests.agents.site import Site, attempts, errors, statuses, until
from tests.agents.test_order import in_threads

ASKS = """
say("approval-request", approval_id="a1", question="Delete it?", options=["yes", "no"])
answer = read()
note("answers", json.dumps(answer) + "\\n")
say("text", content=answer["decision"])
wait("go")
"""


def test_ask_wait_answer_go_on(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("asks", ASKS))
    any_site.wait_status(run, "waiting")
    assert any_site.state(run)["status"] == "waiting"
    commands.answer_approval(run, "a1", "no", "ada", "keep it")
    any_site.wait_status(run, "running")
    any_site.let(run, "go")
    events = any_site.end(run)
    assert statuses(events) == ["queued", "running", "waiting", "running", "completed"]
    (response,) = [event.data for event in events if event.type == "approval-response"]
    assert response == {"approval_id": "a1", "decision": "no", "by": "ada", "reason": "keep it"}
    assert events[-1].data["result"] == "no"
    (got,) = map(json.loads, any_site.wait_file(run, "answers").splitlines())
    assert got == {"type": "approval", "approval_id": "a1", "decision": "no", "reason": "keep it", "id": "a1"}


def test_an_answer_at_once_finds_the_question(site: Site) -> None:
    """It shows live before it is in the database."""
    site.settings.COMMIT_INTERVAL_S = 1.0
    site.worker()
    run = site.start(site.define("asks", ASKS.replace("answer = read()", 'note("asked"); answer = read()')))
    site.wait_file(run, "asked")
    commands.answer_approval(run, "a1", "yes", "ada")
    site.let(run, "go")
    assert site.end(run)[-1].data["result"] == "yes"


def test_the_first_answer_wins(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", ASKS))
    site.wait_status(run, "waiting")
    options = ["yes", "no"]
    results = in_threads(6, lambda at: commands.answer_approval(run, "a1", options[at % 2], f"user {at}"))
    assert results.count(None) == 1
    assert sum(isinstance(result, AlreadyAnswered) for result in results) == 5
    site.let(run, "go")
    events = site.end(run)
    (response,) = [event.data for event in events if event.type == "approval-response"]
    assert response["by"] == f"user {results.index(None)}"
    assert events[-1].data["result"] == response["decision"]


def test_what_was_not_asked_can_not_be_answered(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", ASKS))
    site.wait_status(run, "waiting")
    with pytest.raises(InputInvalid, match="yes, no"):
        commands.answer_approval(run, "a1", "maybe", "ada")
    with pytest.raises(NoSuchApproval):
        commands.answer_approval(run, "a2", "yes", "ada")
    commands.answer_approval(run, "a1", "yes", "ada")
    site.let(run, "go")
    site.end(run)
    with pytest.raises(RunFinished):
        commands.answer_approval(Run.objects.get(pk=run.pk), "a1", "no", "ada")


def test_a_question_that_is_seen_is_there_although_its_worker_died_before_it_was_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only Redis has it, and so do those who follow the agent."""
    first = site.worker()
    run = site.start(site.define("asks", 'wait("ask")' + ASKS))
    site.wait_status(run, "running")
    with monkeypatch.context() as broken:
        broken.setattr(journal, "commit", away)
        site.let(run, "ask")
        until(lambda: state_at_tip(str(run.agent_id))["approvals"], "the question is seen")
        assert site.state(run)["approvals"] == []
        site.kill(first)
    commands.answer_approval(run, "a1", "yes", "ada")
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    site.let(run, "go")
    assert site.end(run)[-1].data["result"] == "yes"


def away(*_: object, **__: object) -> None:
    raise JournalUnavailable("the database is away")


def test_a_question_under_a_used_name_is_no_question(site: Site) -> None:
    """An answer that was given to one question must not count for another."""
    site.worker()
    code = """
say("approval-request", approval_id="a1", question="May I read?")
read()
say("approval-request", approval_id="a1", question="May I delete everything?")
say("approval-request", approval_id="a2", question="Really?", options=[])
note("answers", json.dumps(read()))
"""
    run = site.start(site.define("sly", code))
    site.wait_status(run, "waiting")
    commands.answer_approval(run, "a1", "approve", "ada")
    site.wait_event(run, "approval-request", 2)
    commands.answer_approval(run, "a2", "deny", "ada")
    events = site.end(run)
    asked = [event.data for event in events if event.type == "approval-request"]
    assert [one["question"] for one in asked] == ["May I read?", "Really?"]
    assert asked[1]["options"] == ["approve", "deny"]
    assert json.loads(site.wait_file(run, "answers"))["approval_id"] == "a2"


def test_one_of_two_answers_leaves_the_run_waiting(site: Site) -> None:
    site.worker()
    code = """
for name in ("a", "b"):
    say("approval-request", approval_id=name, question=name)
read(); note("one"); read()
"""
    run = site.start(site.define("two", code))
    site.wait_event(run, "approval-request", 2)
    commands.answer_approval(run, "b", "approve", "ada")
    site.wait_file(run, "one")
    site.wait_event(run, "approval-response")
    run.refresh_from_db()
    assert run.status == "waiting"
    commands.answer_approval(run, "a", "deny", "ada")
    assert statuses(site.end(run))[-2:] == ["running", "completed"]


def test_an_answer_given_while_nobody_supervises_arrives_with_the_next_worker(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("asks", ASKS))
    any_site.wait_status(run, "waiting")
    any_site.detach(first)
    for work in any_site._work:
        work.result(10)
    commands.answer_approval(run, "a1", "yes", "ada")
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    any_site.let(run, "go")
    events = any_site.end(run)
    assert statuses(events) == ["queued", "running", "waiting", "waiting", "running", "completed"]
    assert len(any_site.wait_file(run, "answers").splitlines()) == 1


def test_an_answer_whose_record_was_lost_is_sent_again(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies after it told the program, before it wrote that down."""
    first = any_site.worker()
    code = """
say("approval-request", approval_id="a1", question="?")
for _ in range(2):
    note("answers", json.dumps(read()) + "\\n")
"""
    run = any_site.start(any_site.define("twice", code))
    any_site.wait_status(run, "waiting")
    with monkeypatch.context() as broken:
        from agents.worker.execution.answers import Answers

        async def lose(self: Answers, *_: object) -> None:
            raise ConnectionError("the worker dies here")

        broken.setattr(Answers, "_record", lose)
        commands.answer_approval(run, "a1", "approve", "ada")
        any_site.wait_file(run, "answers")
        any_site.kill(first)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert [event.type for event in events].count("approval-response") == 1
    one, two = map(json.loads, any_site.wait_file(run, "answers").splitlines())
    assert one == two


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken_over", [False, True])
def test_the_time_that_a_run_waits_does_not_count(site: Site, taken_over: bool) -> None:
    """People may sleep over a question; a worker that takes the run over knows how long they did."""
    first = site.worker()
    run = site.start(site.define("asks", ASKS, limits={"wall_s": 2.0}))
    site.wait_status(run, "waiting")
    if taken_over:
        until(lambda: Attempt.objects.filter(run=run).exclude(waiting_since=None).exists(), "its waiting is noted")
    asked_at = monotonic()
    until(lambda: monotonic() > asked_at + 2.5, "more time than the run may take")
    if taken_over:
        site.kill(first)
        site.expire(run.agent)
        site.ask_worker(site.worker(), str(run.agent_id))
        site.wait_event(run, "status", 4)
    commands.answer_approval(run, "a1", "yes", "ada")
    site.wait_status(run, "running")
    site.let(run, "go")
    assert site.end(run)[-1].data["status"] == "completed"
    (attempt,) = attempts(run)
    assert attempt.waiting_since is None
    assert attempt.waited_s > 2


def test_time_goes_on_after_the_answer(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", ASKS, limits={"wall_s": 2.0}))
    site.wait_status(run, "waiting")
    commands.answer_approval(run, "a1", "yes", "ada")
    assert errors(site.end(run)) == ["time-limit"]


DENIES = 'say("approval-request", approval_id="a1", question="May I?")\nnote("answer", json.dumps(read()))\n'


def test_a_question_that_nobody_answers_is_denied_in_the_end(any_site: Site) -> None:
    any_site.worker()
    run = any_site.start(any_site.define("asks", DENIES, approval_timeout_s=0.5))
    events = any_site.end(run)
    (response,) = [event.data for event in events if event.type == "approval-response"]
    reason = "nobody answered within 0.5 s"
    assert response == {"approval_id": "a1", "decision": "deny", "by": "timeout", "reason": reason}
    assert json.loads(any_site.wait_file(run, "answer"))["reason"] == reason
    assert statuses(events) == ["queued", "running", "waiting", "running", "completed"]


def test_a_question_that_can_not_be_denied_ends_the_run_in_the_end(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", ASKS, approval_timeout_s=0.5))
    events = site.end(run)
    assert errors(events) == ["approval-timeout"]
    assert "Delete it?: nobody answered within 0.5 s" in next(e for e in events if e.type == "error").data["message"]


def test_an_answer_in_time_is_not_denied(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", DENIES, approval_timeout_s=60))
    site.wait_status(run, "waiting")
    commands.answer_approval(run, "a1", "approve", "ada")
    responses = [event.data for event in site.end(run) if event.type == "approval-response"]
    assert [(one["decision"], one["by"]) for one in responses] == [("approve", "ada")]


@pytest.mark.parametrize(("rule", "told"), [("none", None), ("all", "all"), (["bash:rm *"], ["bash:rm *"])])
def test_a_program_is_told_what_needs_approval(site: Site, rule: object, told: object) -> None:
    site.worker()
    run = site.start(site.define("fine", 'say("done", result=start["config"].get("approvals"))', approvals=rule))
    assert site.end(run)[-1].data.get("result") == told
