"""The journal and the lease in memory: the same functions, the same statements one by one, the same transactions.

tests/model/test_conformance.py holds it against the real ones. A transaction is one step: the real ones lock the log's
row before anything else. What reads several times can be stopped between two of its reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from agents.log import lease as leases
from agents.log.lease import Lease
from streaming.errors import Fenced, LogMissing
from streaming.model.cursor import START, Cursor, EpochStart
from streaming.model.events import decode, encode
from streaming.model.fold import initial
from streaming.model.folded import Folded
from streaming.store import journal
from streaming.store.journal import PAGE_BYTES, Commit, Head, Page, SnapshotRow, Stored, Tip
from tests.model.gate import Work, at_once


@dataclass
class Chunk:
    epoch: int
    first_seq: int
    payloads: list[str]

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.payloads) - 1

    @property
    def size(self) -> int:
        return sum(map(len, self.payloads)) + len(self.payloads) - 1

    def events(self) -> list[Stored]:
        return [Stored(Cursor(self.epoch, self.first_seq + at), payload) for at, payload in enumerate(self.payloads)]


@dataclass
class Row:
    epoch: int = 0
    tip: Cursor = START
    first_seq: int = 1
    position: str = ""
    owner: str | None = None
    lease_until: float | None = None
    starts: list[EpochStart] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    snapshot: SnapshotRow | None = None
    history: list[Stored] = field(default_factory=list)
    """Everything that was ever committed, trimmed or not. No part of the database: for the checks."""


class Database:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.rows: dict[str, Row] = {}
        self.clock = clock
        self.works: dict[Callable[..., Any], Callable[..., Work]] = {
            journal.create: self.create,
            journal.head: self.head,
            journal.tips: self.tips,
            journal.starts_from: self.starts_from,
            journal.page: self.page,
            journal.snapshot: self.snapshot,
            journal.snapshot_of_living: self.snapshot_of_living,
            journal.load: self.load,
            journal.commit: self.commit,
            journal.begin: self.begin,
            journal.trim: self.trim,
            leases.acquire: self.acquire,
            leases.renew: self.renew,
            leases.release: self.release,
        }
        self.writes = {journal.create, journal.commit, journal.begin, journal.trim}
        self.writes |= {leases.acquire, leases.renew, leases.release}

    # Reading ---------------------------------------------------------------------------------------------------------

    @at_once
    def head(self, agent_id: str) -> Any:
        return self._head(agent_id)

    @at_once
    def tips(self, agent_ids: Sequence[str]) -> Any:
        found = {agent_id: self.rows[agent_id] for agent_id in agent_ids if agent_id in self.rows}
        return {agent_id: Tip(row.tip, row.epoch) for agent_id, row in found.items()}

    @at_once
    def starts_from(self, agent_id: str, epoch: int) -> Any:
        return self._starts(agent_id, epoch)

    def page(self, agent_id: str, after: Cursor, max_bytes: int = PAGE_BYTES) -> Work:
        at = self._head(agent_id)
        yield
        events: list[Stored] = []
        size = 0
        for chunk in self._row_or_empty(agent_id).chunks:
            if chunk.last_seq > after.seq:
                events += [stored for stored in chunk.events() if stored.cursor.seq > after.seq]
                size += chunk.size
                if size >= max_bytes:
                    break
        yield
        starts = self._starts(agent_id, after.epoch)
        if events and events[0].cursor.seq > after.seq + 1:
            yield
            at = self._head(agent_id)
        last = events[-1].cursor.seq if events else after.seq
        return Page(at, starts, events, last >= at.tip.seq)

    @at_once
    def snapshot(self, agent_id: str) -> Any:
        return self._row_or_empty(agent_id).snapshot or SnapshotRow(START, encode(initial()))

    def snapshot_of_living(self, agent_id: str) -> Work:
        row = yield from self.snapshot(agent_id)
        yield
        self._head(agent_id)
        return row

    def load(self, agent_id: str) -> Work:
        row = yield from self.snapshot(agent_id)
        stored_chars = len(row.state) + len("{}") if row.cursor != START else 0
        folded = Folded(row.cursor, json.loads(row.state), stored_chars=stored_chars)
        while True:
            yield
            found: Page = yield from self.page(agent_id, folded.cursor)
            folded.take(decode(stored.payload) for stored in found.events)
            folded.later_chars += sum(len(stored.payload) for stored in found.events)
            if found.complete or not found.events:
                return folded

    # Writing ---------------------------------------------------------------------------------------------------------

    @at_once
    def create(self, agent_id: str) -> Any:
        self.rows[agent_id] = Row()
        return None

    @at_once
    def commit(self, write: Commit) -> Any:
        row = self.rows.get(write.agent_id)
        first, last = write.events[0].cursor.seq, write.events[-1].cursor
        if row is None or row.epoch != write.epoch:
            raise Fenced(write.agent_id, write.epoch)
        if row.tip.seq != first - 1:
            if row.tip != last:
                raise Fenced(write.agent_id, write.epoch)
            return None
        self._store(row, write.events, write.position)
        if write.kept is not None:
            row.snapshot = SnapshotRow(last, write.kept.state)
        if write.project is not None:
            write.project()
        return None

    @at_once
    def begin(
        self,
        agent_id: str,
        epoch: int,
        adopted: Sequence[Stored],
        position: str,
        project: Callable[[], None] | None = None,
    ) -> Any:
        row = self.rows.get(agent_id)
        if row is None or row.epoch != epoch or (adopted and adopted[0].cursor.seq != row.tip.seq + 1):
            raise Fenced(agent_id, epoch)
        if adopted:
            self._store(row, adopted, position)
            if project is not None:
                project()
        if not any(start.epoch == epoch for start in row.starts):
            row.starts.append(EpochStart(epoch, row.tip.seq + 1))
        return row.tip

    @at_once
    def trim(self, agent_id: str, keep_from_seq: int) -> Any:
        row = self._row_or_empty(agent_id)
        at = row.snapshot.cursor.seq if row.snapshot else 0
        doomed = [chunk for chunk in row.chunks if chunk.last_seq < min(keep_from_seq, at + 1)]
        if doomed:
            row.chunks = [chunk for chunk in row.chunks if chunk not in doomed]
            row.first_seq = max(row.first_seq, doomed[-1].last_seq + 1)
        return self._head(agent_id).first_seq

    # The lease -------------------------------------------------------------------------------------------------------

    def acquire(self, agent_id: str, owner: str) -> Work:
        asked_at = leases.clock()
        yield
        row = self.rows.get(agent_id)
        if row is None or not self._is_free(row):
            return None
        row.epoch, row.owner, row.lease_until = row.epoch + 1, owner, self.clock() + settings.LEASE_S
        return Lease(agent_id, owner, row.epoch, leases._deadline(asked_at))

    def renew(self, held: Collection[Lease]) -> Work:
        asked_at = leases.clock()
        yield
        for lease in held:
            if self._is_owner(lease):
                self.rows[lease.agent_id].lease_until = self.clock() + settings.LEASE_S
        yield
        lost = []
        for lease in held:
            if self._is_owner(lease) and self.rows[lease.agent_id].epoch == lease.epoch:
                lease.deadline = leases._deadline(asked_at)
            else:
                lost.append(lease)
        return lost

    @at_once
    def release(self, lease: Lease) -> Any:
        row = self.rows.get(lease.agent_id)
        if row is None or row.owner != lease.owner or row.epoch != lease.epoch:
            return False
        row.owner = row.lease_until = None
        return True

    def end_lease(self, agent_id: str) -> None:
        self.rows[agent_id].owner = self.rows[agent_id].lease_until = None

    # Rows ------------------------------------------------------------------------------------------------------------

    def _head(self, agent_id: str) -> Head:
        row = self.rows.get(agent_id)
        if row is None:
            raise LogMissing(agent_id)
        return Head(row.epoch, row.tip, row.first_seq, row.position)

    def _row_or_empty(self, agent_id: str) -> Row:
        return self.rows.get(agent_id) or Row()

    def _starts(self, agent_id: str, epoch: int) -> list[EpochStart]:
        return [start for start in self._row_or_empty(agent_id).starts if start.epoch >= epoch]

    def _is_free(self, row: Row) -> bool:
        return row.owner is None or (row.lease_until is not None and row.lease_until < self.clock())

    def _is_owner(self, lease: Lease) -> bool:
        row = self.rows.get(lease.agent_id)
        return row is not None and row.owner == lease.owner

    def _store(self, row: Row, events: Sequence[Stored], position: str) -> None:
        row.tip, row.position = events[-1].cursor, position
        row.history += events
        for part in journal._parts(events):
            first = part[0].cursor
            row.chunks.append(Chunk(first.epoch, first.seq, [stored.payload for stored in part]))
