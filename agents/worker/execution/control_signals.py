"""What others ask of an execution while it goes on, and waiting that listens to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from agents.log import intents
from agents.log.lease import clock
from agents.outcome import StopReason
from containers.errors import EngineUnavailable
from streaming.errors import Fenced, JournalUnavailable
from streaming.store.database import in_database
from streaming.write.writer import Writer

CANCEL_PATIENCE_S = 1.0
"""From `cancel` on stdin to SIGTERM: a program that listens ends by itself."""
START_PATIENCE_S = 15.0
"""How long an engine may be away when a run starts: a daemon that is just restarting is waited for."""
TAKEOVER_PATIENCE_S = 120.0
"""The same for a run whose container is there already: it may well be going on."""
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 4.0
T = TypeVar("T")


LOOKED_S = 1.0
"""How long an answer of the database holds: a worker that stood still (SIGSTOP) since it has asked asks again."""
DATABASE_AGAIN_S = 0.5
"""Between two attempts to ask a database that is away."""


class CancelRequested(Exception):
    """The run was told to stop: nothing more is sent to its program."""


class Detached(Exception):
    """The worker stops; the container goes on, and so does the run, in another worker."""


class ControlSignals:
    """`cancel`: why to stop, once somebody wants it; the first one stays."""

    def __init__(self, run_id: str, writer: Writer) -> None:
        self.cancel: StopReason | None = None
        self._run_id = run_id
        self._detach = False
        self._writer = writer
        self._changed = asyncio.Event()

    def ask_to_cancel(self, reason: str) -> None:
        if self.cancel is None:
            self.cancel = StopReason("cancel", "cancelled", reason=reason or None, patience_s=CANCEL_PATIENCE_S)
            self.notify()

    async def check_cancel(self, *others: str) -> None:
        """Before anything is sent to the program: was the run told to stop, or one of the `others` that are part of
        the delivery? Asks the database, since a cancel and what it overrides may be found in any order, and waits for
        one that is away. Raises CancelRequested."""
        while self.cancel is None:
            asked_at = clock()
            try:
                reasons = await in_database(intents.cancel_reasons, (self._run_id, *others))
            except JournalUnavailable:
                await asyncio.sleep(DATABASE_AGAIN_S)
                continue
            if self._run_id in reasons:
                self.ask_to_cancel(reasons[self._run_id])
            elif reasons:
                break
            elif clock() - asked_at < LOOKED_S:
                return
        raise CancelRequested

    def ask_to_detach(self) -> None:
        self._detach = True
        self.notify()

    def notify(self) -> None:
        """Something may have changed: whoever waits looks again."""
        self._changed.set()

    def look(self) -> None:
        """Before looking at what may have changed: what changes from here on ends the next wait. Raises Fenced or
        Detached if this worker has to let go of the run."""
        self._changed.clear()
        self.check()

    def check(self) -> None:
        if self._writer.lost:
            raise Fenced(self._writer.agent_id, self._writer.epoch)
        if self._detach:
            raise Detached

    async def wait(self, *tasks: asyncio.Task[Any], timeout_s: float | None = None) -> None:
        """Until something has changed since `look`, one of `tasks` has ended, the log is lost, or the time is over."""
        lost = asyncio.create_task(self._writer.wait_lost())
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((*tasks, lost, changed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            changed.cancel()

    async def patiently(
        self, call: Callable[[], Awaitable[T]], patience_s: float | None = None, *, unless_cancelled: bool = False
    ) -> T:
        """For calls that are harmless to repeat: while the engine is away, for START_PATIENCE_S if nothing is said.
        `unless_cancelled`: not any more once somebody wants to cancel."""
        deadline = monotonic() + (START_PATIENCE_S if patience_s is None else patience_s)
        pause_s = RETRY_FIRST_S
        while True:
            try:
                return await call()
            except EngineUnavailable as error:
                unwanted = unless_cancelled and self.cancel is not None
                if not error.retryable or unwanted or monotonic() >= deadline:
                    raise
            self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            pause_s = min(2 * pause_s, RETRY_MOST_S)
