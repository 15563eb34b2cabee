"""Agents of others on a whole site: one writes a file, with an approval on the way, while its worker is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streaming.model.events import decode
from tests.acp.real_agents import AN_AGENT, CONTENT, Real, check_log, documented, writes
from tests.containers.bench import built_image
from tests.faults.cast import subscriber_problems
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import aside, until
from tests.journeys.acts import QUICK, answered, has_heard_done, restarted, subscribe, whole_log
from tests.journeys.site import UpSite
from tests.provider import MockProvider

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.docker,
    pytest.mark.npm,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
]
"""Whoever is first builds the image."""
PATIENCE_S = 180.0
KEY = "not-a-key"


@pytest_asyncio.fixture
async def provider(real: Real) -> AsyncIterator[MockProvider]:
    with MockProvider(key=KEY) as running:
        running.author = writes(real)
        yield running


@pytest_asyncio.fixture
async def site(tmp_path: Path, real: Real, provider: MockProvider) -> AsyncIterator[UpSite]:
    await built_image(real.name)
    settings = {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": KEY,
        "GEMINI_BASE_URL": provider.url,
        "GEMINI_API_KEY": KEY,
    }
    up = UpSite(tmp_path, "docker", {**QUICK, **settings}, "\n" + documented(real))
    try:
        await aside(up.start)
        yield up
    finally:
        await aside(up.close)


@AN_AGENT
async def test_a_worker_that_is_killed_costs_its_agent_nothing(site: UpSite, provider: MockProvider, real: Real):
    """While it asks whether it may write: it is answered before there is a worker again."""
    async with site.client() as client:
        new = {"definition": real.name, "input": "Write hello.txt."}
        agent_id = (await answered(client.post("/api/agents", json=new)))["id"]
        (run,) = (await answered(client.get(f"/api/agents/{agent_id}/runs")))["runs"]
        subscriber = subscribe(site, agent_id, Habits("0-0"))
        await until(lambda: questions(subscriber), PATIENCE_S, "its question")
        worker = site.child("worker")
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        (question,) = questions(subscriber)
        answer = {"decision": real.allow}
        await answered(client.post(f"/api/runs/{run['id']}/approvals/{question['approval_id']}", json=answer))
        await restarted(site, "worker", worker)
        await until(partial(has_heard_done, subscriber), PATIENCE_S, "its end")
        attempts = (await answered(client.get(f"/api/runs/{run['id']}")))["attempts"]
    await subscriber.stop()
    log = await whole_log(site, agent_id, subscriber.seq)
    assert (log.problems, subscriber_problems(subscriber, log)) == ([], [])
    check_log(log.events, real, "admin")
    assert (site.workspace(agent_id) / "hello.txt").read_text() == CONTENT
    assert len(attempts) == 1
    assert len(provider.requests) == 2  # nothing was asked twice


def questions(subscriber: Subscriber) -> list[dict[str, Any]]:
    events = [decode(seen.payload.decode()) for seen in subscriber.events]
    return [event.data for event in events if event.type == "approval-request"]
