"""/api/agents/{id}/runs and /api/runs/{id}"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from agents.models import Attempt, Run
from streaming.model.events import draft
from streaming.model.fold import waiting_runs
from tests.api.conftest import field, problem, write


@pytest.fixture
def run_id(api, agent_id):
    status, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})
    assert status == 202, body
    return body["id"]


def finish(agent_id: str, run_id: str, *more, status: str = "completed") -> None:
    write(
        agent_id, [draft("status", run_id, status="running"), *more, draft("done", run_id, status=status, result="42")]
    )


# POST /api/agents/{id}/runs ----------------------------------------------------------------------------------------


def test_post_queues_a_run_that_every_tab_sees_at_once(api, agent_id, no_worker):
    status, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello", "metadata": {"from": "test"}})
    assert status == 202
    assert (body["status"], body["number"], body["metadata"]) == ("queued", 1, {"from": "test"})
    state = api.get(f"/api/agents/{agent_id}/snapshot")["state"]
    assert waiting_runs(state) == [body["id"]]
    assert (state["queue"][0]["prompt"], state["messages"]) == ("Hello", [])
    assert no_worker == [agent_id]


def test_post_keeps_any_text(api, agent_id):
    text = "  ünï\r\n\t😀 \u2028 </script> \x01 "
    _, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": text})
    assert api.get(f"/api/runs/{body['id']}")["input"] == text


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": {"content": "x"}}, "input"),
        ({"input": "x", "strategy": "hope"}, "strategy"),
        ({"input": "x", "strategy": 1}, "strategy"),
        ({"input": "x", "budget": 5}, "budget"),
        ({"input": "x", "budget": {"usd": 1}}, "budget.usd"),
        ({"input": "x", "budget": {"tokens": 0}}, "budget.tokens"),
        ({"input": "x", "budget": {"tokens": "5"}}, "budget.tokens"),
        ({"input": "x", "budget": {"model_calls": 1.5}}, "budget.model_calls"),
        ({"input": "x", "budget": {"exceeded": "ask"}}, "budget.exceeded"),
        ({"input": "x", "metadata": "x"}, "metadata"),
        ({"input": "x", "inputs": "x"}, "inputs"),
    ],
)
def test_post_names_the_field_that_is_wrong(api, agent_id, body, wrong):
    assert field(api.call("POST", f"/api/agents/{agent_id}/runs", body)) == wrong
    assert Run.objects.count() == 0


def test_post_to_steer_is_a_run_of_its_own_until_a_program_has_taken_it(api, agent_id, run_id):
    status, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x", "strategy": "steer"})
    assert (status, body["status"], body["strategy"], body["number"]) == (202, "queued", "steer", 2)


def test_post_with_reject_while_a_run_is_open_is_a_conflict(api, agent_id, run_id):
    answer = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x", "strategy": "reject"})
    assert problem(answer) == (409, "agent-busy")


def test_post_with_interrupt_cancels_what_is_open(api, agent_id, run_id):
    status, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x", "strategy": "interrupt"})
    assert status == 202
    assert api.get(f"/api/runs/{run_id}")["status"] == "cancelled"
    assert api.get(f"/api/agents/{agent_id}/snapshot")["state"]["queue"][0]["run_id"] == body["id"]


# Idempotency-Key ---------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_run(api, agent_id):
    send = lambda: api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"}, **{"Idempotency-Key": "k 1"})  # noqa: E731
    assert send()[1]["id"] == send()[1]["id"]
    assert Run.objects.count() == 1


def test_the_same_key_with_another_body_is_a_conflict(api, agent_id):
    path, key = f"/api/agents/{agent_id}/runs", {"Idempotency-Key": "k"}
    api.call("POST", path, {"input": "x"}, **key)
    assert problem(api.call("POST", path, {"input": "y"}, **key)) == (409, "idempotency-conflict")


def test_another_agent_may_use_the_same_key(api, agent_id):
    other = api.call("POST", "/api/agents", {"definition": "demo"})[1]["id"]
    for given in (agent_id, other):
        assert api.call("POST", f"/api/agents/{given}/runs", {"input": "x"}, **{"Idempotency-Key": "k"})[0] == 202
    assert Run.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "é", "\x01"])
def test_a_key_that_is_none_is_refused(api, agent_id, key):
    answer = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"}, **{"Idempotency-Key": key})
    assert field(answer) == "Idempotency-Key"


def test_no_more_runs_wait_than_may(api, agent_id, settings):
    settings.QUEUE_MAX_RUNS = 2
    path, body = f"/api/agents/{agent_id}/runs", {"input": "x"}
    first, _ = (api.call("POST", path, body, **{"Idempotency-Key": key})[1]["id"] for key in "ab")
    for strategy in ("enqueue", "steer", "interrupt"):
        answer = api.send("POST", path, {**body, "strategy": strategy})
        assert problem((answer.status_code, answer.json())) == (429, "queue-full")
        assert int(answer["Retry-After"]) > 0
    assert problem(api.call("POST", f"/api/runs/{first}/retry")) == (429, "queue-full")
    assert api.call("POST", path, body, **{"Idempotency-Key": "a"})[1]["id"] == first, "nothing new is asked for"
    other = api.call("POST", "/api/agents", {"definition": "demo", "input": "x"})
    assert other[0] == 201, "each agent has a queue of its own"
    write(agent_id, [draft("status", first, status="running")])
    assert api.call("POST", path, body)[0] == 202, "one has begun"


def test_many_posts_at_once_do_not_fill_the_queue_over_its_limit(api, agent_id, settings):
    settings.QUEUE_MAX_RUNS = 3

    def send(_: int) -> int:
        try:
            return int(api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"})[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(send, range(6))) == [202] * 3 + [429] * 3


def test_many_posts_with_one_key_at_once_give_one_run(api, agent_id):
    def send(_: int) -> str:
        try:
            found: str = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"}, **{"Idempotency-Key": "k"})[
                1
            ]["id"]
            return found
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(send, range(8)))) == 1
    assert Run.objects.count() == 1


# GET ---------------------------------------------------------------------------------------------------------------


def test_list_shows_the_newest_first_and_filters_by_status(api, agent_id, run_id):
    second = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "two"})[1]["id"]
    finish(agent_id, run_id)
    body = api.get(f"/api/agents/{agent_id}/runs")
    assert [run["id"] for run in body["runs"]] == [second, run_id]
    assert body["total"] == 2
    body = api.get(f"/api/agents/{agent_id}/runs?status=completed&limit=1")
    assert [run["id"] for run in body["runs"]] == [run_id]
    assert field(api.call("GET", f"/api/agents/{agent_id}/runs?status=idle")) == "status"


def test_read_gives_result_usage_and_attempts(api, agent_id, run_id):
    Attempt.objects.create(
        run_id=run_id, number=1, engine="docker", worker="w", exit_code=0, outcome="exit", finished_at=timezone.now()
    )
    finish(agent_id, run_id)
    body = api.get(f"/api/runs/{run_id}")
    assert (body["status"], body["result"], body["error"]) == ("completed", "42", None)
    assert body["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost_usd": None}
    assert [(attempt["number"], attempt["outcome"]) for attempt in body["attempts"]] == [(1, "exit")]
    assert "container_ref" not in body["attempts"][0]


def test_read_gives_the_error_of_a_failed_run(api, agent_id, run_id):
    finish(agent_id, run_id, draft("error", run_id, code="time-limit", message="too long"), status="failed")
    body = api.get(f"/api/runs/{run_id}")
    assert (body["status"], body["error"]) == ("failed", {"code": "time-limit", "message": "too long"})


RUN_ADDRESSES = {
    ("GET", ""): None,
    ("POST", "/cancel"): None,
    ("POST", "/retry"): None,
    ("POST", "/resume"): None,
    ("POST", "/move"): {"before": None},
    ("POST", "/approvals/a"): {"decision": "approve"},
}


@pytest.mark.parametrize(("method", "rest"), RUN_ADDRESSES)
def test_somebody_elses_missing_and_malformed_runs_are_not_found(stranger, run_id, method, rest):
    for given in (run_id, str(uuid.uuid4()), "x", "%00"):
        answer = stranger.call(method, f"/api/runs/{given}{rest}", RUN_ADDRESSES[method, rest])
        assert problem(answer) == (404, "not-found")
    assert Run.objects.get().cancel_requested_at is None


# Cancel and retry --------------------------------------------------------------------------------------------------


def test_cancel_in_the_queue_ends_the_run_at_once_and_can_be_repeated(api, agent_id, run_id):
    for _ in range(2):
        status, body = api.call("POST", f"/api/runs/{run_id}/cancel")
        assert (status, body["status"]) == (202, "cancelled")
    types = [event["type"] for event in api.get(f"/api/agents/{agent_id}/events?run={run_id}")["events"]]
    assert types == ["message", "status", "status", "done"]


def test_cancel_of_an_active_run_is_noted_until_somebody_acts(api, agent_id, run_id, no_worker):
    write(agent_id, [draft("status", run_id, status="running")])
    status, body = api.call("POST", f"/api/runs/{run_id}/cancel")
    assert (status, body["status"]) == (202, "running")
    assert body["cancel_requested_at"]
    assert no_worker[-1] == agent_id


def test_cancel_of_a_finished_run_changes_nothing(api, agent_id, run_id):
    finish(agent_id, run_id)
    status, body = api.call("POST", f"/api/runs/{run_id}/cancel")
    assert (status, body["status"], body["cancel_requested_at"]) == (202, "completed", None)


def test_retry_is_a_new_run_with_the_same_input(api, agent_id, run_id):
    finish(agent_id, run_id, status="failed")
    status, body = api.call("POST", f"/api/runs/{run_id}/retry")
    assert status == 202
    assert (body["input"], body["retry_of"], body["number"]) == ("Hello", run_id, 2)


def test_resume_is_a_new_run_behind_one_that_has_ended(api, agent_id, run_id):
    assert problem(api.call("POST", f"/api/runs/{run_id}/resume")) == (409, "run-not-ended")
    finish(agent_id, run_id, status="failed")
    status, body = api.call("POST", f"/api/runs/{run_id}/resume", {"input": "Try the other door"})
    assert (status, body["input"], body["retry_of"]) == (202, "Try the other door", run_id)
    assert api.call("POST", f"/api/runs/{run_id}/resume")[1]["input"].startswith("You were interrupted")
    assert field(api.call("POST", f"/api/runs/{run_id}/resume", {"input": ""})) == "input"


# Order -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(api, agent_id, run_id):
    path = f"/api/agents/{agent_id}/runs"
    return [run_id, *(api.call("POST", path, {"input": text})[1]["id"] for text in ("two", "three"))]


def queue(api, agent_id):
    return waiting_runs(api.get(f"/api/agents/{agent_id}/snapshot")["state"])


def test_a_run_is_moved_before_another_or_to_the_end(api, agent_id, three):
    one, two, last = three
    for moved, before, order in (
        (last, two, [one, last, two]),
        (last, one, [last, one, two]),
        (last, None, [one, two, last]),
        (one, last, [two, one, last]),
        (one, last, [two, one, last]),
    ):
        status, body = api.call("POST", f"/api/runs/{moved}/move", {"before": before})
        assert (status, body["id"], body["status"]) == (202, moved, "queued")
        assert queue(api, agent_id) == order
    posted = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "four"})[1]["id"]
    assert queue(api, agent_id) == [two, one, last, posted]


def test_each_move_is_one_event_and_one_that_moves_nothing_none(api, agent_id, three):
    for moved, before in ((three[2], three[0]), (three[2], three[0]), (three[0], None)):
        api.call("POST", f"/api/runs/{moved}/move", {"before": before})
    events = api.get(f"/api/agents/{agent_id}/events?type=status")["events"]
    said = [(event["run_id"], event["data"]) for event in events if "position" in event["data"]]
    assert said == [
        (three[2], {"status": "queued", "reason": "moved", "position": 0}),
        (three[0], {"status": "queued", "reason": "moved", "position": 2}),
    ]


def test_what_does_not_wait_in_the_queue_is_neither_moved_nor_moved_before(api, agent_id, three):
    one, two, last = three
    write(agent_id, [draft("status", one, status="running")])
    for moved, before, wrong in ((one, two, None), (last, one, "before")):
        answer = api.call("POST", f"/api/runs/{moved}/move", {"before": before})
        assert problem(answer) == (409, "run-not-queued")
        assert answer[1]["error"]["details"].get("field") == wrong
        assert "has begun" in answer[1]["error"]["message"]
    write(agent_id, [draft("done", one, status="completed")])
    answer = api.call("POST", f"/api/runs/{one}/move", {"before": None})
    assert "has ended" in answer[1]["error"]["message"]
    api.call("POST", f"/api/runs/{two}/cancel")
    assert problem(api.call("POST", f"/api/runs/{last}/move", {"before": two})) == (409, "run-not-queued")
    assert queue(api, agent_id) == [last]


def test_a_place_is_asked_for_by_a_run_of_the_same_agent_and_the_same_user(api, stranger, agent_id, three):
    path = f"/api/runs/{three[2]}/move"
    other = api.call("POST", "/api/agents", {"definition": "demo", "input": "x"})[1]["run"]["id"]
    theirs = stranger.call("POST", "/api/agents", {"definition": "demo", "input": "x"})[1]["run"]["id"]
    for before in (other, three[2]):
        answer = api.call("POST", path, {"before": before})
        assert (problem(answer), field(answer)) == ((422, "invalid-input"), "before")
    for before in (theirs, str(uuid.uuid4()), "x"):
        assert problem(api.call("POST", path, {"before": before})) == (404, "not-found")
    for body in ({}, {"before": 1}, {"before": three[0], "after": three[1]}):
        assert field(api.call("POST", path, body)) in ("before", "after")
    assert queue(api, agent_id) == three


# Approvals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(agent_id, run_id):
    write(
        agent_id,
        [
            draft("status", run_id, status="running"),
            draft("approval-request", run_id, approval_id="a/1", question="Delete?", options=["yes", "no"]),
        ],
    )
    return run_id


def test_the_first_answer_counts(api, asking):
    path = f"/api/runs/{asking}/approvals/a/1"
    assert api.call("POST", path, {"decision": "yes", "reason": "go"}) == (
        200,
        {"approval_id": "a/1", "decision": "yes"},
    )
    assert problem(api.call("POST", path, {"decision": "no"})) == (409, "already-answered")


def test_an_answer_must_be_one_of_the_options(api, asking):
    assert field(api.call("POST", f"/api/runs/{asking}/approvals/a/1", {"decision": "maybe"})) == "decision"


def test_an_answer_to_no_question_is_not_found(api, asking):
    assert problem(api.call("POST", f"/api/runs/{asking}/approvals/b", {"decision": "yes"})) == (404, "not-found")
    assert problem(api.call("POST", f"/api/runs/{asking}/approvals/%00", {"decision": "yes"})) == (404, "not-found")


def test_an_answer_after_the_end_is_a_conflict(api, agent_id, asking):
    write(agent_id, [draft("done", asking, status="failed")])
    assert problem(api.call("POST", f"/api/runs/{asking}/approvals/a/1", {"decision": "yes"})) == (409, "run-finished")


def test_a_budget_can_only_narrow_that_of_the_definition(api, agent_id, settings):
    with settings.DEFINITIONS_FILE.open("a") as file:
        file.write("[definitions.demo.budget]\ntokens = 100\ncost_usd = 0.5\n")
    path = f"/api/agents/{agent_id}/runs"
    for budget, wrong in (({"tokens": 101}, "budget.tokens"), ({"tokens": 1, "cost_usd": 0.6}, "budget.cost_usd")):
        answer = api.call("POST", path, {"input": "x", "budget": budget})
        assert (problem(answer), field(answer)) == ((422, "invalid-input"), wrong)
    assert Run.objects.count() == 0
    status, body = api.call("POST", path, {"input": "x", "budget": {"tokens": 100, "model_calls": 7}})
    assert (status, body["budget"]) == (202, {"tokens": 100, "model_calls": 7})
    again = api.call("POST", f"/api/runs/{body['id']}/retry")[1]
    assert again["budget"] == body["budget"]
