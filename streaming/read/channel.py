"""One agent's live end in one process: what arrives on the bus, in order, without gaps, for all local subscribers.

A ring of the newest frames serves every subscriber that keeps up; each holds only its own cursor. So the bounded queue
of a subscriber is its distance to the end of the ring: fifty stalled ones cost no more memory than one.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from django.conf import settings

from streaming.model.cursor import Cursor
from streaming.read.frames import Frame, end_of_write
from streaming.store.bus import Message


class Channel:
    """`last` is the newest event known here; None until the first look at the log. Never runs ahead of the log:
    an event is taken only if it follows `last` in the same epoch, or comes from a reader that has judged it."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.last: Cursor | None = None
        self.base = Cursor(0, 0)
        """The place before the first frame of the ring."""
        self._doubted: int | None = None
        """What was given out behind this seq is in neither store, and its writer has not said any more yet."""
        self.deleted = False
        self.generation = 0
        """Grows when events that were given out turn out not to be in the log."""
        self.subscribers: set[asyncio.Event] = set()
        self.wanted = asyncio.Event()
        """Set when this end has to be filled from the log."""
        self.ready = asyncio.Event()
        """Set once Redis has acknowledged our subscription, or waiting for that is pointless."""
        self.filling = asyncio.Lock()
        """Whoever moves this end by what the log says holds this."""
        self._ring: list[Frame] = []
        self._ring_bytes = 0
        self._held: list[Message] = []
        self._held_bytes = 0

    # What arrives -------------------------------------------------------------------------------------------------

    def offer(self, messages: Iterable[Message]) -> None:
        """Events from the bus. Repeats and stale epochs are dropped; what does not follow waits, and has us filled."""
        before = self.last
        for message in messages:
            if not self._take(message):
                self._hold(message)
                self.wanted.set()
        self._settle(before)

    def fill(self, at: Cursor, frames: Sequence[Frame]) -> bool:
        """Events that a reader found behind `at`; then those that were waiting for them.

        False if they don't fit what arrived live since the reader was asked: a takeover came between, so ask again.
        """
        start = self._joint(at, frames)
        if start is None:
            return False
        before = self.last
        for frame in frames[start:]:
            self._add(frame)
        held, self._held, self._held_bytes = self._held, [], 0
        for message in held:
            if not self._take(message):
                self._hold(message)
        self._settle(before)
        return True

    def place(self, at: Cursor) -> None:
        """(Re)start behind `at`: at first, and when `last` turned out not to be in the log."""
        if self.last is not None:
            self.generation += 1
        self.last = self.base = at
        self._doubted = None
        self._ring.clear()
        self._ring_bytes = 0
        self.wake()

    def doubt(self, known_seq: int | None) -> None:
        """The log ends there by what the stores say, if it ends before `last`. What is behind may be lost: nobody gets
        it who has not got it already, and so nobody who was reset is given it again."""
        if known_seq != self._doubted:
            self._doubted = known_seq
            self.wake()

    def delete(self) -> None:
        self.deleted = True
        self.ready.set()
        self.wake()

    @property
    def is_doubtful(self) -> bool:
        return self._doubted is not None

    @property
    def holding(self) -> bool:
        """Is there something that the log has not explained yet?"""
        return bool(self._held)

    def _take(self, message: Message) -> bool:
        """True if there is nothing more to do about it."""
        if self.last is None:
            return False
        if message.cursor.epoch < self.last.epoch:
            return True
        if message.cursor.epoch > self.last.epoch:
            return False  # whether it follows is for the log to say: its epoch may begin before `last`
        if message.cursor.seq <= self.last.seq:
            if self._doubted is not None and message.cursor.seq > self._doubted:
                self.wanted.set()  # its writer lives, and says it again
            return True
        if message.cursor.seq != self.last.seq + 1:
            return False
        self._add(Frame.event(message.cursor, message.payload))
        return True

    def _hold(self, message: Message) -> None:
        self._held.append(message)
        self._held_bytes += len(message.payload)
        if len(self._held) > settings.STREAM_QUEUE_EVENTS or self._held_bytes > settings.STREAM_QUEUE_BYTES:
            self._held, self._held_bytes = [], 0  # the log has them all

    def _joint(self, at: Cursor, frames: Sequence[Frame]) -> int | None:
        """Where `frames` go on from `last`, which may have moved behind `at`; None if the two don't agree."""
        if self.last == at or not frames:
            return 0
        for index, frame in enumerate(frames):
            if frame.cursor == self.last:
                return index + 1
        end = frames[-1].cursor
        beyond = self.last is not None and self.last.epoch == end.epoch and self.last.seq > end.seq
        return len(frames) if beyond else None

    # What is given out --------------------------------------------------------------------------------------------

    def after(self, cursor: Cursor, max_bytes: int) -> list[Frame] | None:
        """Frames behind `cursor`: at least one if there is one, then up to `max_bytes`. None if the ring does not hold
        that place."""
        start = self._index(cursor)
        if start is None:
            return None
        frames = self._ring[start : end_of_write(self._ring, start, max_bytes)]
        return frames if self._doubted is None else [frame for frame in frames if frame.cursor.seq <= self._doubted]

    def _index(self, cursor: Cursor) -> int | None:
        if cursor == self.last:
            return len(self._ring)
        if cursor == self.base:
            return 0
        at = bisect_right(self._ring, cursor.seq, key=lambda frame: frame.cursor.seq)
        return at if at and self._ring[at - 1].cursor == cursor else None

    def wake(self) -> None:
        for subscriber in self.subscribers:
            subscriber.set()

    def _add(self, frame: Frame) -> None:
        self._ring.append(frame)
        self._ring_bytes += len(frame.wire)
        self._doubted = None
        self.last = frame.cursor

    def _settle(self, before: Cursor | None) -> None:
        """After a change: keep the ring small, wake whoever waits for more."""
        if self.last != before:
            self._trim()
            self.wake()

    def _trim(self) -> None:
        drop, size = 0, self._ring_bytes
        most_events, most_bytes = settings.STREAM_QUEUE_EVENTS, settings.STREAM_QUEUE_BYTES
        while drop < len(self._ring) - 1 and (len(self._ring) - drop > most_events or size > most_bytes):
            size -= len(self._ring[drop].wire)
            drop += 1
        if drop:
            self._ring_bytes = size
            self.base = self._ring[drop - 1].cursor
            del self._ring[:drop]
