"""What one subscriber gets: replay behind its cursor, then live. Knows nothing of HTTP or ASGI.

    cursor ─► [reader pages] ─► [the channel's ring] ─► wait for more
                    └ reset ─► snapshot ─┘

The seam is crossed by the cursor alone: whatever comes next is asked for by "behind this cursor", from the ring if the
ring holds that place, else from the log. Nothing is queued for a subscriber, so nothing grows while it is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Any

from django.conf import settings

from streaming.model.cursor import Cursor
from streaming.model.events import decode
from streaming.model.fold import State, waiting_runs
from streaming.read import frames
from streaming.read.channel import Channel
from streaming.read.frames import Frame
from streaming.read.hub import Hub
from streaming.read.reader import Reset
from streaming.store.journal import CHUNK_CHARS

SLOW_S = 1.0
"""Who is overtaken by the ring while a write to it takes longer than this is too slow; else it was only a burst."""


class Subscriber:
    """One open stream. `until_run`: end behind the `done` of that run. `turn`: held for as long as events are in memory
    for this subscriber; those that share a connection share it, so together they hold no more than one of them."""

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        cursor: Cursor | None,
        until_run: str | None = None,
        turn: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.cursor = cursor
        self.until_run = until_run
        self.was_ended = False
        """By `end`."""
        self._turn = turn or contextlib.nullcontext()
        self._hub = hub
        self._channel = channel
        self._end_at: Cursor | None = None
        self._woken = asyncio.Event()
        self._live_in: int | None = None
        """The channel's generation in which we were live, or None while replaying."""
        self._taking_s = 0.0
        """How long the last write took."""
        self._finished = False

    def until(self, run_id: str) -> None:
        """End behind the `done` of that run."""
        self.until_run = run_id

    def end_at(self, cursor: Cursor) -> None:
        """End when everything up to there has been sent, and there is nothing more at hand."""
        self._end_at = cursor

    def end(self) -> None:
        """End now, whatever is at hand."""
        self.was_ended = True
        self._woken.set()

    @property
    def has_ended(self) -> bool:
        """Where it was to end: not because the agent, the server or our patience has."""
        return self._finished or self._is_at_end()

    async def stream(self) -> AsyncGenerator[bytes]:
        """Wire bytes. Ends when the agent is deleted, the server stops, `until` is reached, `end` is called, or we fell
        too far behind. Raises LogMissing, JournalUnavailable."""
        yield frames.opening()
        async with contextlib.aclosing(self.batches()) as batches:
            async for batch in batches:
                yield b"".join(frame.wire for frame in batch) or frames.HEARTBEAT
        if self._hub.closing.is_set():
            yield frames.closing()

    async def batches(self) -> AsyncGenerator[Sequence[Frame]]:
        """What is at hand, at once; an empty batch for STREAM_HEARTBEAT_S of silence."""
        self._channel.subscribers.add(self._woken)
        try:
            async with contextlib.aclosing(self._follow()) as following:
                async for batch in following:
                    asked_at = monotonic()
                    yield batch
                    self._taking_s = monotonic() - asked_at
        finally:
            self._channel.subscribers.discard(self._woken)

    async def _follow(self) -> AsyncGenerator[Sequence[Frame]]:
        spoke_at = monotonic()
        if self.cursor is None:
            async with self._turn:
                yield [await self._snapshot()]
        while not self._is_over():
            self._woken.clear()
            async with self._turn:
                batch = await self._next()
                if batch is None or (not batch and self._is_at_end()):
                    return
                for write in frames.writes(batch, settings.STREAM_WRITE_BYTES) if batch else ():
                    spoke_at = monotonic()
                    yield write
            if not batch and await self._wait(spoke_at + settings.STREAM_HEARTBEAT_S):
                spoke_at = monotonic()
                yield ()
            batch, write = [], []  # not kept in memory while we wait for our turn

    def _is_over(self) -> bool:
        return self._finished or self.was_ended or self._channel.deleted or self._hub.closing.is_set()

    async def _wait(self, heartbeat_at: float) -> bool:
        """For more. True when it is time to say that we are alive."""
        until = heartbeat_at
        if self._live_in is None or self._end_at is not None:  # the ring may have to be filled first: look again soon
            self._channel.wanted.set()
            until = min(until, monotonic() + settings.TIP_POLL_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - monotonic())):
                await self._woken.wait()
        return not self._woken.is_set() and monotonic() >= heartbeat_at

    async def _next(self) -> list[Frame] | None:
        """What comes next; nothing if there is nothing now, None if we are too slow."""
        assert self.cursor is not None
        live = self._channel.after(self.cursor, settings.STREAM_WRITE_BYTES)
        if live is not None:
            self._live_in = self._channel.generation
            return self._advance(live)
        if self._live_in == self._channel.generation and self._taking_s > SLOW_S:
            return None  # the ring has moved past us: reconnecting resumes from the cursor
        self._live_in = None
        return await self._replay(self.cursor)

    async def _replay(self, cursor: Cursor) -> list[Frame]:
        page = await self._hub.reader.after(self._channel.agent_id, cursor)
        if isinstance(page, Reset):
            await self._hub.recheck(self._channel, cursor)
            return [frames.reset(cursor, page.reason), await self._snapshot()]
        # A page of chunks, but not all of what only Redis has: it is kept for as long as the client takes nothing.
        most_bytes = settings.STREAM_WRITE_BYTES + CHUNK_CHARS
        return self._advance(page.frames[: frames.end_of_write(page.frames, 0, most_bytes)])

    async def _snapshot(self) -> Frame:
        row = await self._hub.reader.snapshot(self._channel.agent_id)
        self.cursor = row.cursor
        self._live_in = None
        if self.until_run is not None:
            # Its `done` may be in there already, and would be waited for in vain.
            self._finished = not _is_open(json.loads(row.state), self.until_run)
        return frames.snapshot(self._channel.agent_id, row.cursor, row.state)

    def _advance(self, batch: list[Frame]) -> list[Frame]:
        """Our cursor moves behind `batch`, cut behind the awaited `done` if that is among them."""
        for at, frame in enumerate(batch if self.until_run is not None else (), 1):
            if frame.is_done and decode(frame.payload).run_id == self.until_run:
                self._finished = True
                batch = batch[:at]
                break
        if batch:
            self.cursor = batch[-1].cursor
        return batch

    def _is_at_end(self) -> bool:
        return self._end_at is not None and self.cursor is not None and self.cursor.seq >= self._end_at.seq


def _is_open(state: State, run_id: str) -> bool:
    """Is that run active, waiting or not known yet? The runs that ended long ago are not in the state."""
    if run_id == state["active_run"] or run_id in waiting_runs(state):
        return True
    ended = next((run["finished_at"] for run in state["runs"] if run["id"] == run_id), None)
    return ended is None and len(state["runs"]) + len(state["queue"]) == state["runs_total"]
