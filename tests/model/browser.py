"""A browser of the model's site: what it was given, and on what grounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from streaming.errors import JournalUnavailable
from streaming.model.cursor import START, Cursor, superseded
from streaming.read.channel import Channel
from streaming.read.frames import Frame
from streaming.read.subscriber import Subscriber
from tests.model.gate import at_once
from tests.model.scale import AGENT

if TYPE_CHECKING:
    from tests.model.site import Site


@dataclass(frozen=True, slots=True)
class Look:
    """What the stores knew of a cursor when its subscriber asked: the grounds of a reset."""

    in_database: bool
    in_redis: bool
    epoch: int
    """The newest one that had begun."""


class Reset(NamedTuple):
    """One that a browser was given."""

    reason: str
    cursor: Cursor
    look: Look


class Browser:
    """Keeps what it gets, and comes back with its cursor when its stream ends. Takes a batch when the gate lets it."""

    def __init__(self, site: Site, name: str, cursor: Cursor | None) -> None:
        self.name = name
        self.cursor = cursor
        self.base = cursor
        """Where `events` begin."""
        self.events: list[tuple[Cursor, str]] = []
        self.state: Any = None
        """That of the snapshot at `base`, if there was one."""
        self.resets: list[Reset] = []
        self.known_epoch = 0
        """The newest that had begun when we were last told that our cursor is superseded: it must not do so again."""
        self.task: asyncio.Task[None] | None = None
        self._site = site

    def connect(self) -> None:
        self.task = self._site.loop.start(self._run(), self.name)
        self._site.loop.settle()

    def disconnect(self) -> None:
        assert self.task is not None
        self.task.cancel()
        self._site.loop.settle()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(JournalUnavailable):
                async with self._site.hub.watch(AGENT) as channel:
                    await self._stream(channel)
            await asyncio.sleep(1.0)

    async def _stream(self, channel: Channel) -> None:
        following = Subscriber(self._site.hub, channel, self.cursor)
        async with contextlib.aclosing(following.batches()) as batches:
            async for batch in batches:
                await self._site.gate.call("client", "take", self._take(batch), writes=False)

    @at_once
    def _take(self, batch: Sequence[Frame]) -> None:
        for frame in batch:
            data = json.loads(frame.payload)
            if data["type"] == "reset":
                self._reset(data["reason"], frame.cursor)
            elif data["type"] == "snapshot":
                self._start_at(frame.cursor, data["state"])
            else:
                self._add(frame)

    def _reset(self, reason: str, cursor: Cursor) -> None:
        assert cursor == self.cursor, f"{self.name}: reset at {cursor}, not at {self.cursor}"
        look = self._site.grounds[self.name, cursor]
        self.resets.append(Reset(reason, cursor, look))
        row = self._site.row
        if reason == "trimmed":
            assert cursor.seq + 1 < row.first_seq, f"{self.name}: {cursor} was not trimmed"
        elif reason == "superseded":
            assert superseded(cursor, row.starts), f"{self.name}: {cursor} was not superseded"
            late = [start.epoch for start in row.starts if start.epoch > cursor.epoch and start.first_seq <= cursor.seq]
            assert max(late) > self.known_epoch, f"{self.name}: reset at {cursor} by an epoch that it knew of"
        else:
            assert not look.in_database, f"{self.name}: {cursor} is in the database, and said to be unknown"
            assert not look.in_redis, f"{self.name}: {cursor} is in Redis, and said to be unknown"

    def _start_at(self, cursor: Cursor, state: Any) -> None:
        if self.resets and self.resets[-1].reason == "superseded":
            self.known_epoch = max(self.known_epoch, self.resets[-1].look.epoch)
        self.cursor = self.base = cursor
        self.state = state
        self.events = []

    def _add(self, frame: Frame) -> None:
        before = self.cursor
        assert before is not None, f"{self.name}: an event before the snapshot"
        assert frame.cursor.seq == before.seq + 1, f"{self.name}: {frame.cursor} after {before}"
        assert frame.cursor.epoch >= before.epoch or before == START, f"{self.name}: {frame.cursor} after {before}"
        self.events.append((frame.cursor, frame.payload))
        self.cursor = frame.cursor
