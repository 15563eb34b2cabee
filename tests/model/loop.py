"""An event loop whose clock is ours and that never waits: what can run runs, then it stands still until told."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from itertools import count
from math import ceil
from typing import Any

OWNER: ContextVar[str] = ContextVar("OWNER")
"""The process whose code is running: tasks inherit it from whoever starts them."""


GRAIN_S = 2**-20
"""The clock goes in such steps, and timers are late rather than early: else whoever asks the clock when one has run out
may be told that it is not time yet, by a rounding error, for ever."""


class _NoSockets:
    """In the place of the selector: the loop asks it to wait when nothing can run, so that is where it stops."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout != 0:
            self._stop()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._selector = _NoSockets(self.stop)
        self._clock_resolution = GRAIN_S / 2  # asyncio's: what is due sooner is due now
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.errors: list[str] = []
        """What nobody caught, or was caught only where everything is."""
        self.set_exception_handler(lambda _, context: self.errors.append(repr(context)))

    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Run everything that can run without time passing."""
        self.run_forever()

    def do(self, action: Callable[[], None]) -> None:
        """Something that happens inside the loop, and everything that follows from it."""
        asyncio._set_running_loop(self)
        try:
            action()
        finally:
            asyncio._set_running_loop(None)
        self.settle()

    def start(self, work: Coroutine[Any, Any, Any], owner: str) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(OWNER.set, owner)
        task = self.create_task(work, name=owner, context=context)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.errors.append(f"{task.get_name()} ended: {task.exception()!r}")

    def next_at(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def pass_to(self, at: float) -> None:
        """Let the clock run to `at`, timer after timer."""
        while (due := self.next_at()) is not None and due <= at:
            self._now = max(self._now, due)
            self._timers = [timer for timer in self._timers if timer[0] > due]
            heapq.heapify(self._timers)
            self.settle()
        self._now = max(self._now, _late(at))

    def end(self) -> None:
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.settle()
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    # What asyncio asks of a loop -------------------------------------------------------------------------------------

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        when = _late(when)
        handle = super().call_at(when, callback, *args, context=context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _late(when: float) -> float:
    return ceil(when / GRAIN_S) * GRAIN_S


def running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
