"""A site in one process and no real time: workers, a web process with its hub, browsers, and two stores in memory.

The code of `streaming` is the real one. What it calls in Redis or the database waits at the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streaming.errors import JournalUnavailable
from streaming.model.cursor import Cursor
from streaming.read.hub import Hub
from streaming.store.bus import Bus
from tests.model.browser import Browser, Look
from tests.model.database import Database, Row
from tests.model.gate import Call, Gate, Step
from tests.model.redis import Client, Server, away
from tests.model.scale import AGENT
from tests.model.stand_ins import SiteLoop, SmallBus, WebHub
from tests.model.worker import Worker

MOST_STEPS = 5000
"""More than anything takes that ends."""


def database_away() -> JournalUnavailable:
    return JournalUnavailable("the database is away")


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
