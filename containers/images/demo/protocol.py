"""Container protocol v1: JSON Lines. Events go out on stdout; the start and later commands come in on stdin."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from typing import IO, Any


class Wire:
    """Writes events, one JSON object a line, each flushed at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def send(self, kind: str, **data: Any) -> None:
        line = json.dumps({"type": kind, **data}, ensure_ascii=False, allow_nan=False)
        # A file name may hold bytes that are no UTF-8; Python keeps them as surrogates, which no JSON reader takes.
        self._stream.write(line.encode("utf-8", "replace") + b"\n")
        self._stream.flush()


class Inbox:
    """Reads commands in a thread, for as long as stdin is open. The end of stdin ends nothing."""

    def __init__(self, descriptor: int = 0) -> None:
        self.cancelled = threading.Event()
        self.messages: deque[str] = deque()
        self._descriptor = descriptor
        self._starts: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self.cancelled.set())
        threading.Thread(target=self._read, daemon=True).start()

    def start(self) -> dict[str, Any] | None:
        """The first start, None if stdin ended without. A process is one run, so repeats are never looked at."""
        return self._starts.get()

    def _read(self) -> None:
        for line in lines(self._descriptor):
            self._take(line)
        self._starts.put(None)

    def _take(self, line: bytes) -> None:
        """Blank lines, garbage and unknown commands are skipped: whatever a newer runner sends must not stop a run."""
        try:
            command = json.loads(line)
        except (ValueError, RecursionError):
            return
        kind = command.get("type") if isinstance(command, dict) else None
        if kind == "cancel":
            self.cancelled.set()
        elif kind == "message" and isinstance(command.get("content"), str):
            self.messages.append(command["content"])
        elif kind == "start":
            self._starts.put(command)


def lines(descriptor: int) -> Iterator[bytes]:
    """Raw reads, because a thread that blocks in sys.stdin holds a lock that the interpreter wants at its end."""
    rest = bytearray()
    while piece := read(descriptor):
        rest += piece
        if b"\n" in piece:
            *whole, tail = rest.split(b"\n")
            yield from map(bytes, whole)
            rest = bytearray(tail)
    if rest:
        yield bytes(rest)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # no stdin at all
        return b""


def prompt_of(start: dict[str, Any]) -> str:
    """The text of the input, whatever shape it came in."""
    given = start.get("input")
    content = given.get("content") if isinstance(given, dict) else given
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, dict) else part for part in content)
        content = "\n".join(part for part in parts if isinstance(part, str))
    return content.strip() if isinstance(content, str) else ""


def has_answered_before(start: dict[str, Any]) -> bool:
    history = start.get("history")
    messages = history if isinstance(history, list) else []
    return any(isinstance(message, dict) and message.get("role") == "assistant" for message in messages)
