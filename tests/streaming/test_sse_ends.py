"""How streams end: with their agent, their client, their server or their patience, and what is refused at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import patch

import pytest

from streaming.errors import JournalUnavailable
from streaming.http.sse import SseApplication
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.endpoint import ClosedGate, Response, Site
from tests.streaming.world import HandWriter, World, text, until

pytestmark = pytest.mark.sqlite


async def test_deleted_agent_ends_its_streams_and_is_not_found(site: Site, world: World, writer: HandWriter):
    responses = [site.get(writer.agent_id), site.get(writer.agent_id, "after=1-6")]
    await responses[0].shows("1-6")
    await in_database(journal.delete, writer.agent_id)
    await world.bus.delete(writer.agent_id)
    for response in responses:
        await response.ends()
    late = site.get(writer.agent_id)
    await late.ends()
    assert late.status == 404
    assert json.loads(late.body)["error"]["code"] == "not-found"


async def test_nobody_is_there_is_404_and_closed_gate_says_why(site: Site, world: World):
    missing = site.get("00000000-0000-7000-8000-000000000000")
    await missing.ends()
    assert missing.status == 404
    closed = site.get("x", app=SseApplication(lambda: world.hub, ClosedGate()))
    await closed.ends()
    assert closed.status == 401
    assert closed.headers["www-authenticate"] == "Bearer"
    assert json.loads(closed.body) == {
        "error": {"code": "not-authenticated", "message": "log in", "details": {"field": "x"}}
    }


async def test_database_away_is_503_and_soon_tried_again(site: Site, writer: HandWriter):
    def away(*args: object) -> None:
        raise JournalUnavailable("away")

    with patch.object(journal, "head", away), patch.object(journal, "page", away):
        response = site.get(writer.agent_id)
        await response.ends()
    assert response.status == 503
    assert response.headers["retry-after"]


async def test_database_that_goes_away_during_replay_ends_the_stream_cleanly(site: Site, writer: HandWriter):
    watching = site.get(writer.agent_id, "after=1-6")
    await writer.publish()
    await watching.shows("1-7")  # so it is live: what it gets from here on needs no database

    def away(*args: object) -> None:
        raise JournalUnavailable("away")

    with patch.object(journal, "page", away):
        response = site.get(writer.agent_id, "after=0-0")
        await response.ends()
    assert (response.status, response.frames) == (200, [])
    assert not watching.complete


async def test_error_that_nobody_thought_of_ends_the_stream_too(site: Site, writer: HandWriter):
    """A response that has begun and never ends would keep its client waiting for ever."""
    with patch("streaming.read.reader.judge", side_effect=ZeroDivisionError):
        response = site.get(writer.agent_id, "after=1-2")
        await response.ends()
    assert response.status == 200


async def test_client_that_leaves_takes_its_stream_with_it(site: Site, world: World, writer: HandWriter):
    responses = [site.get(writer.agent_id) for _ in range(5)]
    for response in responses:
        await response.shows("1-6")
    for response in responses:
        await response.leave()
    assert world.hub.watched == 0
    assert not site.app._open


async def test_closing_server_says_when_to_come_back(site: Site, writer: HandWriter):
    responses = [site.get(writer.agent_id, "after=1-4") for _ in range(30)]
    for response in responses:
        await response.shows("1-6")
    await site.app.drain()
    retries = set()
    for response in responses:
        assert response.complete
        assert response.ids == ["1-5", "1-6"]
        retries.add(int(response.body.decode().splitlines()[-1].removeprefix("retry: ")))
    assert len(retries) > 10, "not all in the same moment"
    assert all(500 <= retry <= 5000 for retry in retries)


async def test_client_that_takes_nothing_is_given_up(site: Site, writer: HandWriter, settings):
    settings.STREAM_SEND_TIMEOUT_S = 0.1
    response = Response()
    stalled = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            stalled.set()
            await asyncio.Event().wait()

    scope = {"type": "http", "path": f"/{writer.agent_id}", "query_string": b"", "headers": [], "method": "GET"}
    async with asyncio.timeout(5):
        await site.app(scope, response.receive, send)
    assert stalled.is_set()


async def test_slow_stream_is_ended_and_resumes_from_its_cursor(site: Site, world: World, settings, monkeypatch):
    """The ring has moved past it while a write to it took long."""
    monkeypatch.setattr("streaming.read.subscriber.SLOW_S", 0.05)
    settings.STREAM_QUEUE_EVENTS = 20
    writer = await world.writer(await world.agent())
    await writer.append([text("a")])
    await writer.flush()
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-1")
    slow_response = Response()
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/{writer.agent_id}",
        "query_string": b"after=1-1",
        "headers": [],
    }
    task = asyncio.create_task(site.app(scope, slow_response.receive, slowly_into(slow_response)))
    await until(lambda: slow_response.status, "it is open")
    for at in range(100):
        await writer.append([text(str(at))])
        await asyncio.sleep(0.005)
    await until(lambda: slow_response.complete, "it is ended")
    await task
    assert slow_response.ids == [f"1-{seq}" for seq in range(2, 2 + len(slow_response.ids))]
    assert len(slow_response.ids) < 100
    resumed = site.get(writer.agent_id, f"after={slow_response.ids[-1] or '1-1'}")
    await resumed.shows("1-101")
    assert resumed.ids[0] == f"1-{2 + len(slow_response.ids)}"
    await response.shows("1-101")
    assert response.ids == [f"1-{seq}" for seq in range(1, 102)]


def slowly_into(response: Response) -> Any:
    async def send(message: dict[str, Any]) -> None:
        if b"id:" in message.get("body", b""):
            await asyncio.sleep(0.3)
        await Response.send(response, message)

    return send


async def test_burst_larger_than_the_ring_ends_nobody(site: Site, world: World, settings):
    settings.STREAM_QUEUE_EVENTS = 20
    writer = await world.writer(await world.agent())
    await writer.append([text("a")])
    response = site.get(writer.agent_id, "after=0-0")
    await response.shows("1-1")
    await writer.append([text(str(at)) for at in range(500)])
    await response.shows("1-501")
    assert response.ids == [f"1-{seq}" for seq in range(1, 502)]
