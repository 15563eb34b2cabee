"""From a container's output to the log: bytes ─► lines ─► drafts ─► coalesced batches ─► writer.

Every batch carries the offset behind it, so whoever takes the log over reads on exactly there. Half a character waits
for its other half (see surrogates.py): the batch then also says where its line begins, and that line is read again. The
program's own `done` line and what follows it are held back until the program has ended: `done` is a run's last event.
Until then the offset stays in front of that line, so a takeover meets it again (or rereads all).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from agents.programs.coalescing import COALESCE_S, Intake
from agents.programs.protocols.conversation import Conversation
from agents.programs.surrogates import SurrogateJoiner
from containers.interface import BEGINNING, Offset, Output, Stream
from containers.protocols.jsonl import Line
from streaming.model.events import Draft, Event

HELD_CHARS = 256 * 1024
"""Text that may wait for the writer before reading the container's output stops."""
LINES_A_TURN = 200
"""Lines after which other agents of this worker get their turn: at most some milliseconds."""
PARSED_BYTES = 4 * 1024
"""Bytes that are cut into lines at once, for the same reason."""
AFTER_DONE_CHARS = 64 * 1024
"""How much of what a program prints after its `done` is kept; the rest is counted."""
STDERR_TAIL_LINES = 10
Append = Callable[[list[Draft], Offset, Offset], Awaitable[list[Event]]]
"""Drafts, the offset behind them, and where to begin to read on."""


class Pump:
    """Output is to be read from `begin` on, which may be before `after`, where the log ends; from its beginning, where
    the conversation is a fold of all that was printed. What is in the log is only rehearsed then.

    `append` puts drafts into the log. `changed` is called when `program_done` or `over_limit` turns true.

    `late_lines` counts what came on stdout after `done`. What stderr says then is no mistake: it may be older, and only
    be read later.
    """

    def __init__(
        self,
        conversation: Conversation,
        after: Offset,
        limit_bytes: int,
        append: Append,
        changed: Callable[[], None],
        begin: Offset | None = None,
    ) -> None:
        self.offset = after
        self.begin = BEGINNING if conversation.rereads else begin or after
        self._rereads = conversation.rereads
        self.over_limit = False
        self.stderr_tail: list[str] = []
        self.after_done = Intake()
        self.late_lines = 0
        self.dropped_lines = 0
        self._conversation = conversation
        self._parser = conversation.parser(self.begin)
        self._limit_bytes = limit_bytes
        self._read_bytes = self.begin.stdout + self.begin.stderr
        self._after = after
        self._append = append
        self._changed = changed
        self._intake = Intake()
        self._halves = SurrogateJoiner()
        self._line_start = self.begin.stdout
        self._filled = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._lines = 0

    @property
    def program_done(self) -> bool:
        return self._conversation.done is not None

    async def run(self, output: AsyncIterator[Output]) -> None:
        """Returns when the output has ended and all of it is in the log, or at the output limit. What was read before
        an error is in the log when it is raised."""
        reading, flushing = asyncio.create_task(self._read(output)), asyncio.create_task(self._flush_loop())
        try:
            await asyncio.wait((reading, flushing), return_when=asyncio.FIRST_COMPLETED)
            if flushing.done():
                flushing.result()  # raises why: the writer has lost the log
            for line in self._parser.finish():
                self._take(line)
            self._intake.add(self._halves.finish(self._conversation.run_id))
            await self.flush()
            reading.result()
        finally:
            for task in (reading, flushing):
                task.cancel()
            await asyncio.gather(reading, flushing, return_exceptions=True)

    async def flush(self) -> None:
        async with self._flushing:
            drafts, offset, since = self._intake.take(), self.offset, self._halves.waits_since
            self._filled.clear()
            if drafts:
                await self._append(drafts, offset, offset if since is None else offset._replace(stdout=since))

    async def _read(self, output: AsyncIterator[Output]) -> None:
        async with contextlib.aclosing(output) as pieces:  # type: ignore[type-var]  # an async generator by contract, typed as an iterator
            async for stream, data in pieces:
                for start in range(0, len(data), PARSED_BYTES):
                    await self._feed(stream, data[start : start + PARSED_BYTES])
                    if self._read_bytes > self._limit_bytes:
                        self.over_limit = True
                        self._changed()
                        return

    async def _feed(self, stream: Stream, data: bytes) -> None:
        self._read_bytes += len(data)
        for line in self._parser.feed(stream, data):
            self._take(line)
            self._lines += 1
            if self._lines % LINES_A_TURN == 0:
                await asyncio.sleep(0)
        if self._intake:
            self._filled.set()
        while self._intake.chars > HELD_CHARS:
            await self.flush()

    async def _flush_loop(self) -> None:
        while True:
            await self._filled.wait()
            await self.flush()
            await asyncio.sleep(COALESCE_S)

    def _take(self, line: Line) -> None:
        if line.stream == "stderr" and isinstance(line.value, str):
            self.stderr_tail = [*self.stderr_tail, line.value][-STDERR_TAIL_LINES:]
        start = self._line_start
        if line.stream == "stdout":
            self._line_start = line.end_offset.stdout
        if self._is_in_log(line):
            self._halves.join(self._conversation.rehearse(line), start)
            return
        if self._conversation.done is not None:
            self._take_late(line)
            return
        drafts = self._conversation.translate(line)
        if self.program_done:
            self._changed()
            if not self._rereads:
                return
        self._intake.add(self._halves.join(drafts, start))
        self.offset = Offset(*map(max, self.offset, line.end_offset)) if self._rereads else line.end_offset

    def _is_in_log(self, line: Line) -> bool:
        at = 0 if line.stream == "stdout" else 1
        return line.end_offset[at] <= self._after[at]

    def _take_late(self, line: Line) -> None:
        self.late_lines += self._conversation.ends_itself and line.stream == "stdout"
        if self.after_done.chars > AFTER_DONE_CHARS:
            self.dropped_lines += 1
            return
        self.after_done.add(self._conversation.late(line))


def late_drafts(pump: Pump, error: Callable[[str, str], Draft]) -> list[Draft]:
    """What a program said after its `done`: kept as log, with an error that says so."""
    late = pump.after_done.take()
    if not pump.late_lines:
        return late
    dropped = f"; {pump.dropped_lines} more lines were dropped" if pump.dropped_lines else ""
    return [*late, error("output-after-done", f"the program went on printing after its done line{dropped}")]
