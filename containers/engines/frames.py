"""Frames of output: stream (1 byte), three zeros, length (4 bytes, big-endian), data. The Docker API's logs format, and
that of the `process` engine's journal, so that both are read by the same code.
"""

from __future__ import annotations

import struct

from containers.engine import Offset, Output, Stream
from containers.errors import EngineError

HEADER = struct.Struct(">BxxxL")
STREAMS: dict[int, Stream] = {0: "stdout", 1: "stdout", 2: "stderr"}


class FrameError(EngineError):
    """Not a frame: what is read is not a journal, or was damaged."""


class FrameReader:
    """Bytes to Output, without the `after` bytes of each stream. Chunks may cut frames anywhere.

    Data is passed on as it comes: a frame that has not ended yet is not waited for.
    """

    def __init__(self, after: Offset) -> None:
        self._skip: dict[Stream, int] = {"stdout": after.stdout, "stderr": after.stderr}
        self._given: dict[Stream, int] = {"stdout": after.stdout, "stderr": after.stderr}
        self._header = b""
        self._stream: Stream = "stdout"
        self._left = 0

    @property
    def given(self) -> Offset:
        """Bytes of each stream given so far, `after` included: where another reader has to go on."""
        return Offset(self._given["stdout"], self._given["stderr"])

    def feed(self, chunk: bytes) -> list[Output]:
        found: list[Output] = []
        at = 0
        while at < len(chunk):
            if self._left == 0:
                at = self._read_header(chunk, at)
                continue
            piece = chunk[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            self._give(piece, found)
        return found

    def _read_header(self, chunk: bytes, at: int) -> int:
        missing = HEADER.size - len(self._header)
        self._header += chunk[at : at + missing]
        if len(self._header) == HEADER.size:
            number, self._left = HEADER.unpack(self._header)
            if number not in STREAMS:
                raise FrameError(f"stream {number} in a frame's header")
            self._stream, self._header = STREAMS[number], b""
        return min(at + missing, len(chunk))

    def _give(self, piece: bytes, found: list[Output]) -> None:
        skipped = min(self._skip[self._stream], len(piece))
        self._skip[self._stream] -= skipped
        if skipped == len(piece):
            return
        self._given[self._stream] += len(piece) - skipped
        found.append(Output(self._stream, piece[skipped:]))
