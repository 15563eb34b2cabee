"""A log with writers and followers, for tests: what a worker and a web process do, without the processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.log import lease as leases
from agents.log.lease import Lease
from streaming.errors import BusUnavailable, Fenced, JournalUnavailable
from streaming.model.cursor import Cursor, parse
from streaming.model.events import Draft, Event, decode, draft, now
from streaming.model.fold import fold
from streaming.models import Log
from streaming.read.hub import Hub
from streaming.read.subscriber import Subscriber
from streaming.store import journal
from streaming.store.bus import Bus, connect, name
from streaming.store.database import in_database
from streaming.store.journal import Commit, Kept, Stored
from streaming.write.takeover import Project, take_over
from streaming.write.writer import Writer
from tests.servers import RedisServer

PATIENCE_S = 30.0


def text(content: str, message_id: str = "m1", run_id: str = "r1") -> Draft:
    return draft("text", run_id, message_id=message_id, content=content)


async def until(condition: Callable[[], Any], what: str = "", patience_s: float = PATIENCE_S) -> None:
    """Wait for the thing, and say which one it was if it does not come."""
    try:
        async with asyncio.timeout(patience_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {patience_s:g} s in vain: {what or condition}") from None


async def until_async(condition: Callable[[], Awaitable[Any]], what: str = "", patience_s: float = PATIENCE_S) -> None:
    try:
        async with asyncio.timeout(patience_s):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {patience_s:g} s in vain: {what or condition}") from None


class World:
    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self.bus = Bus()
        self.hub = Hub()
        self.writers: list[Writer] = []
        self.followers: list[Follower] = []

    async def agent(self) -> str:
        agent_id = str(uuid.uuid4())
        await in_database(journal.create, agent_id)
        return agent_id

    async def lease(self, agent_id: str, owner: str = "worker") -> Lease:
        lease = await in_database(leases.acquire, agent_id, owner)
        assert lease is not None, "somebody else is the writer"
        return lease

    async def steal(self, agent_id: str, owner: str = "thief") -> Lease:
        """A lease whose owner is taken for dead."""
        await in_database(Log.objects.filter(agent_id=agent_id).update, lease_until=None, owner=None)
        return await self.lease(agent_id, owner)

    async def writer(
        self, agent_id: str, lease: Lease | None = None, project: Project | None = None, bus: Bus | None = None
    ) -> Writer:
        lease = lease or await self.steal(agent_id)
        bus = bus or self.bus
        opening = await take_over(bus, agent_id, lease.epoch, project)
        writer = Writer(agent_id, lease.epoch, opening, bus, lease.held, project)
        self.writers.append(writer)
        return writer

    async def log(self, agent_id: str) -> list[str]:
        """Every committed event, as JSON."""
        events = await in_database(lambda: list(journal.events(agent_id)))
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), "the log has a hole"
        return [event.encode() for event in events]

    def follow(self, agent_id: str, cursor: str | None = None, **options: Any) -> Follower:
        follower = Follower(self.hub, agent_id, cursor, **options)
        self.followers.append(follower)
        follower.task = asyncio.create_task(follower.run(), name="follower")
        return follower

    async def close(self) -> None:
        for follower in self.followers:
            await follower.stop()
        for writer in self.writers:
            await writer.abandon()
        await self.hub.close()
        await self.hub.stop()
        await self.bus.close()


@dataclass
class Follower:
    """What a browser does: keeps what it gets, and comes back with its cursor when the stream ends.

    `cut_after`: break off after so many frames, again and again. Fails at once on a gap, a repeat or disorder.
    """

    hub: Hub
    agent_id: str
    last_id: str | None = None
    cut_after: int | None = None
    pause_s: Callable[[], float] = lambda: 0.0
    events: list[str] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    wrong: str | None = None
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        while self.wrong is None:
            self.connections += 1
            with contextlib.suppress(JournalUnavailable):
                await self._connect()
            self.ended += 1
            await asyncio.sleep(0.001 + self.pause_s())

    async def _connect(self) -> None:
        taken = 0
        async with self.hub.watch(self.agent_id) as channel:
            stream = Subscriber(self.hub, channel, parse(self.last_id) if self.last_id else None).stream()
            async with contextlib.aclosing(stream):
                async for piece in stream:
                    for frame in piece.decode().removesuffix("\n\n").split("\n\n"):
                        taken += self._take(frame)
                        if self.cut_after and taken >= self.cut_after:
                            return
                    if pause_s := self.pause_s():
                        await asyncio.sleep(pause_s)

    def _take(self, frame: str) -> bool:
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if line[:1] not in ("", ":"))
        if "data" not in fields:
            return False
        data = json.loads(fields["data"])
        if data["type"] == "reset":
            self.resets.append(data["reason"])
            return True
        at, before = parse(fields["id"]), parse(self.last_id) if self.last_id else None
        assert at is not None
        if data["type"] == "snapshot":
            self.snapshots.append(data)
            self.events.clear()
        else:
            if before is not None and at.seq != before.seq + 1:
                self.wrong = f"{fields['id']} after {self.last_id}"
            self.events.append(fields["data"])
        self.last_id = fields["id"]
        return True

    @property
    def seq(self) -> int:
        return Cursor(*map(int, self.last_id.split("-"))).seq if self.last_id else 0

    async def arrives_at(self, cursor: str, patience_s: float = PATIENCE_S) -> None:
        await until(lambda: self.wrong or self.last_id == cursor, f"{self.last_id} becomes {cursor}", patience_s)
        assert self.wrong is None, self.wrong

    async def reaches(self, seq: int, patience_s: float = PATIENCE_S) -> None:
        await until(
            lambda: self.wrong or self.seq >= seq or (self.task and self.task.done()),
            f"a follower reaches {seq}",
            patience_s,
        )
        if self.task and self.task.done():
            self.task.result()
        assert self.wrong is None, self.wrong
        assert self.seq >= seq

    def check(self, log: list[str]) -> None:
        """What came since the last snapshot is the log from there on, and the fold of it all is the fold of the log."""
        assert self.wrong is None, self.wrong
        start = len(log) - len(self.events)
        assert self.events == log[start:]
        if self.snapshots:
            assert self.snapshots[-1]["seq"] == start
            state = fold([decode(one) for one in self.events], self.snapshots[-1]["state"])
            assert state == fold(decode(one) for one in log)

    async def stop(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class HandWriter:
    """A writer whose every step is taken by hand: nothing happens by itself, so tests can stop between any two."""

    def __init__(self, bus: Bus, agent_id: str) -> None:
        self.bus = bus
        self.agent_id = agent_id
        self.turn = asyncio.Lock()
        """For tests that let two things write at once: a writer takes one step after the other."""
        self.epoch = 0
        self.seq = self.committed = 0
        self.pending: list[Event] = []
        self.history: list[str] = []
        """Every event that is in the log, or will be if nothing is lost."""

    async def take_over(self, *, without_redis: bool = False) -> int:
        """Become the writer. Answers how many events were adopted."""
        await in_database(Log.objects.filter(agent_id=self.agent_id).update, lease_until=None, owner=None)
        lease = await in_database(leases.acquire, self.agent_id, "hand")
        assert lease is not None
        self.epoch, self.pending = lease.epoch, []
        if without_redis:
            head = await in_database(journal.head, self.agent_id)
            tip, adopted = await in_database(journal.begin, self.agent_id, lease.epoch, [], head.position), 0
        else:
            opening = await take_over(self.bus, self.agent_id, lease.epoch)
            tip, adopted = opening.tip, opening.adopted
        self.seq = self.committed = tip.seq
        del self.history[tip.seq :]
        return adopted

    def append(self, count: int = 1) -> list[Event]:
        made = []
        for _ in range(count):
            self.seq += 1
            one = text(f"{self.epoch}-{self.seq} ")
            made.append(Event(one.type, self.agent_id, one.run_id, self.epoch, self.seq, now(), one.data))
        self.pending += made
        self.history += [event.encode() for event in made]
        return made

    async def publish(self, count: int = 1, *, silently: bool = False) -> None:
        """`silently`: the message on the channel is lost."""
        events = self.append(count)
        if silently:
            await self._add_without_message(events)
            return
        await self.send(events)

    async def send(self, events: Sequence[Event]) -> int:
        payloads = [event.encode() for event in events]
        position = f"at {events[-1].seq}"
        return await self.bus.publish(self.agent_id, self.epoch, events[0].seq, payloads, position, self.committed)

    async def send_again(self) -> None:
        """After Redis was emptied: what a writer does with what is not committed."""
        await self.bus.fence(self.agent_id, self.epoch)
        if self.pending:
            await self.send(self.pending)

    async def _add_without_message(self, events: Sequence[Event]) -> None:
        client = connect()
        try:
            for event in events:
                fields: dict[Any, Any] = {"d": event.encode(), "p": f"at {event.seq}"}
                await client.xadd(name(self.agent_id), fields, id=f"{event.epoch}-{event.seq}")
        finally:
            await client.aclose()

    async def commit(self, *, snapshot: bool = False) -> None:
        if not self.pending:
            return
        kept = None
        if snapshot:
            folded = await in_database(journal.load, self.agent_id)
            folded.take(self.pending)
            kept = Kept.of(folded)
        stored = [Stored(Cursor(event.epoch, event.seq), event.encode()) for event in self.pending]
        position = f"at {self.pending[-1].seq}"
        await in_database(journal.commit, Commit(self.agent_id, self.epoch, stored, position, kept))
        self.committed, self.pending = self.pending[-1].seq, []


async def write_on(writer: Writer, count: int, rng: random.Random, pause: Callable[[], Awaitable[None]]) -> int:
    """Append `count` events in small batches of random size. Returns the last seq; ends early when fenced."""
    written = 0
    while written < count:
        batch = [text(f"{writer.epoch}.{written + at} ") for at in range(rng.randint(1, 7))]
        try:
            await writer.append(batch, f"position {writer.seq + len(batch)}")
        except Fenced:
            break
        written += len(batch)
        await pause()
    return writer.seq


async def no_pause() -> None:
    await asyncio.sleep(0)


async def redis_command(redis: RedisServer, *words: str) -> Any:
    import redis.asyncio as client

    async with client.Redis.from_url(redis.url) as connection:
        return await connection.execute_command(*words)


__all__ = [
    "BusUnavailable",
    "Follower",
    "World",
    "no_pause",
    "redis_command",
    "text",
    "until",
    "until_async",
    "write_on",
]
