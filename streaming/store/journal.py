"""The journal: the log in the database, which is the truth. Synchronous; coroutines call it through `in_database`.

Writing is one compare-and-set a commit:
`UPDATE log SET seq = last WHERE agent_id AND epoch = mine AND seq = first - 1`.
That is the fence (an old writer's epoch is not there any more) and contiguity (nothing can be left out) in one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any, NamedTuple, Self

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from streaming.errors import Fenced, LogBroken, LogMissing, PageMissing
from streaming.model import upgrade
from streaming.model.bounds import Page as ConversationStretch
from streaming.model.cursor import Cursor, EpochStart, parse
from streaming.model.events import Event, decode, encode
from streaming.model.fold import FOLD, initial
from streaming.model.folded import Folded
from streaming.models import ConversationPage, EventChunk, Log, Snapshot
from streaming.models import EpochStart as EpochStartRow
from streaming.store.packing import pack, unpack

PAGE_BYTES = 1024 * 1024
"""About how much text one page of a log holds; always at least one chunk."""
PAGE_CHUNKS = 16
"""How many of its rows are read at a time."""
CHUNK_CHARS = 256 * 1024
"""A flush with more text becomes several rows, so that a reader never has to take more at once than it can pass on."""
REFRESH_PAGES = 50
"""How many pages of a log that is folded anew are held before they are stored: some megabytes."""


class Stored(NamedTuple):
    """One event as it is stored: `payload` is its JSON."""

    cursor: Cursor
    payload: str


@dataclass(frozen=True, slots=True)
class Head:
    """What a log's row says. `tip` is the last committed event's cursor."""

    epoch: int
    tip: Cursor
    first_seq: int
    position: str


class Page(NamedTuple):
    """Events after a cursor, oldest first. `complete`: they reach the tip in `head`, or go beyond it."""

    head: Head
    starts: list[EpochStart]
    events: list[Stored]
    complete: bool

    @property
    def tip(self) -> Cursor:
        """The last committed event, as far as this page knows: chunks are read after the head."""
        if self.events and self.events[-1].cursor.seq > self.head.tip.seq:
            return self.events[-1].cursor
        return self.head.tip


class Tip(NamedTuple):
    """Where a log ends, and the newest epoch that somebody has taken the lease for."""

    cursor: Cursor
    epoch: int


class SnapshotRow(NamedTuple):
    cursor: Cursor
    state: str


class Kept(NamedTuple):
    """A snapshot as it is stored: `state` and `files` as JSON, with the pages that are not in the state any more."""

    cursor: Cursor
    state: str
    files: str
    pages: Sequence[ConversationStretch]

    @property
    def chars(self) -> int:
        return len(self.state) + len(self.files)

    @classmethod
    def of(cls, folded: Folded) -> Self:
        return cls(folded.cursor, encode(folded.state), encode(folded.files), folded.pages)


@dataclass(frozen=True, slots=True)
class Commit:
    """One write: consecutive events of one writer, and what they leave behind.

    `kept` is what the log folds to at the last event, or None to leave the snapshot where it is. `project` runs in the
    same transaction, for whoever keeps copies of the state in tables of their own.
    """

    agent_id: str
    epoch: int
    events: Sequence[Stored]
    position: str
    kept: Kept | None = None
    project: Callable[[], None] | None = None


def create(agent_id: str) -> None:
    Log.objects.create(agent_id=agent_id)


@transaction.atomic
def create_trimmed(agent_id: str, first_seq: int, kept: Kept) -> None:
    """A log that begins at `first_seq`, as if what came before had been trimmed. `kept` is what its events came to, at
    the last of those or at a later one, which then has to be appended. Its pages are added with `add_page`."""
    at = kept.cursor
    Log.objects.create(agent_id=agent_id, epoch=at.epoch, seq=first_seq - 1, tip_epoch=at.epoch, first_seq=first_seq)
    if at.seq < first_seq:
        EpochStartRow.objects.create(agent_id=agent_id, epoch=at.epoch, first_seq=at.seq)
    _keep(agent_id, kept)


def add_page(agent_id: str, stretch: ConversationStretch) -> None:
    """To a log that is being made: the state or a later page names it."""
    _page_row(agent_id, stretch).save(force_insert=True)


@transaction.atomic
def open_epoch(agent_id: str, epoch: int) -> None:
    """To write events of `epoch` into a log that nobody else knows yet."""
    Log.objects.filter(agent_id=agent_id).update(epoch=epoch)
    begin(agent_id, epoch, [], "")


@transaction.atomic
def delete(agent_id: str) -> None:
    """The log's row first: it fences whoever is about to append, so nothing is left behind."""
    for model in (Log, EventChunk, EpochStartRow, Snapshot, ConversationPage):
        model.objects.filter(agent_id=agent_id).delete()


def head(agent_id: str) -> Head:
    row = Log.objects.filter(agent_id=agent_id).first()
    if row is None:
        raise LogMissing(agent_id)
    return Head(row.epoch, Cursor(row.tip_epoch, row.seq), row.first_seq, row.position)


def tips(agent_ids: Sequence[str]) -> dict[str, Tip]:
    """The last committed event of each log that is still there."""
    rows = Log.objects.filter(agent_id__in=agent_ids).values_list("agent_id", "tip_epoch", "seq", "epoch")
    return {str(agent_id): Tip(Cursor(tip_epoch, seq), epoch) for agent_id, tip_epoch, seq, epoch in rows}


def starts_from(agent_id: str, epoch: int) -> list[EpochStart]:
    """The first seq of `epoch` and of every later one, in order."""
    rows = EpochStartRow.objects.filter(agent_id=agent_id, epoch__gte=epoch).order_by("epoch")
    return [EpochStart(*row) for row in rows.values_list("epoch", "first_seq")]


def page(agent_id: str, after: Cursor, max_bytes: int = PAGE_BYTES) -> Page:
    """Events behind `after` by seq, whether or not that cursor can be honoured: judging it is the caller's.

    The head is read first: what is committed between the reads belongs to the next page. Where epochs begin is read
    last: an event of an epoch whose beginning is not known would be taken to follow a cursor that it supersedes.
    """
    at = head(agent_id)
    events: list[Stored] = []
    size = 0
    for chunk in _chunks(agent_id, after.seq):
        body = _body(chunk)
        events.extend(stored for stored in _unpack(chunk, body) if stored.cursor.seq > after.seq)
        size += len(body)
        if size >= max_bytes:
            break
    starts = starts_from(agent_id, after.epoch)
    if (events[0].cursor.seq if events else at.tip.seq + 1) > after.seq + 1:  # trimmed between the two reads: say so
        at = head(agent_id)
    last = events[-1].cursor.seq if events else after.seq
    return Page(at, starts, events, complete=last >= at.tip.seq)


def _chunks(agent_id: str, seq: int) -> Iterator[EventChunk]:
    """The rows with what is behind `seq`, up to the first gap: a trim between two queries leaves one.

    Not one query with .iterator(): for such a cursor PostgreSQL first copies all that is left of the log.
    """
    behind = EventChunk.objects.filter(agent_id=agent_id).order_by("last_seq")
    rows = list(behind.filter(last_seq__gt=seq)[:PAGE_CHUNKS])
    while rows:
        yield from rows
        seq = rows[-1].last_seq
        rows = list(behind.filter(last_seq__gt=seq)[:PAGE_CHUNKS])
        if rows and rows[0].first_seq != seq + 1:
            return


def snapshot(agent_id: str) -> SnapshotRow:
    """The stored snapshot; the empty state at 0-0 if there is none yet."""
    row = Snapshot.objects.filter(agent_id=agent_id).defer("packed_files").first()
    if row is None:
        return SnapshotRow(Cursor(0, 0), encode(initial()))
    if row.fold != FOLD:
        folded = load_snapshot(agent_id)
        return SnapshotRow(folded.cursor, encode(folded.state))
    return SnapshotRow(Cursor(row.epoch, row.seq), _state_json(row))


def snapshot_of_living(agent_id: str) -> SnapshotRow:
    """The same, of a log that is there. Raises LogMissing."""
    row = snapshot(agent_id)
    head(agent_id)
    return row


def load(agent_id: str) -> Folded:
    """What the log folds to at the last committed event: the snapshot, and the events after it.

    A trim between two reads may take events that this snapshot lacks: then there is a newer one, which has them.
    """
    folded = load_snapshot(agent_id)
    while True:
        found = page(agent_id, folded.cursor)
        if found.head.first_seq > folded.cursor.seq + 1:
            newer = load_snapshot(agent_id)
            if newer.cursor.seq + 1 < found.head.first_seq:
                raise LogBroken(agent_id, newer.cursor.seq, found.head.first_seq)
            folded = newer
            continue
        folded.take(decode(stored.payload) for stored in found.events)
        folded.later_chars += sum(len(stored.payload) for stored in found.events)
        if found.complete or not found.events:
            return folded


def load_snapshot(agent_id: str) -> Folded:
    row = Snapshot.objects.filter(agent_id=agent_id).first()
    if row is None:
        return Folded()
    if row.fold == FOLD:
        return _folded(row)
    folded = _old_beginning(row)
    folded.take(takewhile(lambda event: event.seq <= row.seq, events(agent_id, folded.cursor)))
    return folded


def _folded(row: Snapshot) -> Folded:
    state, files = _state_json(row), "{}" if row.packed_files is None else unpack(bytes(row.packed_files))
    at = Cursor(row.epoch, row.seq)
    return Folded(at, json.loads(state), json.loads(files), stored_chars=len(state) + len(files))


def _state_json(row: Snapshot) -> str:
    return row.state if row.packed_state is None else unpack(bytes(row.packed_state))


def _old_beginning(row: Snapshot) -> Folded:
    """From where a log is folded anew whose stored state is of version 1: its beginning, unless that was trimmed."""
    if head(str(row.agent_id)).first_seq == 1:
        return Folded()
    return upgrade.from_version_1(json.loads(row.state), Cursor(row.epoch, row.seq))


def conversation_page(agent_id: str, before: Cursor) -> str | None:
    """A committed page as JSON: `messages`, and `earlier`. It never changes."""
    rows = ConversationPage.objects.filter(agent_id=agent_id, epoch=before.epoch, seq=before.seq)
    packed = rows.values_list("packed", flat=True).first()
    return None if packed is None else unpack(bytes(packed))


def conversation_page_after(agent_id: str, before: Cursor) -> Cursor | None:
    """The cursor of the committed page that comes after the one before `before`, if there is one."""
    rows = ConversationPage.objects.filter(agent_id=agent_id, seq__gt=before.seq)
    found = rows.order_by("seq").values_list("epoch", "seq").first()
    return Cursor(*found) if found else None


def conversation_before(agent_id: str, folded: Folded) -> Iterator[dict[str, Any]]:
    """The messages of the conversation, newest first, parts in their order: the state's, then those of its pages."""
    yield from reversed(folded.state["messages"])
    for stretch in pages_before(agent_id, folded):
        yield from reversed(stretch.messages)


def pages_before(agent_id: str, folded: Folded) -> Iterator[ConversationStretch]:
    """The pages of the conversation before the state, newest first: those that are not stored yet, then the stored."""
    yield from reversed(folded.pages)
    earlier = folded.pages[0].earlier if folded.pages else folded.state["earlier"]
    while earlier is not None:
        at = parse(earlier["before"]) or Cursor(0, 0)
        row = ConversationPage.objects.filter(agent_id=agent_id, epoch=at.epoch, seq=at.seq).first()
        if row is None:
            raise PageMissing(agent_id, earlier["before"])
        found = json.loads(unpack(bytes(row.packed)))
        earlier = found["earlier"]
        yield ConversationStretch(at, found["messages"], earlier, row.clears)


def cleared_at(agent_id: str, folded: Folded, seq: int) -> int:
    """`cleared` of the state as it was at the event `seq`, from the pages that are `folded` and the stored ones."""
    for stretch in reversed(folded.pages):
        if stretch.clears and stretch.before.seq <= seq:
            return _last_n(stretch)
    rows = ConversationPage.objects.filter(agent_id=agent_id, clears=True, seq__lte=seq).order_by("-seq")
    return rows.values_list("last_n", flat=True).first() or 0


def page_json(stretch: ConversationStretch) -> str:
    return encode({"messages": stretch.messages, "earlier": stretch.earlier})


def events(agent_id: str, after: Cursor = Cursor(0, 0)) -> Iterable[Event]:
    """Every stored event behind `after`, oldest first, read page by page. What was trimmed is left out in silence:
    whoever needs all of them compares the first seq."""
    while True:
        found = page(agent_id, after)
        for stored in found.events:
            yield decode(stored.payload)
        if found.complete or not found.events:
            return
        after = found.events[-1].cursor


def cursor_at(agent_id: str, seq: int) -> Cursor:
    """The cursor of the stored event with that seq; the beginning for 0."""
    starts = starts_from(agent_id, 0)
    return Cursor(max((start.epoch for start in starts if start.first_seq <= seq), default=0), seq)


@transaction.atomic
def commit(write: Commit) -> None:
    """Append to the log. Raises Fenced if somebody else is the writer now; repeating a commit that got through is
    harmless (the connection may have been cut after the database had committed)."""
    first, last = write.events[0].cursor.seq, write.events[-1].cursor
    moved = Log.objects.filter(agent_id=write.agent_id, epoch=write.epoch, seq=first - 1).update(
        seq=last.seq, tip_epoch=last.epoch, position=write.position
    )
    if not moved:
        _already_there(write)
        return
    _store(write.agent_id, write.events)
    if write.kept is not None:
        _keep(write.agent_id, write.kept)
    if write.project is not None:
        write.project()


def refresh_snapshot(agent_id: str) -> bool:
    """Store what the log folds to at its last committed event: where the stored state is of an older version of the
    fold, or behind. False if somebody else has stored one meanwhile.

    Needs no lease: committed events and the pages they leave never change, and the old row is replaced only while it
    is there. Holds a bounded part of the log at a time. Raises LogMissing, LogBroken.
    """
    old = Snapshot.objects.filter(agent_id=agent_id).first()
    if old is None:
        return False
    folded = _old_beginning(old) if old.fold != FOLD else _folded(old)
    for event in events(agent_id, folded.cursor):
        if event.seq != folded.cursor.seq + 1:  # a newer state was stored, and what lies behind that was trimmed
            return False
        folded.take([event])
        if len(folded.pages) >= REFRESH_PAGES:
            if not _replace(old, folded.pages):
                return False
            folded.pages = []
    if folded.cursor.seq < old.seq:
        raise LogBroken(agent_id, old.seq, folded.cursor.seq + 1)
    return _replace(old, folded.pages, Kept.of(folded))


@transaction.atomic
def _replace(old: Snapshot, pages: Sequence[ConversationStretch], by: Kept | None = None) -> bool:
    """Store pages of a log whose snapshot is still `old`, and the new snapshot. False if it is another, or gone."""
    agent_id = str(old.agent_id)
    same = Snapshot.objects.filter(agent_id=agent_id, fold=old.fold, epoch=old.epoch, seq=old.seq)
    if not same.select_for_update().exists():
        return False
    if by is None:
        _keep_pages(agent_id, pages)
    else:
        _keep(agent_id, by)
    return True


def _keep(agent_id: str, kept: Kept) -> None:
    """The pages with the snapshot that has no more of what is in them. Who takes over makes the same pages again."""
    at = kept.cursor
    packed = {"packed_state": pack(kept.state), "packed_files": pack(kept.files)}
    row = Snapshot(agent_id=agent_id, epoch=at.epoch, seq=at.seq, fold=FOLD, state="", **packed)
    fields = ["epoch", "seq", "fold", "state", *packed]
    Snapshot.objects.bulk_create([row], update_conflicts=True, unique_fields=["agent_id"], update_fields=fields)
    _keep_pages(agent_id, kept.pages)


def _keep_pages(agent_id: str, pages: Sequence[ConversationStretch]) -> None:
    ConversationPage.objects.bulk_create([_page_row(agent_id, one) for one in pages], ignore_conflicts=True)


def _page_row(agent_id: str, stretch: ConversationStretch) -> ConversationPage:
    return ConversationPage(
        agent_id=agent_id,
        epoch=stretch.before.epoch,
        seq=stretch.before.seq,
        last_n=_last_n(stretch),
        clears=stretch.clears,
        packed=pack(page_json(stretch)),
    )


def _last_n(stretch: ConversationStretch) -> int:
    last: int = stretch.messages[-1]["parts"][-1]["n"]
    return last


@transaction.atomic
def begin(
    agent_id: str, epoch: int, adopted: Sequence[Stored], position: str, project: Callable[[], None] | None = None
) -> Cursor:
    """Open `epoch` for writing: take over the events that only Redis had, and note where the epoch begins.

    Returns the tip, behind which the first event of the epoch goes. Raises Fenced.
    """
    log = Log.objects.select_for_update().filter(agent_id=agent_id, epoch=epoch).first()
    if log is None:
        raise Fenced(agent_id, epoch)
    if adopted and adopted[0].cursor.seq != log.seq + 1:
        raise Fenced(agent_id, epoch)  # somebody with our own epoch was here: two of us think that they won
    if adopted:
        last = adopted[-1].cursor
        log.seq, log.tip_epoch, log.position = last.seq, last.epoch, position
        log.save(update_fields=["seq", "tip_epoch", "position"])
        _store(agent_id, adopted)
        if project is not None:
            project()
    start = EpochStartRow(agent_id=agent_id, epoch=epoch, first_seq=log.seq + 1)
    EpochStartRow.objects.bulk_create([start], ignore_conflicts=True)  # there is one already if this is a repetition
    return Cursor(log.tip_epoch, log.seq)


@transaction.atomic
def trim(agent_id: str, keep_from_seq: int, *, min_age: timedelta = timedelta(0), max_chunks: int | None = None) -> int:
    """Drop chunks that lie wholly before `keep_from_seq` and before the snapshot; answers the new first seq. From the
    beginning of the log on, as far as they were stored at least `min_age` ago by the database's clock, and at most
    `max_chunks`: the log's writer has to wait meanwhile. Raises LogMissing.
    """
    # The log's row first, as whoever deletes a log does: the other way round the two could wait for each other.
    log = Log.objects.select_for_update().filter(agent_id=agent_id).first()
    if log is None:
        raise LogMissing(agent_id)
    chunks = EventChunk.objects.filter(agent_id=agent_id)
    below = chunks.filter(last_seq__lt=min(keep_from_seq, _snapshot_seq(agent_id) + 1)).order_by("last_seq")
    aged = below.annotate(is_old=Q(created_at__lte=Now() - min_age)).values_list("last_seq", "is_old")[:max_chunks]
    doomed = [last_seq for last_seq, _ in takewhile(lambda row: row[1] or not min_age, aged)]
    if not doomed:
        return log.first_seq
    chunks.filter(last_seq__lte=doomed[-1]).delete()
    first_seq = max(log.first_seq, doomed[-1] + 1)
    Log.objects.filter(agent_id=agent_id).update(first_seq=first_seq)
    return first_seq


def is_in_snapshot(agent_id: str, seq: int) -> bool:
    return _snapshot_seq(agent_id) >= seq


def _snapshot_seq(agent_id: str) -> int:
    """What lies behind an older version's snapshot stays: it may have to be folded anew."""
    row = Snapshot.objects.filter(agent_id=agent_id, fold=FOLD).values_list("seq", flat=True).first()
    return row or 0


def trimmable(min_age: timedelta) -> QuerySet[EventChunk]:
    """Chunks that are old enough, oldest first. Their snapshot may have to be refreshed before they are trimmed."""
    old = EventChunk.objects.filter(created_at__lte=Now() - min_age)
    return old.order_by("created_at", "first_seq")  # one commit's have one time


def _already_there(write: Commit) -> None:
    last = write.events[-1].cursor
    if not Log.objects.filter(agent_id=write.agent_id, epoch=write.epoch, seq=last.seq, tip_epoch=last.epoch).exists():
        raise Fenced(write.agent_id, write.epoch)


def _store(agent_id: str, events: Sequence[Stored]) -> None:
    EventChunk.objects.bulk_create(
        EventChunk(
            agent_id=agent_id,
            first_seq=part[0].cursor.seq,
            last_seq=part[-1].cursor.seq,
            epoch=part[0].cursor.epoch,
            packed=pack("\n".join(stored.payload for stored in part)),
        )
        for part in _parts(events)
    )


def _parts(events: Sequence[Stored]) -> Iterable[list[Stored]]:
    """One row for each run of events of the same epoch, or several if there is much text."""
    part: list[Stored] = []
    size = 0
    for stored in events:
        if part and (stored.cursor.epoch != part[0].cursor.epoch or size + len(stored.payload) > CHUNK_CHARS):
            yield part
            part, size = [], 0
        part.append(stored)
        size += len(stored.payload)
    if part:
        yield part


def _body(chunk: EventChunk) -> str:
    return chunk.body if chunk.packed is None else unpack(bytes(chunk.packed))


def _unpack(chunk: EventChunk, body: str) -> Iterable[Stored]:
    for at, payload in enumerate(body.split("\n")):
        yield Stored(Cursor(chunk.epoch, chunk.first_seq + at), payload)
