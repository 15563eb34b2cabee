"""Container protocol v1: JSON Lines. Events go out on stdout; the start and later commands come in on stdin.

The bundled demo uses this file, too: `demo/protocol.py` is a link to it. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import IO, Any

Json = dict[str, Any]
READ_BYTES = 1 << 16
APPROVE, DENY = "approve", "deny"


class AgentError(Exception):
    """Ends the run with an `error` event of this code. `retryable`: the same run may work later."""

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.retryable = code, retryable


class Wire:
    """Writes events, one JSON object a line, each flushed at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def send(self, kind: str, **data: Any) -> None:
        try:
            line = json.dumps({"type": kind, **data}, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:  # half a surrogate pair: the site joins it with the half in the next delta
            line = json.dumps({"type": kind, **data}, allow_nan=False).encode()
        self._stream.write(line + b"\n")
        self._stream.flush()


class Inbox:
    """What came on stdin, on the event loop's side. The end of stdin ends nothing.

    A line may come twice after a worker has died: a second start, or answer to the same question, changes nothing, and
    neither does a message with an `id` that was there before.
    """

    def __init__(self) -> None:
        self.start: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        self.messages: list[str] = []
        self._answers: dict[str, asyncio.Future[Json]] = {}
        self._seen: set[str] = set()
        self._on_cancel: list[Callable[[], object]] = []
        self.cancelled = False

    def listen(self, descriptor: int = 0) -> None:
        loop = asyncio.get_running_loop()

        def read() -> None:
            with suppress(RuntimeError):  # the run is over, and its loop closed
                for line in lines(descriptor):
                    loop.call_soon_threadsafe(self.take, line)
                loop.call_soon_threadsafe(self._end)

        threading.Thread(target=read, daemon=True).start()

    def when_cancelled(self, act: Callable[[], object]) -> None:
        self._on_cancel.append(act)
        if self.cancelled:
            act()

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            for act in self._on_cancel:
                act()

    def answer(self, approval_id: str) -> asyncio.Future[Json]:
        return self._answers.setdefault(approval_id, asyncio.get_running_loop().create_future())

    def take_messages(self) -> list[str]:
        taken, self.messages = self.messages, []
        return taken

    def take(self, line: bytes) -> None:
        """Blank lines, garbage and unknown commands are skipped: whatever a newer runner sends must not stop a run."""
        try:
            command = json.loads(line)
        except (ValueError, RecursionError):
            return
        kind = command.get("type") if isinstance(command, dict) else None
        if kind == "cancel":
            self.cancel()
        elif kind == "message":
            self._take_message(command)
        elif kind == "approval":
            answer = self.answer(str(command.get("approval_id")))
            if not answer.done():
                answer.set_result(command)
        elif kind == "start" and not self.start.done():
            self.start.set_result(command)

    def _take_message(self, command: Json) -> None:
        content, id_ = text_of(command.get("content")), command.get("id")
        if content and id_ not in self._seen:
            self.messages.append(content)
            self._seen |= {id_} if isinstance(id_, str) else set()

    def _end(self) -> None:
        if not self.start.done():
            self.start.set_result(None)


def run(work: Callable[[Wire, Inbox, Json], Awaitable[str]], defect_code: str) -> None:
    """One run from start to done. `work` gets the start line and returns the run's result.

    There is exactly one done, whatever happens. The exit code stays 0: the events have said how the run ended.
    """
    try:
        asyncio.run(_run(work, defect_code))
    except BrokenPipeError:  # nobody reads any more, so nobody can be told
        os._exit(0)


async def _run(work: Callable[[Wire, Inbox, Json], Awaitable[str]], defect_code: str) -> None:
    wire, inbox = Wire(sys.stdout.buffer), Inbox()
    inbox.listen()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, inbox.cancel)
    working = asyncio.create_task(_work(work, wire, inbox))
    inbox.when_cancelled(working.cancel)
    try:
        wire.send("done", status="completed", result=await working)
    except asyncio.CancelledError:
        wire.send("done", status="cancelled", result="Cancelled.")
    except AgentError as error:
        _fail(wire, error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the process; the traceback goes to the log
        traceback.print_exc()
        _fail(wire, AgentError(defect_code, f"The agent has a defect: {type(error).__name__}: {error}"))


async def _work(work: Callable[[Wire, Inbox, Json], Awaitable[str]], wire: Wire, inbox: Inbox) -> str:
    start = await inbox.start
    if start is None:
        raise AgentError("no-start", "Standard input ended before a start line came.")
    return await work(wire, inbox, start)


def _fail(wire: Wire, error: AgentError) -> None:
    wire.send("error", code=error.code, message=str(error), retryable=error.retryable)
    wire.send("done", status="failed", result=str(error))


async def ask_approval(wire: Wire, inbox: Inbox, call_id: str, question: str) -> str | None:
    """None if it is approved, else the refusal in words. Waits as long as it takes: the site says for how long."""
    approval_id = f"approve-{call_id}"
    wire.send("approval-request", approval_id=approval_id, call_id=call_id, question=question, options=[APPROVE, DENY])
    answer = await inbox.answer(approval_id)
    if answer.get("decision") == APPROVE:
        return None
    reason = answer.get("reason")
    return "The user denied this." + (f" The reason: {reason}" if reason else "")


def prompt_of(start: Json) -> str:
    given = start.get("input")
    return text_of(given.get("content") if isinstance(given, dict) else given)


def config_of(start: Json) -> Json:
    config = start.get("config")
    return config if isinstance(config, dict) else {}


def lines(descriptor: int) -> Iterator[bytes]:
    """Raw reads, because a thread that blocks in sys.stdin holds a lock that the interpreter wants at its end."""
    rest = bytearray()
    while piece := _read(descriptor):
        rest += piece
        if b"\n" in piece:
            *whole, tail = rest.split(b"\n")
            yield from map(bytes, whole)
            rest = bytearray(tail)
    if rest:
        yield bytes(rest)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ_BYTES)
    except OSError:  # no stdin at all
        return b""


def text_of(content: object) -> str:
    """The text of an input, whatever shape it came in."""
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
