"""Questions of a program, and answers of people."""

from __future__ import annotations

import json

import pytest

from agents import lifecycle
from agents.errors import AlreadyAnswered, InputInvalid, NoSuchApproval, RunFinished
from agents.models import Run
from tests.agents.site import Site, statuses
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
    lifecycle.answer_approval(run, "a1", "no", "ada", "keep it")
    any_site.wait_status(run, "running")
    any_site.let(run, "go")
    events = any_site.end(run)
    assert statuses(events) == ["queued", "running", "waiting", "running", "completed"]
    (response,) = [event.data for event in events if event.type == "approval-response"]
    assert response == {"approval_id": "a1", "decision": "no", "by": "ada", "reason": "keep it"}
    assert events[-1].data["result"] == "no"
    (got,) = map(json.loads, any_site.wait_file(run, "answers").splitlines())
    assert got == {"type": "approval", "approval_id": "a1", "decision": "no", "id": "a1"}


def test_an_answer_at_once_finds_the_question(site: Site) -> None:
    """It shows live before it is in the database."""
    site.settings.COMMIT_INTERVAL_S = 1.0
    site.worker()
    run = site.start(site.define("asks", ASKS.replace("answer = read()", 'note("asked"); answer = read()')))
    site.wait_file(run, "asked")
    lifecycle.answer_approval(run, "a1", "yes", "ada")
    site.let(run, "go")
    assert site.end(run)[-1].data["result"] == "yes"


def test_the_first_answer_wins(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", ASKS))
    site.wait_status(run, "waiting")
    options = ["yes", "no"]
    results = in_threads(6, lambda at: lifecycle.answer_approval(run, "a1", options[at % 2], f"user {at}"))
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
        lifecycle.answer_approval(run, "a1", "maybe", "ada")
    with pytest.raises(NoSuchApproval):
        lifecycle.answer_approval(run, "a2", "yes", "ada")
    lifecycle.answer_approval(run, "a1", "yes", "ada")
    site.let(run, "go")
    site.end(run)
    with pytest.raises(RunFinished):
        lifecycle.answer_approval(Run.objects.get(pk=run.pk), "a1", "no", "ada")


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
    lifecycle.answer_approval(run, "a1", "approve", "ada")
    site.wait_event(run, "approval-request", 2)
    lifecycle.answer_approval(run, "a2", "deny", "ada")
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
    lifecycle.answer_approval(run, "b", "approve", "ada")
    site.wait_file(run, "one")
    site.wait_event(run, "approval-response")
    run.refresh_from_db()
    assert run.status == "waiting"
    lifecycle.answer_approval(run, "a", "deny", "ada")
    assert statuses(site.end(run))[-2:] == ["running", "completed"]


def test_an_answer_given_while_nobody_supervises_arrives_with_the_next_worker(any_site: Site) -> None:
    first = any_site.worker()
    run = any_site.start(any_site.define("asks", ASKS))
    any_site.wait_status(run, "waiting")
    any_site.detach(first)
    for work in any_site._work:
        work.result(10)
    lifecycle.answer_approval(run, "a1", "yes", "ada")
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
        from agents.execution.answers import Answers

        async def lose(self: Answers, *_: object) -> None:
            raise ConnectionError("the worker dies here")

        broken.setattr(Answers, "_record", lose)
        lifecycle.answer_approval(run, "a1", "approve", "ada")
        any_site.wait_file(run, "answers")
        any_site.kill(first)
    any_site.expire(run.agent)
    any_site.ask_worker(any_site.worker(), str(run.agent_id))
    events = any_site.end(run)
    assert [event.type for event in events].count("approval-response") == 1
    one, two = map(json.loads, any_site.wait_file(run, "answers").splitlines())
    assert one == two
