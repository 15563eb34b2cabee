"""Podman's log of a container, as its monitor writes it: `TIME STREAM F|P BYTES` a record (`k8s-file`).

F ends a line; P is a part of one, that goes on in the next record of its stream. The bytes are those that were printed.
"""

from __future__ import annotations

from containers.errors import EngineError
from containers.interface import Offset, Output, Stream

STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}
ENDS = {b"F": b"\n", b"P": b""}


class LogReader:
    """Bytes to Output, without the `after` bytes of each stream. Chunks may cut records anywhere; one that has not
    ended yet is waited for: the monitor writes it at once."""

    def __init__(self, after: Offset) -> None:
        self._skip: dict[Stream, int] = {"stdout": after.stdout, "stderr": after.stderr}
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Output]:
        """What was printed, as few pieces as the order of streams allows."""
        *records, self._rest = (self._rest + chunk).split(b"\n")
        found: list[tuple[Stream, list[bytes]]] = []
        for record in records:
            stream, data = _printed(record)
            if not found or found[-1][0] != stream:
                found.append((stream, []))
            found[-1][1].append(data)
        pieces = [Output(stream, self._new(stream, b"".join(parts))) for stream, parts in found]
        return [piece for piece in pieces if piece.data]

    def _new(self, stream: Stream, data: bytes) -> bytes:
        skipped = min(self._skip[stream], len(data))
        self._skip[stream] -= skipped
        return data[skipped:]


def _printed(record: bytes) -> tuple[Stream, bytes]:
    try:
        _, stream, kind, data = record.split(b" ", 3)
        return STREAMS[stream], data + ENDS[kind]
    except (ValueError, KeyError):
        raise EngineError(f"no record of a container's log: {record[:60]!r}") from None
