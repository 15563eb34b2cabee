"""What every dialect can: an agent's log, one event after another, in another protocol's words."""

from __future__ import annotations

from typing import ClassVar, Protocol

from streaming.http.dialects.saying import Saying
from streaming.model.cursor import Cursor, ResetReason
from streaming.model.events import Event
from streaming.model.fold import State


class Dialect(Protocol):
    """Pure: it remembers what it has said in this response, and what it has learnt of runs from earlier ones."""

    HEADERS: ClassVar[tuple[tuple[bytes, bytes], ...]]
    HAS_SNAPSHOT: ClassVar[bool]
    """Without a cursor it begins with the state, as native does; else with the first event of the active run."""
    ENDING: ClassVar[bytes]
    """Closes a response that ends by itself."""

    def __init__(self, agent_id: str, only: str | None = None) -> None:
        """`only`: the run that this response is for, if it is for one."""

    def begin_with(self, run_id: str) -> None:
        """As `only`, before anything was said."""

    def learn(self, event: Event) -> None:
        """One that was said in an earlier response: as `event`, but silently."""

    def event(self, event: Event) -> Saying:
        """The next one of the log."""

    def reset(self, reason: ResetReason) -> Saying:
        """Something was lost. A snapshot follows."""

    def snapshot(self, at: Cursor, state: State) -> Saying:
        """At the beginning, or behind a reset."""
