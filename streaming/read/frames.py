"""What goes over the wire of an event stream (the WHATWG's server-sent events, section 9.2)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streaming.model.cursor import Cursor, ResetReason
from streaming.model.events import encode

RETRY_MS = 1000
HEARTBEAT = b": heartbeat\n"
"""A comment line and no empty line: some clients (httpx-sse) make an event of each, with the last id and no data."""
_DATA = b"data: "
_DONE = _DATA + b'{"type":"done"'
_RESET = _DATA + b'{"type":"reset"'
_NOT_IN_THE_LOG = (_DATA + b'{"type":"snapshot"', _RESET)


class Frame(NamedTuple):
    """One message of a stream, in its wire form: made once per process, whoever reads it."""

    cursor: Cursor
    wire: bytes

    @classmethod
    def event(cls, cursor: Cursor, payload: bytes) -> Frame:
        return cls(cursor, b"id: %d-%d\n%b%b\n\n" % (cursor.epoch, cursor.seq, _DATA, payload))

    @property
    def payload(self) -> str:
        """The JSON alone."""
        return self.wire[self.wire.index(_DATA) + len(_DATA) : -2].decode()

    @property
    def is_done(self) -> bool:
        """Does this frame end a run? Event JSON always begins with its type."""
        return _DONE in self.wire[:80]

    @property
    def is_event(self) -> bool:
        """Or is it a snapshot, a reset?"""
        return not any(mark in self.wire[:80] for mark in _NOT_IN_THE_LOG)

    @property
    def is_reset(self) -> bool:
        return self.wire.startswith(_RESET)


def end_of_write(frames: Sequence[Frame], start: int, max_bytes: int) -> int:
    """Where one write ends that begins at `start`: it holds at least one frame if there is one, then up to
    `max_bytes`."""
    end, size = start, 0
    while end < len(frames) and size < max_bytes:
        size += len(frames[end].wire)
        end += 1
    return end


def writes(frames: Sequence[Frame], max_bytes: int) -> Iterator[Sequence[Frame]]:
    """The same frames, a write at a time; of none, one empty write."""
    end = 0
    while True:
        start, end = end, end_of_write(frames, end, max_bytes)
        yield frames[start:end]
        if end == len(frames):
            return


def opening() -> bytes:
    """Part of the first frame: some clients (httpx-sse) make an event of every block."""
    return b"retry: %d\n" % RETRY_MS


def closing() -> bytes:
    """The end of a stream whose server stops. Jittered, or every subscriber would come back in the same moment. A field
    counts as soon as its line is read; without an empty line nobody makes an event of it."""
    return b"retry: %d\n" % random.randint(500, 5000)


def reset(at: Cursor, reason: ResetReason) -> Frame:
    """Carries no id: it is not in the log."""
    return Frame(at, b"%b%b\n\n" % (_DATA, encode({"type": "reset", "reason": reason}).encode()))


def snapshot(agent_id: str, cursor: Cursor, state: str) -> Frame:
    """`state` is JSON text already and goes in as it is."""
    head = encode({"type": "snapshot", "agent_id": agent_id, "epoch": cursor.epoch, "seq": cursor.seq})
    return Frame.event(cursor, f'{head[:-1]},"state":{state}}}'.encode())
