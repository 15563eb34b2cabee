"""The law of pressure: a subscriber that stops reading slows nobody, costs what its buffers hold and not what is
written, is disconnected, and resumes; streams end when the server does; who breaks off leaves nothing behind.

Real: the server as `agentsite web` starts it, Redis, PostgreSQL, sockets with small buffers.
"""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from twisted.internet.abstract import FileDescriptor

from agentsite.cli.children import STOP_PATIENCE_S
from streaming.http.sse import DRAIN_S
from streaming.model.events import draft
from streaming.store.journal import CHUNK_CHARS
from streaming.write.writer import Writer
from tests.faults.sse import Connection
from tests.faults.subscriber import Habits, Subscriber
from tests.servers.proc import open_files_of, peak_rss_bytes, rss_bytes, threads_of
from tests.streaming.server import SMALL_BUFFER_BYTES, Serve, WebServer
from tests.streaming.world import World, text, until, until_async

pytestmark = pytest.mark.alone
MIB = 2**20
EVENT_BYTES = 16 * 1024
BATCH_EVENTS = 32
QUEUE_BYTES, WRITE_BYTES = MIB, 64 * 1024
"""Smaller than the defaults, so that less has to be written before a leak shows."""
LIVE, REPLAY = Habits(None, buffer_bytes=SMALL_BUFFER_BYTES), Habits("0-0", buffer_bytes=SMALL_BUFFER_BYTES)
PATIENCE_S = 20.0
"""Most that something may take which needs no waiting, on a busy machine."""
PING_S = 40.0
"""Daphne drops a client that has not answered a ping for a little longer."""
CATCH_UP_S = 60.0
"""The same for reading 24 MiB in pages of WRITE_BYTES: seconds, where three others work on two cores."""


async def flood(writer: Writer, total_bytes: int) -> list[bytes]:
    """As fast as the database takes it. Answers the events' JSON."""
    written: list[bytes] = []
    for _ in range(total_bytes // (BATCH_EVENTS * EVENT_BYTES)):
        drafts = [draft("log", "r1", stream="stdout", content="x" * EVENT_BYTES) for _ in range(BATCH_EVENTS)]
        written += [event.encode().encode() for event in await writer.append(drafts)]
        await writer.flush()
    return written


def saw_all(subscriber: Subscriber, written: list[bytes]) -> bool:
    """Every event, in its place, once."""
    assert not subscriber.problems
    assert not subscriber.resets
    return [seen.payload for seen in subscriber.events] == written


# Subscribers that stop reading ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_fifty_that_stop_reading_cost_what_their_buffers_hold_and_slow_nobody(serve: Serve, world: World):
    """Half of them stop in the middle of their replay. Before them: with who reads, the ring and some batches on their
    way is all there is. Without backpressure the server would grow by 50 x 24 MiB."""
    web = await serve(STREAM_QUEUE_BYTES=QUEUE_BYTES, STREAM_WRITE_BYTES=WRITE_BYTES, STREAM_SEND_TIMEOUT_S=120)
    agent_id = await web.agent()
    writer = await world.writer(agent_id)
    [healthy] = await web.subscribe(agent_id, 1, Habits("0-0"))
    before = rss_bytes(web.pid)
    written = await flood(writer, 16 * MIB)
    assert_grown(web, before, 2 * QUEUE_BYTES + 16 * BATCH_EVENTS * EVENT_BYTES)
    stalled = await web.subscribe(agent_id, 25, LIVE, reading=False)
    stalled += await web.subscribe(agent_id, 25, REPLAY, reading=False)
    written += await flood(writer, 24 * MIB)
    assert_grown(web, before, most_bytes(len(stalled)))
    await until(lambda: healthy.seq == writer.seq, "the one that reads has everything", CATCH_UP_S)
    assert saw_all(healthy, written)
    assert healthy.connections == 1
    assert all(one.connected and one.seq < writer.seq for one in stalled), "they were to stall to the end"


def assert_grown(web: WebServer, before: int, most: int) -> None:
    grown = peak_rss_bytes(web.pid) - before
    assert grown < most, f"{grown / MIB:.1f} MiB, more than {most / MIB:.1f}"


def most_bytes(stalled: int) -> int:
    """The ring, and as much that waits to be put into it. Each stalled one: what its transport holds when it says stop,
    the write that it took nevertheless, the one that waits, and the page that they are from. Half as much again for
    what the allocator can't give back."""
    write = WRITE_BYTES + EVENT_BYTES
    return (2 * QUEUE_BYTES + stalled * (FileDescriptor.bufferSize + 2 * write + CHUNK_CHARS + write)) * 3 // 2


@pytest.mark.slow
async def test_those_that_take_nothing_are_disconnected_and_resume_without_loss_or_repeats(serve: Serve, world: World):
    timeout_s = 2.0
    web = await serve(STREAM_SEND_TIMEOUT_S=timeout_s)
    agent_id = await web.agent()
    writer = await world.writer(agent_id)
    written = await flood(writer, 8 * MIB)
    [healthy] = await web.subscribe(agent_id, 1, Habits("0-0"))
    began = monotonic()
    stalled = await web.subscribe(agent_id, 10, REPLAY, reading=False)
    await until(lambda: not all(one.connected for one in stalled), "the first is disconnected")
    assert monotonic() - began >= timeout_s
    await until(lambda: not any(one.connected for one in stalled), "all are disconnected", timeout_s + PATIENCE_S)
    written += await flood(writer, MIB)
    for one in stalled[:2]:
        one.reading.set()
    await until(lambda: all(one.seq == writer.seq for one in (healthy, *stalled[:2])), "they have resumed")
    assert all(saw_all(one, written) for one in (healthy, *stalled[:2]))
    assert all(one.connections > 1 for one in stalled[:2])
    assert web.complaints() == []


async def test_a_socket_that_never_reads_and_attaches_again_and_again_costs_what_one_stream_does(
    serve: Serve, world: World
):
    """Without backpressure each of them would cost the whole log."""
    web = await serve(STREAM_QUEUE_BYTES=QUEUE_BYTES, STREAM_WRITE_BYTES=WRITE_BYTES, STREAM_SEND_TIMEOUT_S=120)
    agent_id = await web.agent()
    writer = await world.writer(agent_id)
    written = await flood(writer, 8 * MIB)
    [healthy] = await web.subscribe(agent_id, 1, Habits("0-0"))
    await until(lambda: healthy.seq == writer.seq, "the one that reads has everything", CATCH_UP_S)
    before = peak_rss_bytes(web.pid)
    opened_at = monotonic()
    sockets = [await web.never_reading("GET /ws HTTP/1.1") for _ in range(5)]
    for _ in range(2):  # the second time they have stalled already, and what waits to be sent is given up
        for socket in sockets:
            for _ in range(200):
                socket.say({"type": "attach", "agent_id": agent_id, "after": "0-0"})
        written += await flood(writer, 4 * MIB)
        await until(lambda: healthy.seq == writer.seq, "the one that reads has everything", CATCH_UP_S)
    assert saw_all(healthy, written)
    assert_grown(web, before, 2 * (most_bytes(len(sockets)) + 16 * BATCH_EVENTS * EVENT_BYTES))
    if monotonic() - opened_at < PING_S:
        assert all(socket.is_established for socket in sockets), "they were to stall to the end"
    for socket in sockets:
        socket.abort()


async def test_a_socket_that_takes_nothing_is_disconnected(serve: Serve, world: World):
    web = await serve(STREAM_SEND_TIMEOUT_S=0.5)
    agent_id = await web.agent()
    await flood(await world.writer(agent_id), 8 * MIB)
    socket = await web.never_reading("GET /ws HTTP/1.1")
    socket.say({"type": "attach", "agent_id": agent_id, "after": "0-0"})
    await until(lambda: not socket.is_established, "it is disconnected", PATIENCE_S)
    socket.abort()
    await until_async(lambda: is_forgotten(web, agent_id), "nobody watches the agent any more")
    assert web.complaints() == []


# Streams whose server ends --------------------------------------------------------------------------------------------


async def test_sigterm_ends_two_hundred_streams_each_with_its_own_time_to_come_back(serve: Serve, world: World):
    web = await serve()
    subscribers: list[Subscriber] = []
    for _ in range(4):
        agent_id = await web.agent()
        await (await world.writer(agent_id)).append([text("a"), text("b")])
        subscribers += await web.subscribe(agent_id, 50, Habits("0-0"))
    await until(lambda: all(one.seq == 2 for one in subscribers), "everybody is live")
    web.terminate()
    assert await web.exit_code(within_s=5) == 0
    await until(lambda: all(one.endings for one in subscribers), "everybody has been told", PATIENCE_S)
    retries = [one.endings[0].retry_ms or 0 for one in subscribers]
    assert all(one.endings[0].clean for one in subscribers)
    assert len(retries) == 200
    assert all(500 <= retry_ms <= 5000 for retry_ms in retries)
    assert len(set(retries)) > 180, "not all in the same moment"
    assert web.complaints() == []


async def test_sigterm_waits_for_nobody_who_takes_nothing(serve: Serve, world: World):
    assert DRAIN_S < STOP_PATIENCE_S, "`agentsite up` would kill it"
    web = await serve()
    agent_id = await web.agent()
    writer = await world.writer(agent_id)
    await flood(writer, 8 * MIB)
    [healthy] = await web.subscribe(agent_id, 1, Habits("0-0"))
    await web.subscribe(agent_id, 10, REPLAY, reading=False)
    await until(lambda: healthy.seq == writer.seq, "the one that reads is live")
    web.terminate()
    assert await web.exit_code(within_s=5) == 0
    await until(lambda: healthy.endings, "the one that reads has been told", PATIENCE_S)
    assert healthy.endings[0].clean
    assert web.complaints() == []


# Clients that break off -----------------------------------------------------------------------------------------------


async def test_those_that_break_off_leave_nothing_behind(serve: Serve, world: World):
    """With an RST, as a client does that is killed: before they are answered, in their replay, stalled, and live.

    A first crowd fills what has a fixed size: the pools of database threads and of Redis connections.
    """
    web = await serve()
    agent_id = await web.agent()
    writer = await world.writer(agent_id)
    await flood(writer, 4 * MIB)
    await come_and_go(web, agent_id, writer)
    await until_async(lambda: is_forgotten(web, agent_id), "nobody watches the agent any more")
    before = await steady(web)
    await come_and_go(web, agent_id, writer)
    await until_async(lambda: is_forgotten(web, agent_id), "nobody watches the agent any more")
    await until(lambda: fits(used(web), before), f"threads and open files are {before} again")
    assert web.complaints() == []


CROWD = 25
"""Of each kind."""


async def come_and_go(web: WebServer, agent_id: str, writer: Writer) -> None:
    tip = f"{writer.epoch}-{writer.seq}"
    replaying = await asyncio.gather(*(web.connect(agent_id, "0-0") for _ in range(CROWD)))
    stalled = await asyncio.gather(*(web.connect(agent_id, "0-0", SMALL_BUFFER_BYTES) for _ in range(CROWD)))
    live = await asyncio.gather(*(web.connect(agent_id, tip) for _ in range(CROWD)))
    for _ in range(CROWD):
        web.ask_and_break_off(agent_id)
    await flood(writer, MIB // 2)
    await asyncio.gather(*map(first_event, (*replaying, *live)))
    assert await web.watches(agent_id)
    for connection in (*replaying, *stalled, *live):
        connection.reset()


async def first_event(connection: Connection) -> None:
    while not any(frame.id for frame in await connection.read() or ()):
        assert connection.is_established


async def is_forgotten(web: WebServer, agent_id: str) -> bool:
    """No stream of it is left, by the word of the one who would have to wake them."""
    return not await web.watches(agent_id)


def used(web: WebServer) -> tuple[int, int]:
    return threads_of(web.pid), open_files_of(web.pid)


def fits(now: tuple[int, int], before: tuple[int, int]) -> bool:
    return all(one <= other for one, other in zip(now, before, strict=True))


async def steady(web: WebServer) -> tuple[int, int]:
    looks: list[tuple[int, int]] = []

    async def is_steady() -> bool:
        looks.append(used(web))
        return looks[-10:] == [looks[-1]] * 10

    await until_async(is_steady, "threads and files are steady")
    return looks[-1]
