"""The contract of a stream, over each transport that carries it: server-sent events and the WebSocket."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from unittest.mock import patch

import pytest

from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.transports import Sse, Stream, Transport, WebSocket, cursors, shows
from tests.streaming.world import HandWriter, World, no_pause, redis_command, text, until, write_on

pytestmark = pytest.mark.sqlite


@pytest.fixture(params=[Sse, WebSocket])
async def transport(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Transport]:
    made: Transport = request.param(world)
    yield made
    await made.close()


def types(stream: Stream) -> list[str]:
    return [json.loads(payload)["type"] for payload in stream.payloads]


async def some(stream: Stream, count: int, all_of_it: Callable[[], int | None]) -> None:
    """That many events, or all that there will be once that is known."""
    await until(lambda: len(stream.payloads) >= count or len(stream.payloads) == all_of_it(), f"{count} events")


# What comes -----------------------------------------------------------------------------------------------------------


async def test_without_a_cursor_a_snapshot_comes_first_and_then_every_later_event(
    transport: Transport, writer: HandWriter
):
    stream = transport.open(writer.agent_id)
    await shows(stream, "1-6")
    await writer.publish()
    await shows(stream, "1-7")
    assert cursors(stream) == ["1-3", "1-4", "1-5", "1-6", "1-7"]
    snapshot = json.loads(stream.payloads[0])
    assert (snapshot["type"], snapshot["agent_id"]) == ("snapshot", writer.agent_id)
    assert snapshot["state"]["messages"][0]["parts"] == [{"n": 1, "type": "text", "text": "1-1 1-2 1-3 "}]
    assert stream.payloads[1:] == writer.history[3:]


@pytest.mark.parametrize(("after", "first"), [("0-0", 1), ("1-2", 3), ("1-5", 6), ("1-6", 7)])
async def test_with_a_cursor_exactly_the_events_behind_it_come(
    transport: Transport, writer: HandWriter, after: str, first: int
):
    stream = transport.open(writer.agent_id, after)
    await writer.publish()
    await shows(stream, "1-7")
    assert stream.payloads == writer.history[first - 1 :]


@pytest.mark.parametrize("cursor", ["nonsense", "1-99", "9-1", "-"])
async def test_unknown_cursor_is_reset(transport: Transport, writer: HandWriter, cursor: str):
    with patch("streaming.read.reader.TIP_PATIENCE_S", 0.05):
        stream = transport.open(writer.agent_id, cursor)
        await shows(stream, "1-6")
    assert types(stream)[:2] == ["reset", "snapshot"]
    assert json.loads(stream.payloads[0])["reason"] == "unknown-cursor"
    assert cursors(stream) == ["1-3", "1-4", "1-5", "1-6"]


async def test_trimmed_cursor_is_reset(transport: Transport, writer: HandWriter):
    await in_database(journal.trim, writer.agent_id, 4)
    stream = transport.open(writer.agent_id, "1-1")
    await shows(stream, "1-6")
    assert json.loads(stream.payloads[0])["reason"] == "trimmed"
    assert types(stream)[1] == "snapshot"


async def test_superseded_cursor_is_reset(transport: Transport, world: World, writer: HandWriter):
    await redis_command(world.redis, "FLUSHALL")
    await writer.take_over()
    await writer.publish()
    stream = transport.open(writer.agent_id, "1-6")
    await shows(stream, "2-5")
    assert json.loads(stream.payloads[0])["reason"] == "superseded"
    assert types(stream)[1] == "snapshot"


@pytest.mark.parametrize("seed_", range(2))
async def test_who_is_cut_again_and_again_has_every_event_once(transport: Transport, world: World, seed_: int):
    rng = random.Random(seed_)
    writer = await world.writer(await world.agent())
    writing = asyncio.create_task(write_on(writer, 300, rng, no_pause))
    seen: list[str] = []

    def left() -> int | None:
        return writer.seq - len(seen) if writing.done() else None

    after = "0-0"
    while left() != 0:
        stream = transport.open(writer.agent_id, after)
        await some(stream, rng.randint(1, 40), left)
        await stream.leave()
        seen += stream.payloads
        after = cursors(stream)[-1] if stream.payloads else after
    await writer.flush()
    assert seen == await world.log(writer.agent_id)


# How it ends ----------------------------------------------------------------------------------------------------------


async def test_deleted_agent_ends_its_streams(transport: Transport, world: World, writer: HandWriter):
    stream = transport.open(writer.agent_id)
    await shows(stream, "1-6")
    await in_database(journal.delete, writer.agent_id)
    await world.bus.delete(writer.agent_id)
    await until(lambda: stream.is_over, "it is over")


async def test_server_that_stops_ends_every_stream(transport: Transport, writer: HandWriter):
    streams = [transport.open(writer.agent_id) for _ in range(5)]
    for stream in streams:
        await shows(stream, "1-6")
    await transport.drain()
    await until(lambda: all(stream.is_over for stream in streams), "all are over", 1)


async def test_caller_whose_access_ends_gets_no_more_and_is_refused(transport: Transport, writer: HandWriter):
    stream = transport.open(writer.agent_id)
    await shows(stream, "1-6")
    transport.access.revoke()
    await until(lambda: stream.is_over, "it is over", 5)
    await writer.publish()
    again = transport.open(writer.agent_id, "1-6")
    await until(lambda: again.is_over, "it is refused")
    assert again.is_refused
    assert cursors(stream)[-1] == "1-6"


async def test_access_that_ends_ends_also_a_stream_that_takes_nothing(
    transport: Transport, writer: HandWriter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streaming.http.sse.END_S", 0.1)
    stream = transport.open(writer.agent_id, stalls=asyncio.Event())
    await until(lambda: transport.connections, "it is open")
    transport.access.revoke()
    await until(lambda: not transport.connections, "it is cut off", 5)
    assert stream.payloads == []


async def test_client_that_takes_nothing_is_disconnected(transport: Transport, writer: HandWriter, settings):
    settings.STREAM_SEND_TIMEOUT_S = 0.1
    stream = transport.open(writer.agent_id, stalls=asyncio.Event())
    await until(lambda: stream.is_over, "it is over", 5)


async def test_client_that_is_too_slow_is_disconnected_and_resumes(
    transport: Transport, world: World, settings, monkeypatch: pytest.MonkeyPatch
):
    """The ring moves past it while a write to it takes long."""
    monkeypatch.setattr("streaming.read.subscriber.SLOW_S", 0.01)
    settings.STREAM_QUEUE_EVENTS = 20
    writer = await world.writer(await world.agent())
    taking = asyncio.Event()
    taking.set()
    stream = transport.open(writer.agent_id, "0-0", stalls=taking)
    await writer.append([text("a")])
    await shows(stream, "1-1")
    healthy = transport.open(writer.agent_id, "0-0")
    await shows(healthy, "1-1")
    taking.clear()
    for at in range(60):
        await writer.append([text(str(at))])
        await shows(healthy, f"1-{at + 2}")
    taking.set()
    await until(lambda: stream.is_over, "it is ended")
    assert len(stream.payloads) < 61
    resumed = transport.open(writer.agent_id, cursors(stream)[-1])
    await shows(resumed, "1-61")
    await writer.flush()
    assert stream.payloads + resumed.payloads == await world.log(writer.agent_id)
    assert healthy.payloads == await world.log(writer.agent_id)


async def test_client_that_leaves_takes_everything_with_it(transport: Transport, world: World, writer: HandWriter):
    streams = [transport.open(writer.agent_id) for _ in range(5)]
    for stream in streams:
        await shows(stream, "1-6")
    for stream in streams:
        await stream.leave()
    assert world.hub.watched == 0
    assert transport.connections == 0
