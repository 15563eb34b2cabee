"""A subscriber's frames in another dialect.

The place in the log stays the subscriber's, so what native promises holds here as well. Of the frames made of one event
one carries its cursor, and a dialect can begin anywhere: who comes in the middle of a run is told what is needed to go
on (a message that is open is opened again), and for that the dialect first learns the run's events up to there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

from streaming.http.dialects.dialect import Dialect
from streaming.http.dialects.saying import Part, Saying
from streaming.model.cursor import Cursor
from streaming.model.events import decode, encode
from streaming.read import frames
from streaming.read.frames import Frame
from streaming.read.hub import Hub
from streaming.read.reader import Reset
from streaming.read.subscriber import Subscriber
from streaming.store import journal
from streaming.store.database import in_database

FirstSeq = Callable[[str], Awaitable[int | None]]
"""Where in its log a run's first event is; None if that is not committed yet, or nobody knows the run."""


class Translation:
    """One response."""

    def __init__(self, dialect: Dialect, subscriber: Subscriber, agent_id: str, hub: Hub, first_seq: FirstSeq) -> None:
        self._dialect = dialect
        self._subscriber = subscriber
        self._agent_id = agent_id
        self._hub = hub
        self._first_seq = first_seq
        self._joined = subscriber.cursor
        """Behind what an earlier response has said, if there was one."""
        self._known: set[str] = set()
        """Runs of which the dialect knows what came before."""

    async def begin(self) -> None:
        """Without a cursor, in a dialect that has no snapshot: before the active run, else at the tip. Raises
        LogMissing, JournalUnavailable."""
        if self._subscriber.cursor is not None or self._dialect.HAS_SNAPSHOT:
            return
        tip = await self._hub.reader.at_tip(self._agent_id)
        run_id = self._subscriber.until_run or tip.state["active_run"]
        if run_id is not None:
            self._dialect.begin_with(run_id)
        self._subscriber.cursor = tip.cursor if run_id is None else await self._before(run_id)

    async def stream(self) -> AsyncGenerator[bytes]:
        """As Subscriber.stream."""
        yield frames.opening()
        async with contextlib.aclosing(self._subscriber.batches()) as batches:
            async for batch in batches:
                yield b"".join([await self._translate(frame) for frame in batch]) or frames.HEARTBEAT
        if self._subscriber.has_ended:
            yield self._dialect.ENDING
        elif self._hub.closing.is_set():
            yield frames.closing()

    async def _translate(self, frame: Frame) -> bytes:
        payload = frame.payload
        if frame.is_event:
            event = decode(payload)
            await self._learn(event.run_id)
            return wire(self._dialect.event(event), frame.cursor)
        raw = json.loads(payload)
        if raw["type"] == "reset":
            return wire(self._dialect.reset(raw["reason"]), None)
        self._joined = None
        return wire(self._dialect.snapshot(frame.cursor, raw["state"]), frame.cursor)

    # What came before ----------------------------------------------------------------------------------------------

    async def _learn(self, run_id: str | None) -> None:
        """Have the dialect learn what an earlier response has said of a run that we meet for the first time."""
        if self._joined is None or run_id is None or run_id in self._known:
            return
        self._known.add(run_id)
        at = await self._before(run_id)
        while at.seq < self._joined.seq:
            page = await self._hub.reader.after(self._agent_id, at)
            if isinstance(page, Reset) or not page.frames:
                return  # trimmed meanwhile
            for frame in page.frames:
                if frame.cursor.seq > self._joined.seq:
                    return
                event = decode(frame.payload)
                if event.run_id == run_id:
                    self._dialect.learn(event)
            at = page.frames[-1].cursor

    async def _before(self, run_id: str) -> Cursor:
        """The place before a run's first event; the committed tip if that is not committed yet. The tip is read first:
        else the event could be committed between the two."""
        tip = (await in_database(journal.head, self._agent_id)).tip
        first_seq = await self._first_seq(run_id)
        return tip if first_seq is None else await in_database(journal.cursor_at, self._agent_id, first_seq - 1)


def wire(saying: Saying, cursor: Cursor | None) -> bytes:
    """`cursor` goes with the last of the parts; without one no frame has an id."""
    said = [_frame(part, None) for part in saying.parts[:-1]]
    said += [_frame(part, cursor) for part in saying.parts[-1:]]
    return b"".join([*said, *(_frame(part, None) for part in saying.closing)])


def _frame(part: Part, cursor: Cursor | None) -> bytes:
    data = b"data: %b\n\n" % encode(part).encode()
    return data if cursor is None else b"id: %d-%d\n%b" % (*cursor, data)
