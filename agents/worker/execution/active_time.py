"""How long a run has been at work. What it waits for people's answers does not count: they may sleep over it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import structlog

from agents.models import Attempt
from agents.runs import attempts
from streaming.errors import JournalUnavailable
from streaming.model.events import Event
from streaming.store.database import in_database

log = structlog.get_logger(__name__)


class ActiveTime:
    """Of one attempt. Kept in its row, too, on the database's clock: a worker that takes over goes on with what is
    left. `notify` is called when it begins to stand still."""

    def __init__(self, attempt: Attempt, notify: Callable[[], None]) -> None:
        self._attempt = attempt
        self._notify = notify
        self._waited_s = attempt.waited_s
        self._paused_at = monotonic() if attempt.waiting_since is not None else None

    def elapsed_s(self) -> float:
        return (self._paused_at or monotonic()) - self._attempt.monotonic_start - self._waited_s

    def when(self, elapsed_s: float) -> float:
        """When it will have been at work for so long, on the monotonic clock; never while it waits."""
        if self._paused_at is not None:
            return float("inf")
        return self._attempt.monotonic_start + self._waited_s + elapsed_s

    async def hear(self, events: list[Event]) -> None:
        """While the run waits for an answer its time stands still."""
        said = [event.data["status"] for event in events if event.type == "status"]
        if said and said[-1] == "waiting":
            await self.pause()
            self._notify()
        elif said:
            await self.go_on()

    async def pause(self) -> None:
        if self._paused_at is None:
            self._paused_at = monotonic()
            await self._note(attempts.begin_waiting)

    async def go_on(self) -> None:
        if self._paused_at is not None:
            self._waited_s += monotonic() - self._paused_at
            self._paused_at = None
            await self._note(attempts.end_waiting)

    async def _note(self, step: Callable[[Attempt], None]) -> None:
        """Losing it costs whoever takes over some of the run's time."""
        try:
            await in_database(step, self._attempt)
        except JournalUnavailable as error:
            log.warning("not noted whether a run waits", run_id=str(self._attempt.run_id), error=str(error))
