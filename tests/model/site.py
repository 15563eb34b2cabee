"""A site in one process and no real time: workers, a web process with its hub, browsers, and two stores in memory.

The code of `streaming` is the real one. What it calls in Redis or the database waits at the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from django.test import override_settings

from agents import lease as leases
from agents.lease import Lease
from streaming import hub as hub_module
from streaming import journal, reader, subscriber, takeover, writer
from streaming.bus import Bus, Tail, name
from streaming.channel import Channel
from streaming.cursor import START, Cursor, superseded
from streaming.errors import BusUnavailable, Fenced, JournalUnavailable
from streaming.events import Draft
from streaming.frames import Frame
from streaming.hub import Hub
from streaming.reader import Reader
from streaming.subscriber import Subscriber
from streaming.takeover import take_over
from streaming.writer import Writer
from tests.model.database import Database, Row
from tests.model.gate import Call, Gate, Step, Work, at_once
from tests.model.loop import OWNER, VirtualLoop, running
from tests.model.redis import Client, Server, away

AGENT = "00000000-0000-7000-8000-000000000001"
HEARTBEAT_S = 10.0
MOST_STEPS = 5000
"""More than anything takes that ends."""
BATCH_LINES = 3
REDIS_PAGE = 3
SMALL: dict[str, Any] = {
    "COMMIT_INTERVAL_S": 0.5,
    "COMMIT_EVENTS": 4,
    "PENDING_BYTES": 1_000_000,
    "STREAM_MAXLEN": 12,
    "STREAM_QUEUE_EVENTS": 5,
    "STREAM_QUEUE_BYTES": 1_000_000,
    "STREAM_WRITE_BYTES": 600,
    "STREAM_HEARTBEAT_S": 15.0,
    "TIP_POLL_S": 3.0,
    "LEASE_S": 30.0,
}
"""Bounds that are reached with a few events, so that what happens at them happens here."""


def database_away() -> JournalUnavailable:
    return JournalUnavailable("the database is away")


class SmallBus(Bus):
    """Reads in small pages."""

    async def after(self, agent_id: str, cursor: Cursor, count: int = REDIS_PAGE) -> Tail:
        try:
            return await super().after(agent_id, cursor, count)
        except BusUnavailable:
            site, owner = _site(), OWNER.get()
            if owner in site.looks:
                site.looks[owner] = replace(site.looks[owner], in_redis=False)
            raise


class Log:
    """In the place of a module's logger. What is logged with a traceback was not foreseen."""

    def exception(self, event: str, **_: Any) -> None:
        running().errors.append(f"{event}: {sys.exc_info()[1]!r}")

    def info(self, event: str, **_: Any) -> None:
        pass

    debug = warning = info


class Site:
    def __init__(self) -> None:
        self.loop = SiteLoop(self)
        self.gate = Gate()
        self.redis = Server()
        self.database = Database(self.loop.time)
        self.database.rows[AGENT] = Row()
        self.lines = 0
        """What the container has printed: line 1, line 2 …"""
        self.remarks: list[str] = []
        """What workers wrote beside that."""
        self.printed = asyncio.Event()
        self.workers: list[Worker] = []
        self.browsers: list[Browser] = []
        self.takeovers = 0
        self.started = 0
        self.steps = 0
        self.looks: dict[str, Look] = {}
        self.grounds: dict[tuple[str, Cursor], Look] = {}
        self.hub = self._start_hub()

    def _start_hub(self) -> Hub:
        async def make() -> Hub:
            hub = WebHub(self.bus())
            hub.start()
            return hub

        made = self.loop.start(make(), "web")
        self.loop.settle()
        hub: Hub = made.result()
        return hub

    @property
    def row(self) -> Row:
        return self.database.rows[AGENT]

    def bus(self) -> Bus:
        return SmallBus(Client(self.redis, self.gate))  # type: ignore[arg-type]

    # What can happen next --------------------------------------------------------------------------------------------

    def movable(self) -> Sequence[Step]:
        return [*self.gate.movable(), *self.redis.movable()]

    def take(self, step: Step) -> None:
        self.steps += 1
        self.loop.do(step.take)

    def print_lines(self, count: int) -> None:
        self.lines += count
        self.wake_pumps()

    def remark(self, worker: Worker) -> None:
        self.remarks.append(f"remark {len(self.remarks) + 1} ")
        worker.remark(self.remarks[-1])

    def wake_pumps(self) -> None:
        self.printed.set()
        self.printed = asyncio.Event()
        self.loop.settle()

    def start_worker(self) -> Worker:
        self.started += 1
        worker = Worker(self, f"worker-{self.started}")
        self.workers.append(worker)
        self.loop.settle()
        return worker

    def start_browser(self, cursor: Cursor | None) -> Browser:
        self.started += 1
        browser = Browser(self, f"browser-{self.started}", cursor)
        self.browsers.append(browser)
        browser.connect()
        return browser

    def redis_down(self) -> None:
        self.gate.go_down("redis", away)
        self.redis.break_connections()
        self.loop.settle()

    def database_down(self) -> None:
        self.gate.go_down("database", database_away)

    def fail(self, call: Call) -> None:
        """No answer, though the store is there: its connection broke, before or after it did what it was asked."""
        call.fail(away() if call.store == "redis" else database_away())

    def run(self, until: Callable[[], bool], most_s: float) -> bool:
        """First come, first served; time passes when nothing else can happen."""
        end_at, most_steps = self.loop.time() + most_s, self.steps + MOST_STEPS
        while not until():
            assert self.steps < most_steps, "steps without end"
            movable = self.movable()
            if movable:
                self.take(movable[0])
                continue
            due = self.loop.next_at()
            if due is None or due > end_at:
                return until()
            self.loop.pass_to(due)
        return True

    def end(self) -> None:
        self.loop.end()


class SiteLoop(VirtualLoop):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site


class Worker:
    """What agents.runner and agents.supervisor do with a log: lease, takeover, and a container's output pumped into it,
    line by line from the position that the log names."""

    def __init__(self, site: Site, name: str) -> None:
        self.name = name
        self.writer: Writer | None = None
        self._site = site
        self._going = asyncio.Event()
        self._going.set()
        self._leaving = asyncio.Event()
        self._remarks: list[str] = []
        self._bus = site.bus()
        self.task = site.loop.start(self._work(), name)

    @property
    def is_stalled(self) -> bool:
        return not self._going.is_set()

    @property
    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    def stall(self) -> None:
        self._going.clear()
        self._site.gate.stop(self.name)

    def go_on(self) -> None:
        self._going.set()
        self._site.gate.go_on(self.name)
        self._site.loop.settle()

    def kill(self) -> None:
        """SIGKILL. What it has asked of a store may happen later."""
        self._site.gate.dead.add(self.name)
        self._site.gate.go_on(self.name)
        self._site.workers.remove(self)
        self.task.cancel()
        self._site.loop.settle()

    def remark(self, text: str) -> None:
        """An event of its own: no line of the container's, so nobody writes it again when it is lost."""
        self._remarks.append(text)
        self._site.wake_pumps()

    def leave(self) -> None:
        """SIGTERM."""
        self._leaving.set()
        self._site.loop.settle()

    async def _work(self) -> None:
        while not self._leaving.is_set():
            with contextlib.suppress(JournalUnavailable):
                lease: Lease | None = await in_memory_database(leases.acquire, AGENT, self.name)
                if lease is not None:
                    await self._supervise(lease)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()
        self._site.workers.remove(self)

    async def _supervise(self, lease: Lease) -> None:
        renewing = asyncio.create_task(self._renew(lease))
        try:
            with contextlib.suppress(Fenced):
                opening = await take_over(self._bus, AGENT, lease.epoch)
                self._site.takeovers += 1
                self.writer = Writer(AGENT, lease.epoch, opening, self._bus, lease.held)
                await self._write(self.writer)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            self.writer = None
        with contextlib.suppress(JournalUnavailable):
            await in_memory_database(leases.release, lease)

    async def _write(self, writer: Writer) -> None:
        pumping = asyncio.create_task(self._pump(writer))
        losing = asyncio.create_task(writer.wait_lost())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((pumping, losing, leaving), return_when=asyncio.FIRST_COMPLETED)
            pumping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pumping
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await writer.close()
        finally:
            for task in (pumping, losing, leaving):
                task.cancel()
            await asyncio.gather(pumping, losing, leaving, return_exceptions=True)
            await writer.abandon()

    async def _pump(self, writer: Writer) -> None:
        at = int(writer.position or 0)
        while True:
            await self._going.wait()
            if self._remarks:
                await writer.append([_text(self._remarks.pop(0))])
            end = min(at + BATCH_LINES, self._site.lines)
            if end == at:
                await self._site.printed.wait()
                continue
            await writer.append([_text(f"{number} ") for number in range(at + 1, end + 1)], str(end))
            at = end

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._going.wait()
            with contextlib.suppress(JournalUnavailable):
                if await in_memory_database(leases.renew, [lease]):
                    lease.deadline = 0.0
                    if self.writer is not None:
                        self.writer.lose()


def _text(content: str) -> Draft:
    return Draft("text", "r1", {"message_id": "m", "content": content})


@dataclass(frozen=True, slots=True)
class Look:
    """What the stores knew of a cursor when its subscriber asked: the grounds of a reset."""

    in_database: bool
    in_redis: bool
    epoch: int
    """The newest one that had begun."""


class Reset(NamedTuple):
    """One that a browser was given."""

    reason: str
    cursor: Cursor
    look: Look


class Browser:
    """Keeps what it gets, and comes back with its cursor when its stream ends. Takes a batch when the gate lets it."""

    def __init__(self, site: Site, name: str, cursor: Cursor | None) -> None:
        self.name = name
        self.cursor = cursor
        self.base = cursor
        """Where `events` begin."""
        self.events: list[tuple[Cursor, str]] = []
        self.state: Any = None
        """That of the snapshot at `base`, if there was one."""
        self.resets: list[Reset] = []
        self.known_epoch = 0
        """The newest that had begun when we were last told that our cursor is superseded: it must not do so again."""
        self.task: asyncio.Task[None] | None = None
        self._site = site

    def connect(self) -> None:
        self.task = self._site.loop.start(self._run(), self.name)
        self._site.loop.settle()

    def disconnect(self) -> None:
        assert self.task is not None
        self.task.cancel()
        self._site.loop.settle()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(JournalUnavailable):
                async with self._site.hub.watch(AGENT) as channel:
                    await self._stream(channel)
            await asyncio.sleep(1.0)

    async def _stream(self, channel: Channel) -> None:
        following = Subscriber(self._site.hub, channel, self.cursor)
        async with contextlib.aclosing(following.batches()) as batches:
            async for batch in batches:
                await self._site.gate.call("client", "take", self._take(batch), writes=False)

    @at_once
    def _take(self, batch: Sequence[Frame]) -> None:
        for frame in batch:
            data = json.loads(frame.payload)
            if data["type"] == "reset":
                self._reset(data["reason"], frame.cursor)
            elif data["type"] == "snapshot":
                self._start_at(frame.cursor, data["state"])
            else:
                self._add(frame)

    def _reset(self, reason: str, cursor: Cursor) -> None:
        assert cursor == self.cursor, f"{self.name}: reset at {cursor}, not at {self.cursor}"
        look = self._site.grounds[self.name, cursor]
        self.resets.append(Reset(reason, cursor, look))
        row = self._site.row
        if reason == "trimmed":
            assert cursor.seq + 1 < row.first_seq, f"{self.name}: {cursor} was not trimmed"
        elif reason == "superseded":
            assert superseded(cursor, row.starts), f"{self.name}: {cursor} was not superseded"
            late = [start.epoch for start in row.starts if start.epoch > cursor.epoch and start.first_seq <= cursor.seq]
            assert max(late) > self.known_epoch, f"{self.name}: reset at {cursor} by an epoch that it knew of"
        else:
            assert not look.in_database, f"{self.name}: {cursor} is in the database, and said to be unknown"
            assert not look.in_redis, f"{self.name}: {cursor} is in Redis, and said to be unknown"

    def _start_at(self, cursor: Cursor, state: Any) -> None:
        if self.resets and self.resets[-1].reason == "superseded":
            self.known_epoch = max(self.known_epoch, self.resets[-1].look.epoch)
        self.cursor = self.base = cursor
        self.state = state
        self.events = []

    def _add(self, frame: Frame) -> None:
        before = self.cursor
        assert before is not None, f"{self.name}: an event before the snapshot"
        assert frame.cursor.seq == before.seq + 1, f"{self.name}: {frame.cursor} after {before}"
        assert frame.cursor.epoch >= before.epoch or before == START, f"{self.name}: {frame.cursor} after {before}"
        self.events.append((frame.cursor, frame.payload))
        self.cursor = frame.cursor


# In the place of what the code imports --------------------------------------------------------------------------------


class WebHub(Hub):
    """Its tasks are the web process's, whoever was the first to watch. Notes why its reader resets."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "memory")
        self.reader = NotingReader(bus)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        token = OWNER.set("web")
        try:
            return super()._spawn(work, what)
        finally:
            OWNER.reset(token)


class NotingReader(Reader):
    async def after(self, agent_id: str, cursor: Cursor, *, own: bool = False) -> reader.Page | reader.Reset:
        found = await super().after(agent_id, cursor, own=own)
        if isinstance(found, reader.Reset) and not own:
            site, owner = _site(), OWNER.get()
            site.grounds[owner, cursor] = site.looks[owner]
        return found


async def in_memory_database(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Of streaming.database.in_database."""
    site = _site()
    work = site.database.works[function](*args, **kwargs)
    if function is journal.page:
        work = _noted(site, OWNER.get(), args[1], work)
    writes = function in site.database.writes
    return await site.gate.call("database", function.__name__, work, writes=writes)


def _noted(site: Site, owner: str, cursor: Cursor, work: Work) -> Work:
    row = site.row
    site.looks[owner] = Look(
        in_database=any(stored.cursor == cursor for stored in row.history),
        in_redis=any(at == cursor for at, _ in site.redis.streams.get(name(AGENT), [])),
        epoch=row.starts[-1].epoch if row.starts else 0,
    )
    return (yield from work)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _now() -> str:
    return f"2026-11-01T00:00:{_monotonic():09.6f}Z"


def _connect(*_: Any, **__: Any) -> Client:
    site = _site()
    return Client(site.redis, site.gate)


def _site() -> Site:
    loop = running()
    assert isinstance(loop, SiteLoop)
    return loop.site


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """While this lasts, the log's code runs over the stores of the site whose loop is running."""
    with contextlib.ExitStack() as stack:
        for module in (hub_module, reader, takeover, writer):
            stack.enter_context(patch.object(module, "in_database", in_memory_database))
        for module in (hub_module, reader, takeover, subscriber):
            stack.enter_context(patch.object(module, "monotonic", _monotonic))
        for module in (hub_module, takeover, writer):
            stack.enter_context(patch.object(module, "log", Log()))
        stack.enter_context(patch.object(leases, "clock", _monotonic))
        stack.enter_context(patch.object(writer, "now", _now))
        stack.enter_context(patch.object(writer, "PUBLISH_EVENTS", BATCH_LINES))
        stack.enter_context(patch.object(reader, "PAGE", REDIS_PAGE))
        stack.enter_context(
            patch.object(hub_module, "redis", SimpleNamespace(Redis=SimpleNamespace(from_url=_connect)))
        )
        stack.enter_context(override_settings(**SMALL))
        yield
