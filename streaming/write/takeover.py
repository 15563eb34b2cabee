"""Becoming the writer of a log, once the lease is ours: fence, adopt, begin.

1. Fence: no earlier epoch gets anything more into Redis, so what is read next stays all there is.
2. Adopt: events that Redis has beyond the database were seen by subscribers; they are part of the log.
3. Begin: one transaction stores them and notes where our epoch begins. Only then may we write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from streaming.errors import BusUnavailable, Fenced
from streaming.model.cursor import Cursor, EpochStart
from streaming.model.events import Event, decode
from streaming.model.folded import Folded
from streaming.store import journal
from streaming.store.bus import Bus, Entry, Tail, contiguous
from streaming.store.database import in_database
from streaming.store.journal import Stored

log = structlog.get_logger(__name__)
PATIENCE_S = 3.0
"""How long a takeover waits for Redis. Then the log goes on from the last commit; whoever saw more is reset."""
RETRY_S = 0.1
Project = Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a new writer stands: behind `tip`, with what the log folds to there, its source read up to `position`."""

    tip: Cursor
    folded: Folded
    position: str
    adopted: int


async def take_over(bus: Bus, agent_id: str, epoch: int, project: Project | None = None) -> Opening:
    """Raises Fenced if somebody has overtaken us, LogMissing, JournalUnavailable. Repeating it is harmless."""
    head = await in_database(journal.head, agent_id)
    if head.epoch != epoch:
        raise Fenced(agent_id, epoch)
    starts = await in_database(journal.starts_from, agent_id, head.tip.epoch)
    entries = await _beyond(bus, agent_id, epoch, head.tip, starts)
    adopted = [Stored(entry.cursor, entry.payload) for entry in entries]
    position = head.position if not entries else entries[-1].position or ""

    def copies() -> None:
        if project is not None:
            project([decode(stored.payload) for stored in adopted])

    tip = await in_database(journal.begin, agent_id, epoch, adopted, position, copies)
    with contextlib.suppress(BusUnavailable):
        await bus.begun(agent_id)
    folded = await in_database(journal.load, agent_id)
    return Opening(tip, folded, position, len(adopted))


async def _beyond(bus: Bus, agent_id: str, epoch: int, tip: Cursor, starts: Sequence[EpochStart]) -> list[Entry]:
    """Fence Redis, and take what it has behind `tip`; nothing if it does not answer for too long."""
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            await bus.fence(agent_id, epoch)
            return await _whole(bus, agent_id, tip, starts)
        except BusUnavailable as error:
            if monotonic() >= deadline:
                log.warning("taking over without Redis", agent_id=agent_id, epoch=epoch, error=str(error))
                return []
            await asyncio.sleep(RETRY_S)


async def _whole(bus: Bus, agent_id: str, tip: Cursor, starts: Sequence[EpochStart]) -> list[Entry]:
    """What Redis has behind `tip`, up to the end of the last whole batch."""
    taken: list[Entry] = []
    found = Tail([], tip, False)
    while not found.complete:
        found = await bus.after(agent_id, found.last)
        taken += contiguous(found.entries, taken[-1].cursor.seq if taken else tip.seq, starts)
    while taken and taken[-1].position is None:
        taken.pop()
    return taken
