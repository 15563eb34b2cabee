"""Frames of output: stream (1 byte), three zeros, length (4 bytes, big-endian), data. The Docker API's logs format, and
that of the `process` engine's journal, so that both are read by the same code.
"""

from __future__ import annotations

import struct

from containers.errors import EngineError
from containers.interface import Offset, Output, Stream

HEADER = struct.Struct(">BxxxL")
STREAMS: dict[int, Stream] = {0: "stdout", 1: "stdout", 2: "stderr"}


class FrameError(EngineError):
    """Not a frame: what is read is not a journal, or was damaged."""


class FrameReader:
    """Bytes to Output, without the `after` bytes of each stream. Chunks may cut frames anywhere.

    Data is passed on as it comes: a frame that has not ended yet is not waited for. Neighbours of one stream are given
    as one: engines make a frame of every line, and each piece costs its reader more than its bytes do.
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
        parts: list[tuple[Stream, list[bytes]]] = []
        at, size = 0, len(chunk)
        while at < size:
            if self._left == 0:
                at = self._read_header(chunk, at)
                continue
            end = min(at + self._left, size)
            if not parts or parts[-1][0] is not self._stream:
                parts.append((self._stream, []))
            parts[-1][1].append(chunk[at:end])
            self._left -= end - at
            at = end
        given = (self._beyond(stream, b"".join(pieces)) for stream, pieces in parts)
        return [output for output in given if output.data]

    def _read_header(self, chunk: bytes, at: int) -> int:
        """Where the frame's data begins, or the chunk ends."""
        if not self._header and len(chunk) - at >= HEADER.size:
            self._begin(*HEADER.unpack_from(chunk, at))
            return at + HEADER.size
        missing = HEADER.size - len(self._header)
        self._header += chunk[at : at + missing]
        if len(self._header) == HEADER.size:
            self._begin(*HEADER.unpack(self._header))
            self._header = b""
        return min(at + missing, len(chunk))

    def _begin(self, number: int, length: int) -> None:
        if number not in STREAMS:
            raise FrameError(f"stream {number} in a frame's header")
        self._stream, self._left = STREAMS[number], length

    def _beyond(self, stream: Stream, data: bytes) -> Output:
        """What of `data` was not consumed before."""
        if skipped := min(self._skip[stream], len(data)):
            self._skip[stream] -= skipped
            data = data[skipped:]
        self._given[stream] += len(data)
        return Output(stream, data)
