"""`POST /api/agents/{id}/stream`: where its stream begins, and that it takes and refuses what `POST …/runs` does.

Asked of the gate itself; tests/journeys follow such a stream over a real server.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from agents.asgi.stream_gate import AgentGate
from agents.log import lease as leases
from agents.models import Agent, Run
from agents.runs import commands
from streaming.http.problem import Problem
from streaming.http.sse import Wanted
from streaming.model.cursor import START, Cursor
from streaming.model.events import Event, draft, now
from streaming.model.folded import Folded
from streaming.read.hub import current_hub
from streaming.read.reader import Reader
from streaming.store import journal
from streaming.store.database import in_database
from tests.api.conftest import ApiClient, write


def opened(api: ApiClient, agent_id: str, body: Any, query: str = "", **headers: str) -> Wanted:
    """What a stream is opened with. Raises Problem."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": "testserver", "content-type": "application/json", **api.headers, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/agents/{agent_id}/stream",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "url_route": {"kwargs": {"agent_id": agent_id}},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    async def ask() -> Wanted:
        try:
            return await AgentGate().open(scope, receive)
        finally:
            await current_hub().stop()

    return asyncio.run(ask())


def refused(api: ApiClient, agent_id: str, body: Any, **headers: str) -> tuple[int, str, str | None]:
    """Status, code, field."""
    with pytest.raises(Problem) as caught:
        opened(api, agent_id, body, **headers)
    problem = caught.value
    return problem.status, problem.code, (problem.details or {}).get("field")


@pytest.fixture
def run_id(agent_id: str) -> str:
    run = Run.objects.create(agent_id=agent_id, number=1, input="x")
    write(agent_id, [draft("status", str(run.pk), status="running")])
    return str(run.pk)


def test_a_stream_begins_behind_what_whoever_posts_has_seen_live(api, agent_id, run_id):
    """The end of the run before it is in Redis, and not in the database yet: it would be told twice."""
    lease = leases.acquire(agent_id, f"test-{uuid.uuid4()}")
    assert lease is not None
    tip = journal.begin(agent_id, lease.epoch, [], "")
    done = draft("done", run_id, status="completed")
    event = Event("done", agent_id, run_id, lease.epoch, tip.seq + 1, now(), done.data)

    async def publish() -> None:
        bus = current_hub().bus
        await bus.fence(agent_id, lease.epoch)
        await bus.publish(agent_id, lease.epoch, event.seq, [event.encode()], "", tip.seq)
        await current_hub().stop()

    asyncio.run(publish())
    wanted = opened(api, agent_id, {"input": "Go on"})
    assert journal.head(agent_id).tip == tip, "it is still nowhere else"
    assert wanted.cursor == Cursor(lease.epoch, tip.seq + 1)
    assert wanted.until_run == str(Run.objects.get(input="Go on").pk)


def test_full_queue_is_refused_with_the_time_to_wait(api, agent_id, run_id, settings):
    settings.QUEUE_MAX_RUNS = 1
    opened(api, agent_id, {"input": "Go on"})
    with pytest.raises(Problem) as refusal:
        opened(api, agent_id, {"input": "And on"})
    assert (refusal.value.status, refusal.value.code) == (429, "queue-full")
    assert dict(refusal.value.headers)["Retry-After"].isdigit()


def test_the_same_request_again_is_the_same_run_from_its_first_event(api, agent_id, run_id):
    before = journal.head(agent_id).tip
    key = {"Idempotency-Key": "k"}
    first = opened(api, agent_id, {"input": "Go on"}, **key)
    run = Run.objects.get(input="Go on")
    write(agent_id, [draft("done", str(run.pk), status="completed")])
    again = opened(api, agent_id, {"input": "Go on"}, **key)
    assert first == again == Wanted(agent_id, before, until_run=str(run.pk))
    assert Run.objects.count() == 2
    assert refused(api, agent_id, {"input": "Something else"}, **key) == (409, "idempotency-conflict", None)


def test_who_comes_at_the_same_time_with_the_same_key_hears_its_first_event_too(api, agent_id, run_id, monkeypatch):
    write(agent_id, [draft("done", run_id, status="completed")])
    before = journal.head(agent_id).tip
    at_tip = Reader.at_tip

    async def when_the_other_was_faster(reader: Reader, agent_id: str) -> Folded:
        monkeypatch.setattr(Reader, "at_tip", at_tip)
        await in_database(submit_and_begin)
        return await at_tip(reader, agent_id)

    def submit_and_begin() -> None:
        run = commands.submit_run(Agent.objects.get(pk=agent_id), "Go on", idempotency_key="k")
        write(agent_id, [draft("status", str(run.pk), status="running")])

    monkeypatch.setattr(Reader, "at_tip", when_the_other_was_faster)
    wanted = opened(api, agent_id, {"input": "Go on"}, **{"Idempotency-Key": "k"})
    assert wanted.cursor == before < journal.head(agent_id).tip
    assert Run.objects.filter(input="Go on").count() == 1


def test_the_first_run_of_an_agent_is_told_from_the_beginning(api, agent_id):
    key = {"Idempotency-Key": "k"}
    assert opened(api, agent_id, {"input": "Go"}, **key).cursor == START
    assert opened(api, agent_id, {"input": "Go"}, **key).cursor == START


def test_budget_and_metadata_are_those_of_the_run(api, agent_id):
    opened(api, agent_id, {"input": "Go", "budget": {"tool_calls": 3}, "metadata": {"a": 1}})
    run = Run.objects.get()
    assert (run.budget, run.metadata) == ({"tool_calls": 3}, {"a": 1})


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "input"),
        ({"input": 1}, "input"),
        ({"input": ""}, "input"),
        ({"input": "a\0"}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"input": "x", "strategy": "bogus"}, "strategy"),
        ({"input": "x", "budget": {"tool_calls": "x"}}, "budget.tool_calls"),
        ({"input": "x", "metadata": [1]}, "metadata"),
        ({"input": "x", "format": "y"}, "format"),
        ([], "body"),
    ],
)
def test_what_runs_refuses_is_refused_in_the_same_words(api, agent_id, body, wrong):
    status, answer = api.call("POST", f"/api/agents/{agent_id}/runs", body)
    with pytest.raises(Problem) as caught:
        opened(api, agent_id, body)
    problem = caught.value
    assert (problem.status, problem.code, problem.details["field"]) == (422, "invalid-input", wrong)
    assert (status, answer["error"]) == (
        422,
        {"code": problem.code, "message": problem.message, "details": problem.details},
    )
    assert not Run.objects.exists()


def test_what_is_no_json_is_refused(api, agent_id):
    assert refused(api, agent_id, b"") == (400, "invalid-json", None)
    assert refused(api, agent_id, b'{"input": NaN}') == (400, "invalid-json", None)
    assert refused(api, agent_id, {"input": "x"}, **{"content-type": "text/plain"})[:2] == (
        415,
        "unsupported-media-type",
    )
    assert refused(api, agent_id, {"input": "x"}, **{"idempotency-key": ""}) == (
        422,
        "invalid-input",
        "Idempotency-Key",
    )
