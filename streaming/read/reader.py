"""Reading a log behind a cursor: the database first, then what only Redis has.

Used by every subscriber while it replays, and by the hub when it has to fill a gap.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from django.conf import settings

from streaming.errors import BusUnavailable
from streaming.model.cursor import Cursor, EpochStart, ResetReason, judge
from streaming.model.events import decode
from streaming.model.folded import Folded
from streaming.read.frames import Frame
from streaming.store import journal
from streaming.store.bus import PAGE, Bus, Entry, contiguous
from streaming.store.database import in_database
from streaming.store.journal import Stored

TIP_PATIENCE_S = 2.0
"""A cursor ahead of everything known may be right: Redis was emptied, and its writer is about to fill it again."""
LOOK_AGAIN_S = 0.1
LOOKS = 20
"""How often a takeover may come between our two reads. More than that, and Redis holds what the database never knew."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The cursor can't be honoured; the reader of this starts again from a snapshot."""

    reason: ResetReason


class Page(NamedTuple):
    """Frames behind a cursor, contiguous. `at_tip`: when this was read, there was nothing more. `known_seq`: where the
    log ends for both stores, if that is before the cursor."""

    frames: list[Frame]
    at_tip: bool
    known_seq: int | None = None


class SnapshotRow(NamedTuple):
    cursor: Cursor
    state: str


class _Look(NamedTuple):
    """What both stores say behind a cursor. `tail` follows the page's events without a gap."""

    page: journal.Page
    tail: list[Entry]
    at_tip: bool

    @property
    def tip_seq(self) -> int:
        return self.tail[-1].cursor.seq if self.tail else self.page.tip.seq

    def frames(self, after: Cursor) -> list[Frame]:
        found: list[Stored | Entry] = [*self.page.events, *self.tail]
        return [Frame.event(one.cursor, one.payload.encode()) for one in found if one.cursor.seq > after.seq]


class Reader:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def after(self, agent_id: str, cursor: Cursor, *, own: bool = False) -> Page | Reset:
        """One page behind `cursor`. Raises LogMissing, JournalUnavailable; without Redis it reads what is committed.

        `own`: the cursor is not a client's word, an event there has been seen by this process. So if it is ahead of
        everything known, its writer has yet to repeat or commit it, or a takeover will say that it is superseded.
        """
        deadline: float | None = None
        while True:
            look = await self._look(agent_id, cursor)
            # From after the first look: a Redis that hangs may hold that one longer than the patience is.
            deadline = deadline or monotonic() + TIP_PATIENCE_S
            reason = judge(cursor, look.page.starts, look.tip_seq, look.page.head.first_seq)
            if reason is None:
                return Page(look.frames(cursor), look.at_tip)
            if not _may_still_come(cursor, look):
                return Reset(reason)
            if own:
                return Page([], True, look.tip_seq)
            if monotonic() > deadline:
                return Reset(reason)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def tail(self, agent_id: str, cursor: Cursor) -> list[Frame]:
        """What Redis alone can say: the events of the cursor's own epoch that follow it without a gap."""
        found = (await self._bus.after(agent_id, cursor)).entries
        same = [entry for entry in found if entry.cursor.epoch == cursor.epoch]
        return [Frame.event(entry.cursor, entry.payload.encode()) for entry in contiguous(same, cursor.seq, [])]

    async def at_tip(self, agent_id: str) -> Folded:
        """What the log folds to at the last event known anywhere. Raises LogMissing, JournalUnavailable."""
        folded = await in_database(journal.load, agent_id)
        while True:
            page = await self.after(agent_id, folded.cursor)
            if isinstance(page, Reset):
                return folded  # nothing can be added to it; a takeover or a trim has come between
            folded.take(decode(frame.payload) for frame in page.frames)
            if page.at_tip:
                return folded

    async def conversation_page(self, agent_id: str, before: Cursor) -> tuple[str, bool] | None:
        """A page of the conversation as JSON, and whether it is committed: such a page never changes. None if there is
        none of that name. Raises LogMissing, JournalUnavailable."""
        if (found := await in_database(journal.conversation_page, agent_id, before)) is not None:
            return found, True
        for page in (await self.at_tip(agent_id)).pages:
            if page.before == before:
                return journal.page_json(page), False
        # The writer may have committed the page after the first look and before the log was folded.
        found = await in_database(journal.conversation_page, agent_id, before)
        return None if found is None else (found, True)

    async def snapshot(self, agent_id: str) -> SnapshotRow:
        """The newest stored state. Raises LogMissing, JournalUnavailable."""
        row = await in_database(journal.snapshot_of_living, agent_id)
        return SnapshotRow(row.cursor, row.state)

    async def _look(self, agent_id: str, cursor: Cursor) -> _Look:
        for _ in range(LOOKS):
            page = await in_database(journal.page, agent_id, cursor, settings.STREAM_WRITE_BYTES)
            if not page.complete:
                return _Look(page, [], False)
            if cursor.epoch > page.head.epoch:
                return _Look(page, [], True)  # nobody ever wrote there
            try:
                tail, at_tip, agrees = await self._tail(agent_id, page, cursor.seq)
            except BusUnavailable:
                return _Look(page, [], True)
            if agrees:
                return _Look(page, tail, at_tip)
            # A takeover in between: where the new epoch begins is in the database since before its first entry.
            # Or a commit, and Redis has let go of what was committed.
        return _Look(page, tail, True)

    async def _tail(self, agent_id: str, page: journal.Page, wanted_seq: int) -> tuple[list[Entry], bool, bool]:
        """What Redis has behind the page and beyond `wanted_seq`: about one page of it; is that all; does it agree
        with what the database said about epochs?"""
        tail: list[Entry] = []
        at, end_seq, agrees = page.tip, page.tip.seq, True
        while True:
            found = await self._bus.after(agent_id, at)
            known = [entry for entry in found.entries if _is_known(entry.cursor, page.starts)]
            more = contiguous(known, end_seq, page.starts)
            agrees = agrees and len(known) == len(found.entries) and not _has_hole(known, more, end_seq, page.starts)
            tail += more
            at, end_seq = found.last, tail[-1].cursor.seq if tail else end_seq
            if found.complete or not agrees or (len(tail) >= PAGE and end_seq > wanted_seq):
                return tail, found.complete, agrees


def _is_known(cursor: Cursor, starts: list[EpochStart]) -> bool:
    return bool(starts) and cursor.epoch <= starts[-1].epoch


def _has_hole(entries: list[Entry], taken: list[Entry], after_seq: int, starts: list[EpochStart]) -> bool:
    """Are there events of the newest epoch, but not the next one?"""
    newest = [entry for entry in entries if entry.cursor.epoch == starts[-1].epoch] if starts else []
    last = taken[-1].cursor.seq if taken else after_seq
    return any(entry.cursor.seq > last for entry in newest)


def _may_still_come(cursor: Cursor, look: _Look) -> bool:
    """Ahead of everything known, and of the newest epoch: its writer may be about to publish or commit it."""
    newest = look.page.starts[-1].epoch if look.page.starts else None
    most_pending = settings.STREAM_MAXLEN
    return cursor.epoch == newest and look.tip_seq < cursor.seq <= look.tip_seq + most_pending
