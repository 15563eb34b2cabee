"""One subscriber: follows an agent over real connections, resumes by its cursor, notes every rule that is broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from streaming.model.cursor import START, Cursor, parse
from tests.faults.sse import Connection, Frame, Refused, connect

RETRY_S = (0.05, 0.3)


class Seen(NamedTuple):
    cursor: Cursor
    payload: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended that we did not cut. `retry_ms`: the server's last word on when to come back."""

    at: float
    clean: bool
    retry_ms: int | None


@dataclass(frozen=True, slots=True)
class Habits:
    """`after`: cursor to begin with, None for a snapshot. `cut_every_s`: mean time between cuts; None for none.
    `cut_every_frames`: a connection is cut when it has brought so many; what it brought beyond them is thrown away."""

    after: str | None = "0-0"
    cut_every_s: float | None = None
    cut_every_frames: int | None = None
    buffer_bytes: int = 0


class Subscriber:
    """`addresses` says which web processes there are now; each connection goes to one of them."""

    def __init__(
        self,
        agent_id: str,
        token: str,
        addresses: Callable[[], list[tuple[str, int]]],
        habits: Habits,
        rng: random.Random,
    ) -> None:
        self.agent_id = agent_id
        self.habits = habits
        self.base_state: dict[str, Any] | None = None
        self.base = START
        """Behind it `events` begin: 0-0, or the last snapshot."""
        self.last: Cursor | None = START if habits.after == "0-0" else None
        self.events: list[Seen] = []
        self.checked = self.connections = 0
        self.lost = self.repeated = 0
        self.resets: list[str] = []
        self.endings: list[Ending] = []
        self.problems: list[str] = []
        self.reading = asyncio.Event()
        """Cleared: takes nothing from its connection."""
        self.reading.set()
        self._connection: Connection | None = None
        self._token = token
        self._addresses = addresses
        self._rng = rng
        self._awaits_snapshot = habits.after is None
        self._reset: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def reconnects(self) -> int:
        return max(0, self.connections - 1)

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.is_established

    @property
    def seq(self) -> int:
        return self.last.seq if self.last else 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name=f"subscriber of {self.agent_id}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def since(self, moment: float) -> list[Seen]:
        return [seen for seen in self.events if seen.at >= moment]

    # Connections --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                await self._one_connection()
            except (Refused, OSError):
                pass
            except Exception as error:  # noqa: BLE001 - a broken frame is a finding, and must not end the watch
                self.problems.append(f"unreadable stream: {error!r}")
            await asyncio.sleep(self._rng.uniform(*RETRY_S))

    async def _one_connection(self) -> None:
        addresses = self._addresses()
        if not addresses:
            return
        path = f"/api/agents/{self.agent_id}/stream"
        last = str(self.last) if self.last is not None else None
        connection = await connect(self._rng.choice(addresses), path, self._token, last, self.habits.buffer_bytes)
        self.connections += 1
        self._connection = connection
        self._awaits_snapshot, self._reset = self.last is None, None
        try:
            await self._read(connection)
        finally:
            self._connection = None
            connection.abort()

    async def _read(self, connection: Connection) -> None:
        retry_ms, taken = None, 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._cut_at()):
                while (frames := await _some(connection)) is not None:
                    for frame in frames:
                        retry_ms = frame.retry_ms or retry_ms
                        self._take(frame)
                        taken += frame.data is not None
                        if taken == self.habits.cut_every_frames:
                            return
                    await self.reading.wait()
                self.endings.append(Ending(monotonic(), connection.ended_cleanly, retry_ms))

    def _cut_at(self) -> float | None:
        mean_s = self.habits.cut_every_s
        return None if mean_s is None else self._rng.expovariate(1 / mean_s)

    # Frames -------------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.data is None:
            return
        kind = json.loads(frame.data)["type"] if frame.id is None else _type_of(frame.data)
        if kind == "reset":
            self._reset = json.loads(frame.data)["reason"]
            self._awaits_snapshot = True
        elif kind == "snapshot":
            self._take_snapshot(frame)
        else:
            self._take_event(frame)

    def _take_snapshot(self, frame: Frame) -> None:
        if not self._awaits_snapshot:
            self.problems.append(f"a snapshot nobody asked for, at {frame.id} behind {self.last}")
        self._awaits_snapshot = False
        if self._reset is not None:
            self.resets.append(self._reset)
        snapshot = json.loads(frame.data or b"")
        self.base = self.last = Cursor(snapshot["epoch"], snapshot["seq"])
        self.base_state, self.events = snapshot["state"], []
        if str(self.base) != frame.id:
            self.problems.append(f"snapshot {self.base} has id {frame.id}")

    def _take_event(self, frame: Frame) -> None:
        cursor = parse(frame.id or "")
        if cursor is None or self._awaits_snapshot or self.last is None:
            self.problems.append(f"event {frame.id} where a snapshot has to be")
            return
        self.checked += 1
        if cursor.seq <= self.last.seq:
            self.repeated += 1
            self.problems.append(f"{cursor} again behind {self.last}")
            return
        if cursor.seq != self.last.seq + 1:
            self.lost += cursor.seq - self.last.seq - 1
            self.problems.append(f"{cursor} behind {self.last}: a gap")
        if cursor.epoch < self.last.epoch:
            self.problems.append(f"{cursor} behind {self.last}: an older epoch")
        self.events.append(Seen(cursor, frame.data or b"", monotonic()))
        self.last = cursor


async def _some(connection: Connection) -> list[Frame] | None:
    """A connection that breaks has ended, too."""
    try:
        return await connection.read()
    except OSError:
        return None


def _type_of(payload: bytes) -> str:
    """Event JSON always begins with its type."""
    return payload[len(b'{"type":"') : payload.index(b'"', len(b'{"type":"'))].decode()
