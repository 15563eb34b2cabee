"""POST /api/agents/{id}/execute"""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from agents.models import Run
from streaming.model.events import draft
from streaming.store.database import in_database
from tests.api.conftest import field, on_postgres, over_asgi, problem, write


@pytest.fixture
def finisher(agent_id, no_worker):
    """Ends the run as a worker would once it is asked for one, in a thread of its own, with this status."""
    threads = []

    def start(status: str = "completed") -> None:
        def work() -> None:
            try:
                while agent_id not in no_worker:
                    time.sleep(0.02)
                run_id = str(Run.objects.get(agent_id=agent_id).pk)
                write(
                    agent_id,
                    [draft("status", run_id, status="running"), draft("done", run_id, status=status, result=42)],
                )
            finally:
                connection.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_the_answer_is_the_run_when_it_has_ended_however(api, agent_id, finisher, status):
    finisher(status)
    code, body = api.call("POST", f"/api/agents/{agent_id}/execute", {"input": "x", "timeout_s": 20})
    assert code == 200
    assert (body["status"], body["result"]) == (status, 42)


def test_after_the_timeout_the_run_goes_on(api, agent_id):
    code, body = api.call("POST", f"/api/agents/{agent_id}/execute", {"input": "x", "timeout_s": 0.2})
    assert (code, body["status"]) == (202, "queued")
    assert api.get(f"/api/runs/{body['id']}")["cancel_requested_at"] is None


def test_the_same_key_goes_on_waiting_for_the_same_run(api, agent_id, finisher):
    body = {"input": "x", "timeout_s": 0.1}
    path, key = f"/api/agents/{agent_id}/execute", {"Idempotency-Key": "k"}
    first = api.call("POST", path, body, **key)[1]["id"]
    finisher()
    code, again = api.call("POST", path, {**body, "timeout_s": 20}, **key)
    assert (code, again["id"], again["status"]) == (200, first, "completed")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "input"),
        ({"input": "x", "timeout_s": 0}, "timeout_s"),
        ({"input": "x", "timeout_s": -1}, "timeout_s"),
        ({"input": "x", "timeout_s": 1e9}, "timeout_s"),
        ({"input": "x", "timeout_s": "soon"}, "timeout_s"),
    ],
)
def test_a_wrong_field_is_named(api, agent_id, body, wrong):
    assert field(api.call("POST", f"/api/agents/{agent_id}/execute", body)) == wrong


def test_an_agent_deleted_meanwhile_is_not_found(api, agent_id):
    def delete() -> None:
        api.call("DELETE", f"/api/agents/{agent_id}")
        connection.close()

    deleting = threading.Timer(0.5, delete)
    deleting.start()
    answer = api.call("POST", f"/api/agents/{agent_id}/execute", {"input": "x", "timeout_s": 20})
    deleting.join()
    assert problem(answer) == (404, "not-found")


async def post(api, agent_id: str, timeout_s: float) -> int:
    return (await over_asgi(api, "POST", f"/api/agents/{agent_id}/execute", {"input": "x", "timeout_s": timeout_s}))[0]


def open_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        found: int = cursor.fetchone()[0]
        return found


@on_postgres
async def test_a_waiting_request_holds_no_database_connection(api, agent_id):
    """Beside those of the log's own few threads."""
    await asyncio.gather(*(post(api, agent_id, 0.01) for _ in range(3)))  # the log's threads connect
    before = await in_database(open_connections)
    waiting = [asyncio.create_task(post(api, agent_id, 100)) for _ in range(15)]
    deadline = time.monotonic() + 60
    while await in_database(started_runs) < 18 or await in_database(open_connections) > before + settings.DB_THREADS:
        assert time.monotonic() < deadline, "connections are held"
        await asyncio.sleep(0.1)
    assert not any(request.done() for request in waiting)
    await in_database(finish_all)
    assert set(await asyncio.gather(*waiting)) == {200}


def started_runs() -> int:
    return Run.objects.count()


def finish_all() -> None:
    Run.objects.update(status="completed", finished_at=timezone.now())
