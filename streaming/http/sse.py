"""The SSE endpoint: a raw ASGI application beside Django, because Django gives every streaming response a thread of its
own and a database connection with it (40 streams, +40 of each; here +0).

Who may read is asked of `Gate`, so this package needs to know nothing of users. A stream costs: one coroutine for the
client's disconnect, one for the frames, a cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

import structlog
from django.conf import settings

from streaming.errors import JournalUnavailable, LogMissing
from streaming.http.access import Access, UnlimitedAccess
from streaming.http.dialects import DIALECTS, NATIVE
from streaming.http.dialects.translation import Translation
from streaming.http.problem import Problem
from streaming.model.cursor import Cursor, parse
from streaming.model.fold import waiting_runs
from streaming.read.hub import Hub
from streaming.read.subscriber import Subscriber

log = structlog.get_logger(__name__)
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Pieces = AsyncGenerator[bytes]
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"content-encoding", b"identity"),  # or nginx compresses it where it is told to, and holds frames back
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
DRAIN_S = 2.0
"""Less than the patience of whoever stops us: one that takes nothing is not worth being killed for."""
END_S = 1.0
"""How long a stream whose caller has lost access may take to end by itself; then it is cut off."""
UNLIMITED = UnlimitedAccess()
UNPARSABLE = Cursor(0, 1)
"""No epoch is 0 except that of the beginning: a cursor that was never given out, so the reader answers with a reset."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for. `until_run`: end behind that run's `done`; `until_done`: behind the active run's.
    `access`: the caller's; the stream ends with it."""

    agent_id: str
    cursor: Cursor | None
    until_done: bool = False
    until_run: str | None = None
    format: str = NATIVE
    access: Access = field(default=UNLIMITED, compare=False)


class Gate(Protocol):
    """Says what a request may have. Raises Problem."""

    async def open(self, scope: Scope, receive: Receive) -> Wanted: ...

    async def first_seq(self, run_id: str) -> int | None:
        """Where in its log a run's first event is; None if that is not committed yet, or there is no such run."""


class SseApplication:
    """`hub` is called in the server's event loop, at the first request."""

    def __init__(self, hub: Callable[[], Hub], gate: Gate) -> None:
        self._hub = hub
        self._gate = gate
        self._open: set[asyncio.Task[None]] = set()

    async def drain(self) -> None:
        """End every stream with a jittered `retry`; returns when they have ended, or after DRAIN_S."""
        await self._hub().close()
        if self._open:
            await asyncio.wait(self._open, timeout=DRAIN_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            wanted = await self._gate.open(scope, receive)
            async with self._hub().watch(wanted.agent_id) as channel:
                if scope["method"] == "HEAD":
                    await _send_head(send)
                    return
                subscriber = Subscriber(self._hub(), channel, wanted.cursor, wanted.until_run)
                if wanted.until_done:
                    await self._bound(subscriber, wanted.agent_id)
                pieces, headers = await self._in_dialect(subscriber, wanted)
                await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})
                await self._serve(subscriber, wanted.access, pieces, receive, send)
        except Problem as problem:
            await answer(send, problem)
        except LogMissing:
            await answer(send, Problem(404, "not-found", "no such agent"))
        except JournalUnavailable:
            await answer(send, Problem(503, "database-unavailable", "try again soon", headers={"Retry-After": "2"}))

    async def _bound(self, subscriber: Subscriber, agent_id: str) -> None:
        """Where `until=done` ends: behind the active run, else behind the first in the queue, else at the tip."""
        tip = await self._hub().reader.at_tip(agent_id)
        run_id = tip.state["active_run"] or next(iter(waiting_runs(tip.state)), None)
        if run_id is None:
            subscriber.end_at(tip.cursor)
        else:
            subscriber.until(run_id)

    async def _in_dialect(self, subscriber: Subscriber, wanted: Wanted) -> tuple[Pieces, Iterable[tuple[bytes, bytes]]]:
        """The response's pieces in the dialect that is wanted, and that dialect's own headers."""
        if wanted.format == NATIVE:
            return subscriber.stream(), ()
        dialect = DIALECTS[wanted.format](wanted.agent_id, wanted.until_run)
        translation = Translation(dialect, subscriber, wanted.agent_id, self._hub(), self._gate.first_seq)
        await translation.begin()
        return translation.stream(), dialect.HEADERS

    async def _serve(
        self, subscriber: Subscriber, access: Access, pieces: Pieces, receive: Receive, send: Send
    ) -> None:
        """Send until the stream ends, the client has gone or its access has ended, whichever is first."""
        sending = asyncio.create_task(_send_all(subscriber, pieces, send))
        leaving = asyncio.create_task(_disconnected(receive))
        self._open.add(sending)
        sending.add_done_callback(self._open.discard)

        def end() -> None:
            subscriber.end()
            asyncio.get_running_loop().call_later(END_S, sending.cancel)

        try:
            with access.watch(end):
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception):
                log.info("stream broke off", cursor=str(subscriber.cursor), error=repr(error))


async def _send_all(subscriber: Subscriber, stream: Pieces, send: Send) -> None:
    """Ends the response in every case but one: a client that takes nothing could not be told. It comes back by itself,
    with its cursor, when the server closes the connection."""
    try:
        async with contextlib.aclosing(stream) as pieces:
            async for piece in pieces:
                await _send_piece(send, piece)
    except TimeoutError:
        log.info("subscriber takes nothing, disconnected", cursor=str(subscriber.cursor))
        return
    except (JournalUnavailable, LogMissing) as error:
        log.info("stream ended early", cursor=str(subscriber.cursor), reason=repr(error))
    except Exception:  # the response has begun: a server can't turn this into an answer any more
        log.exception("stream ended early", cursor=str(subscriber.cursor))
    with contextlib.suppress(TimeoutError):
        await _send_piece(send, b"", more=False)


async def _send_head(send: Send) -> None:
    """What GET's answer begins with. A body would be taken for the connection's next answer."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_piece(send: Send, piece: bytes, more: bool = True) -> None:
    async with asyncio.timeout(settings.STREAM_SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(send: Send, problem: Problem) -> None:
    """Send `problem` as the whole HTTP response."""
    body = problem.body
    named = {**problem.all_headers, "Content-Length": str(len(body))}
    headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def query_of(scope: Scope) -> dict[str, str]:
    """Each parameter's last value. Tolerates any bytes."""
    raw = scope.get("query_string", b"").decode("latin-1")
    return {key: values[-1] for key, values in parse_qs(raw, keep_blank_values=True).items()}


def header(scope: Scope, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted), None)


def cursor_of(scope: Scope) -> Cursor | None:
    """`Last-Event-ID`, which wins, or `?after=`; None if there is neither, UNPARSABLE for what is no cursor."""
    text = header(scope, b"last-event-id") or query_of(scope).get("after")
    if not text:
        return None
    return parse(text) or UNPARSABLE
