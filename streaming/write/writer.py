"""The one writer of one log: gives events their place, publishes them, commits them.

    append ─► pending ─► publish loop ─► Redis      live; retried until it is in, or Redis does not answer
                   └───► commit loop ──► database   every COMMIT_INTERVAL_S or COMMIT_EVENTS; repeated until it is in

`pending` is what the database has not acknowledged, or Redis has not while it answers. It is bounded by PENDING_BYTES
and by what Redis keeps: beyond, `append` waits, the supervisor stops reading its container, and the engine keeps the
output. Redis being away costs liveness only.

Who is the writer is for the database to say. While our lease has run out by our own clock nothing is published, but
nothing is lost either: with the next commit the database says whether the log is still ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import structlog
from django.conf import settings

from streaming.errors import BusUnavailable, Fenced, JournalUnavailable, StreamingError, Unbarred, WriterClosed
from streaming.model.cursor import Cursor
from streaming.model.events import Draft, Event, now
from streaming.model.fold import State
from streaming.model.folded import Folded
from streaming.model.manifest import Manifest
from streaming.store import journal
from streaming.store.bus import Bus
from streaming.store.database import in_database
from streaming.store.journal import Commit, Stored
from streaming.write.takeover import Opening, Project

log = structlog.get_logger(__name__)
PUBLISH_EVENTS = 1000
"""About how many events go to Redis in one call."""
PENDING_SHARE = 2
"""Half of what a stream in Redis keeps may be pending, so that Redis never drops what only it has."""
CLOSE_PATIENCE_S = 1.0
"""How long closing waits for Redis, once everything is in the database."""
RETRY_FIRST_S, RETRY_MOST_S = 0.05, 2.0
LEASE_PATIENCE_S = 0.2
"""How often a writer whose lease has run out looks whether it was renewed."""
SNAPSHOT_SHARE, SNAPSHOT_SHARE_AT_END = 1.0, 0.25
"""A state is stored again when the events since are that much of its own length, and at the end of a run earlier. So
what snapshots cost stays below the log itself, also where nobody vacuums, and a reader has little to fold."""


class Pending(NamedTuple):
    event: Event
    payload: str
    position: str
    ends_batch: bool


class Batch(NamedTuple):
    """One attempt at the database, repeated as it is until it is in: it may have got in without our being told."""

    events: list[Event]
    commit: Commit
    size: int


class Writer:
    """`held` says, without asking anybody, whether the lease is still ours; it is asked before everything published."""

    def __init__(
        self,
        agent_id: str,
        epoch: int,
        opening: Opening,
        bus: Bus,
        held: Callable[[], bool],
        project: Project | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.epoch = epoch
        self._folded = opening.folded
        self.position = opening.position
        self.seq = self.committed = self.sent = opening.tip.seq
        self._bus = bus
        self._held = held
        self._project = project
        self._pending: deque[Pending] = deque()
        self._pending_bytes = 0
        self._snapshot_chars = opening.folded.stored_chars
        self._later_chars = opening.folded.later_chars
        self._trying: Batch | None = None
        self._ended: Fenced | None = None
        """Why nothing more is taken."""
        self._appended = asyncio.Event()
        self._uncommitted = asyncio.Event()
        self._commit_now = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._publish_loop(), name=f"publish {agent_id}"),
            asyncio.create_task(self._commit_loop(), name=f"commit {agent_id}"),
        ]

    @property
    def state(self) -> State:
        """What the log folds to with everything that was appended."""
        return self._folded.state

    @property
    def folded(self) -> Folded:
        """The same, with the pages that are not stored yet. Nothing in it changes any more."""
        return self._folded

    @property
    def files(self) -> Manifest:
        """All files of the workspace that the log knows."""
        return self._folded.files

    async def append(self, drafts: Sequence[Draft], position: str | None = None) -> list[Event]:
        """Give `drafts` the next places, all or none; they reach subscribers and the database by themselves.

        `position`: how far the source has been read once these are in. Waits while too much is pending. Raises Fenced.
        """
        await self._wait(self._has_room)
        events = [self._place(draft, self.seq + at) for at, draft in enumerate(drafts, 1)]
        payloads = [event.encode() for event in events]
        folded = replace(self._folded)
        folded.take(events)
        # From here on nothing can fail: half a batch would be a hole in the log.
        before, self.position = self.position, self.position if position is None else position
        for event, payload in zip(events, payloads, strict=True):
            last = event is events[-1]
            self._pending.append(Pending(event, payload, self.position if last else before, last))
        self.seq, self._folded = self.seq + len(events), folded
        self._pending_bytes += sum(map(len, payloads))
        if events:
            self._appended.set()
            self._uncommitted.set()
        if self.seq - self.committed >= settings.COMMIT_EVENTS:
            self._commit_now.set()
        return events

    async def flush(self) -> None:
        """Returns when everything appended so far is in the database. Raises Fenced."""
        wanted = self.seq
        self.hasten()
        await self._wait(lambda: self.committed >= wanted)

    def hasten(self) -> None:
        """Have everything appended so far in the database soon, without waiting for it."""
        if self.committed < self.seq:
            self._commit_now.set()

    async def close(self) -> None:
        """Flush, and stop. Raises Fenced if not everything got in. Subscribers get it now if Redis answers, else by
        their own look at the database."""
        try:
            await self.flush()
            with contextlib.suppress(TimeoutError, Fenced):
                async with asyncio.timeout(CLOSE_PATIENCE_S):
                    await self._wait(lambda: self.sent >= self.seq)
            while self.committed < self.seq:  # somebody has appended meanwhile: only Redis would have it
                await self.flush()
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Stop where we are: what is pending in Redis will be adopted by the next writer."""
        self._end(WriterClosed(self.agent_id, self.epoch))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose(self) -> None:
        """Somebody knows that the log is another's now: nothing more is written."""
        self._end(Fenced(self.agent_id, self.epoch))

    @property
    def _is_closed(self) -> bool:
        return self._ended is not None

    @property
    def lost(self) -> bool:
        return self._ended is not None and not isinstance(self._ended, WriterClosed)

    async def wait_lost(self) -> None:
        """Returns when somebody else has become the writer, or this one was closed."""
        with contextlib.suppress(Fenced):
            await self._wait(lambda: False)

    # Places -------------------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        most_events = settings.STREAM_MAXLEN // PENDING_SHARE
        return self._pending_bytes < settings.PENDING_BYTES and len(self._pending) < most_events

    def _place(self, draft: Draft, seq: int) -> Event:
        return Event(draft.type, self.agent_id, draft.run_id, self.epoch, seq, now(), draft.data)

    def _end(self, why: Fenced) -> None:
        if self._ended is None:
            self._ended = why
            if self.lost:
                log.info("lost the log", agent_id=self.agent_id, epoch=self.epoch)
        self._notify()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        while self._ended is None and not condition():
            await self._changed.wait()
        if self._ended is not None:
            raise self._ended.with_traceback(None)

    def _notify(self) -> None:
        """Everybody who waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # Redis --------------------------------------------------------------------------------------------------------

    async def _publish_loop(self) -> None:
        retry_s = RETRY_FIRST_S
        while not self._is_closed:
            await self._appended.wait()
            self._appended.clear()
            while batch := self._unsent():
                if not self._held():
                    await asyncio.sleep(LEASE_PATIENCE_S)
                elif await self._try_to_publish(batch):
                    retry_s = RETRY_FIRST_S
                else:
                    await asyncio.sleep(retry_s)
                    retry_s = min(retry_s * 2, RETRY_MOST_S)

    async def _try_to_publish(self, batch: list[Pending]) -> bool:
        """False if it has to be tried again, and not at once."""
        try:
            await self._publish(batch)
            return True
        except Unbarred:
            return await self._try_to_bar()
        except BusUnavailable:
            # Readers find in the database what it has; the rest has to wait for Redis.
            self.sent = max(self.sent, self.committed)
            self._drop()
        except Fenced as error:
            self._end(error)
        except Exception:
            log.exception("can't publish", agent_id=self.agent_id)
        return False

    async def _try_to_bar(self) -> bool:
        """Redis was emptied. Only who is still the writer by the database's word may put up a barrier there."""
        try:
            if (await in_database(journal.head, self.agent_id)).epoch != self.epoch:
                raise Fenced(self.agent_id, self.epoch)
            if self._held():
                await self._bus.fence(self.agent_id, self.epoch)
                return True
        except (BusUnavailable, JournalUnavailable):
            return False
        except StreamingError:
            self._end(Fenced(self.agent_id, self.epoch))
        return False

    def _unsent(self) -> list[Pending]:
        """What Redis has not got, in whole batches."""
        if not self._pending or self._is_closed:
            return []
        batch: list[Pending] = []
        for pending in islice(self._pending, max(0, self.sent + 1 - self._pending[0].event.seq), None):
            batch.append(pending)
            if len(batch) >= PUBLISH_EVENTS and pending.ends_batch:
                break
        return batch

    async def _publish(self, batch: list[Pending]) -> None:
        payloads = [pending.payload for pending in batch]
        self.sent = await self._bus.publish(
            self.agent_id, self.epoch, batch[0].event.seq, payloads, batch[-1].position, self.committed
        )
        self._drop()

    def _drop(self) -> None:
        """Let go of what the database has and Redis has too, or has not answered for."""
        while self._pending and self._pending[0].event.seq <= min(self.committed, self.sent):
            self._pending_bytes -= len(self._pending.popleft().payload)
        self._notify()

    # Database -----------------------------------------------------------------------------------------------------

    async def _commit_loop(self) -> None:
        retry_s = RETRY_FIRST_S
        while not self._is_closed:
            await self._uncommitted.wait()  # a silent agent costs nothing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.COMMIT_INTERVAL_S):
                    await self._commit_now.wait()
            self._commit_now.clear()
            if await self._try_to_commit():
                retry_s = RETRY_FIRST_S
            else:
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MOST_S)
            if self.committed == self.seq:
                self._uncommitted.clear()

    async def _try_to_commit(self) -> bool:
        """False if it has to be tried again, and not at once."""
        batch = self._trying = self._trying or self._batch()
        try:
            await in_database(journal.commit, batch.commit)
        except JournalUnavailable as error:
            log.warning("database away", agent_id=self.agent_id, held=len(self._pending), error=str(error))
        except Fenced as error:
            self._end(error)
        except Exception:
            log.exception("can't commit", agent_id=self.agent_id, held=len(self._pending))
        else:
            self._trying = None
            self._committed(batch)
            return True
        return False

    def _batch(self) -> Batch:
        """Everything uncommitted in one transaction, so the state is that at the last event of it."""
        skip = self.committed + 1 - self._pending[0].event.seq
        pending = list(islice(self._pending, max(0, skip), None))
        events = [one.event for one in pending]
        size = sum(len(one.payload) for one in pending)
        project = self._project

        def copies() -> None:
            if project is not None:
                project(events)

        stored = [Stored(Cursor(self.epoch, one.event.seq), one.payload) for one in pending]
        kept = self._snapshot(events, size)
        return Batch(events, Commit(self.agent_id, self.epoch, stored, self.position, kept, copies), size)

    def _committed(self, batch: Batch) -> None:
        self.committed = batch.events[-1].seq
        self._later_chars += batch.size
        if (kept := batch.commit.kept) is not None:
            self._snapshot_chars, self._later_chars = kept.chars, 0
            self._folded = replace(self._folded, pages=self._folded.pages[len(kept.pages) :])
        self._drop()

    def _snapshot(self, events: Sequence[Event], size: int) -> journal.Kept | None:
        share = SNAPSHOT_SHARE_AT_END if any(event.type == "done" for event in events) else SNAPSHOT_SHARE
        is_due = self._later_chars + size >= share * self._snapshot_chars
        return journal.Kept.of(self._folded) if is_due else None
