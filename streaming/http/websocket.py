"""The WebSocket endpoint: a raw ASGI application, one socket for any number of agents.

Each agent that a socket is attached to has a subscriber like that of an SSE stream, so events, cursors and resets are
the same. The subscribers of one socket take turns: together they hold the events of one write in memory.

Client to server, one JSON object a message: `authenticate` (only first, where the handshake has no credentials),
`attach` {agent_id, after?}, `detach` {agent_id}, and the commands of the gate. Each is answered by
`{"type":"ack","for","id"?, …}` or `{"type":"error","for","id"?,"error":{code, message, details?}}`.
Server to client besides: events, snapshots and resets, each with its agent_id, and
`{"type":"detached","agent_id","reason"}`: deleted, access-ended, unavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

import structlog
from django.conf import settings

from streaming.errors import JournalUnavailable, LogMissing
from streaming.http.access import Access
from streaming.http.problem import Problem
from streaming.http.sse import DRAIN_S, UNPARSABLE, Receive, Scope, Send
from streaming.model.cursor import Cursor, parse
from streaming.model.events import encode
from streaming.read.frames import Frame
from streaming.read.hub import Hub
from streaming.read.subscriber import Subscriber

log = structlog.get_logger(__name__)
GOING_AWAY, TOO_LARGE, INTERNAL_ERROR, TRY_LATER = 1001, 1009, 1011, 1013
ACCESS_ENDED, FORBIDDEN, TOO_SLOW = 4401, 4403, 4408
"""Close codes: RFC 6455, section 7.4, and of the private range those that end like HTTP's statuses."""
CLOSE_S = 1.0
"""How long the server's part of closing may take; a client that takes nothing is cut off."""
ID_MAX_CHARS = 200
AUTHENTICATE = "authenticate"
MESSAGE_TOO_LARGE = "message-too-large"


class Session(Protocol):
    """What the caller of one socket may do. Every call asks anew whether the caller still has access, and raises
    Problem: 401 if not."""

    access: Access

    async def follow(self, agent_id: Any) -> tuple[str, Access]:
        """That agent's canonical id, and the caller's access to it."""

    async def command(self, kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Obey; answers the fields of the `ack`. `fields`: the message without `type` and `id`."""


class SocketGate(Protocol):
    """Both raise Problem. 403: the handshake itself is refused."""

    async def connect(self, scope: Scope) -> Session | None:
        """None: there are no credentials in the handshake, and a first message has to bring them."""

    async def authenticate(self, scope: Scope, fields: Mapping[str, Any]) -> Session: ...


def max_message_bytes() -> int:
    """Of a message from a client. An input may be escaped in JSON, and has fields beside it."""
    return 2 * int(settings.INPUT_MAX_BYTES)


class WebSocketApplication:
    """`hub` is called in the server's event loop, at the first connection."""

    def __init__(self, hub: Callable[[], Hub], gate: SocketGate) -> None:
        self._hub = hub
        self._gate = gate
        self._open: set[asyncio.Task[Any]] = set()

    async def drain(self) -> None:
        """Close every socket; returns when they are closed, or after DRAIN_S."""
        await self._hub().close()
        if self._open:
            await asyncio.wait(self._open, timeout=DRAIN_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        session, problem = None, None
        try:
            session = await self._gate.connect(scope)
        except Problem as refusal:
            problem = refusal
            if problem.status == 403:
                await send({"type": "websocket.close", "code": FORBIDDEN})
                return
        self._hub().start()
        socket = _Socket(self._hub(), self._gate, scope, receive, send, session)
        serving = asyncio.current_task()
        assert serving is not None
        self._open.add(serving)
        try:
            await socket.serve(problem)
        finally:
            self._open.discard(serving)


class _Socket:
    """One open socket. `_code`: how it is to be closed; the first reason counts. None if the client has gone."""

    def __init__(
        self, hub: Hub, gate: SocketGate, scope: Scope, receive: Receive, send: Send, session: Session | None
    ) -> None:
        self._hub = hub
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._session = session
        self._turn = asyncio.Lock()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._access = contextlib.ExitStack()

    async def serve(self, problem: Problem | None) -> None:
        """Until the client has gone, or we have a reason to close. `problem`: there is no session, and this is why."""
        await self._send({"type": "websocket.accept"})
        work = [
            asyncio.create_task(self._read(problem), name="socket"),
            asyncio.create_task(self._await_shutdown(), name="socket shutdown"),
        ]
        try:
            with self._access:
                if self._session is not None:
                    self._watch_access(self._session)
                code = await self._code
        finally:
            work += self._followers.values()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if code is not None:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(CLOSE_S):
                    await self._send({"type": "websocket.close", "code": code})

    def _end(self, code: int | None) -> None:
        if not self._code.done():
            self._code.set_result(code)

    async def _await_shutdown(self) -> None:
        await self._hub.closing.wait()
        self._end(GOING_AWAY)

    def _watch_access(self, session: Session) -> None:
        self._access.enter_context(session.access.watch(lambda: self._end(ACCESS_ENDED)))

    # What the client says -----------------------------------------------------------------------------------------

    async def _read(self, problem: Problem | None) -> None:
        try:
            if problem is not None:
                await self._refuse({}, problem)
                return
            while not self._code.done():
                message = await self._next_message()
                if message["type"] == "websocket.disconnect":
                    self._end(None)
                else:
                    await self._answer(message)
        except OSError:  # TimeoutError among them: the client takes nothing, or has gone
            self._end(TOO_SLOW)
        except Exception:
            log.exception("socket broke off")
            self._end(INTERNAL_ERROR)

    async def _next_message(self) -> Mapping[str, Any]:
        if self._session is not None:
            return await self._receive()
        try:
            async with asyncio.timeout(settings.WEBSOCKET_AUTHENTICATE_S):
                return await self._receive()
        except TimeoutError:
            await self._refuse({}, _not_authenticated())
            return {"type": "websocket.disconnect"}

    async def _answer(self, message: Mapping[str, Any]) -> None:
        command: dict[str, Any] = {}
        try:
            command = _parse(message)
            _check(command, "id", int | str, optional=True)
            _check(command, "type", str)
            await self._obey(command)
        except Problem as problem:
            await self._refuse(command, problem)

    async def _obey(self, command: dict[str, Any]) -> None:
        kind = command["type"]
        fields = {key: value for key, value in command.items() if key not in ("type", "id")}
        if self._session is None:
            await self._authenticate(command, fields)
        elif kind == "attach":
            await self._attach(self._session, command)
        elif kind == "detach":
            await self._detach(_agent_id(command))
            await self._acknowledge(command)
        else:
            await self._acknowledge(command, await self._session.command(kind, fields))

    async def _authenticate(self, command: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        if command["type"] != AUTHENTICATE:
            raise _not_authenticated()
        self._session = await self._gate.authenticate(self._scope, fields)
        self._watch_access(self._session)
        await self._acknowledge(command)

    async def _attach(self, session: Session, command: Mapping[str, Any]) -> None:
        """Anew, if it was attached already: a client that has lost its place says so by attaching again."""
        after = command.get("after")
        if after is not None and not isinstance(after, str):
            raise Problem(422, "invalid-input", "after: must be a string", {"field": "after"})
        agent_id, access = await session.follow(command.get("agent_id"))
        if agent_id not in self._followers and len(self._followers) >= settings.WEBSOCKET_AGENTS:
            raise Problem(429, "too-many-agents", f"a socket may be attached to {settings.WEBSOCKET_AGENTS} agents")
        await self._detach(agent_id)
        await self._acknowledge(command, {"agent_id": agent_id})
        cursor = None if after is None else (parse(after) or UNPARSABLE)
        follower = asyncio.create_task(self._follow(agent_id, cursor, access), name=f"socket follows {agent_id}")
        self._followers[agent_id] = follower

    async def _detach(self, agent_id: str) -> None:
        follower = self._followers.pop(agent_id, None)
        if follower is not None:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    # What the server says -----------------------------------------------------------------------------------------

    async def _follow(self, agent_id: str, cursor: Cursor | None, access: Access) -> None:
        reason = "unavailable"
        try:
            async with self._hub.watch(agent_id) as channel:
                subscriber = Subscriber(self._hub, channel, cursor, turn=self._turn)
                with access.watch(subscriber.end):
                    await self._send_events(agent_id, subscriber)
                if self._hub.closing.is_set():
                    return
                if not (channel.deleted or subscriber.was_ended):
                    self._end(TOO_SLOW)
                    return
                reason = "deleted" if channel.deleted else "access-ended"
        except LogMissing:
            reason = "deleted"
        except JournalUnavailable:
            pass
        except OSError:  # TimeoutError among them: it takes nothing
            self._end(TOO_SLOW)
            return
        except Exception:
            log.exception("socket could not follow an agent", agent_id=agent_id)
        self._followers.pop(agent_id, None)
        with contextlib.suppress(OSError):
            await self._say({"type": "detached", "agent_id": agent_id, "reason": reason})

    async def _send_events(self, agent_id: str, subscriber: Subscriber) -> None:
        async with contextlib.aclosing(subscriber.batches()) as batches:
            async for batch in batches:
                for frame in batch:
                    await self._send_text(_payload(frame, agent_id))

    async def _acknowledge(self, command: Mapping[str, Any], fields: Mapping[str, Any] | None = None) -> None:
        await self._say({"type": "ack", **_reference(command), **(fields or {})})

    async def _refuse(self, command: Mapping[str, Any], problem: Problem) -> None:
        """An answer to one message. Without access, or without a session, the socket is closed behind it."""
        await self._send_text(problem.to_json(type="error", **_reference(command)))
        if problem.status == 401:
            self._end(ACCESS_ENDED)
        elif problem.code == MESSAGE_TOO_LARGE:
            self._end(TOO_LARGE)
        elif self._session is None:
            self._end(TRY_LATER if problem.status == 503 else FORBIDDEN)

    async def _say(self, message: Mapping[str, Any]) -> None:
        await self._send_text(encode(message))

    async def _send_text(self, text: str) -> None:
        """Raises TimeoutError, and has the socket closed, if the client takes nothing."""
        try:
            async with asyncio.timeout(settings.STREAM_SEND_TIMEOUT_S):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            log.info("socket takes nothing, disconnected")
            self._end(TOO_SLOW)
            raise


def _payload(frame: Frame, agent_id: str) -> str:
    """As in the stream. A reset is not in the log, so it doesn't say of which agent it is."""
    return encode({**json.loads(frame.payload), "agent_id": agent_id}) if frame.is_reset else frame.payload


def _reference(command: Mapping[str, Any]) -> dict[str, Any]:
    """Which message is answered."""
    named = {"for": command["type"]} if "type" in command else {}
    return {**named, "id": command["id"]} if "id" in command else named


def _parse(message: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Problem."""
    text = message.get("text")
    if text is None:
        raise Problem(400, "invalid-json", "send text, not binary data")
    if len(text) > max_message_bytes():
        raise Problem(413, MESSAGE_TOO_LARGE, f"a message may have {max_message_bytes()} bytes")
    try:
        command = json.loads(text)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-json", "a message must be a JSON object") from None
    if not isinstance(command, dict):
        raise Problem(400, "invalid-json", "a message must be a JSON object")
    return command


def _agent_id(command: Mapping[str, Any]) -> str:
    """That of an agent which may be followed, as the followers are named. Raises Problem as `attach` does."""
    given = command.get("agent_id")
    if not isinstance(given, str):
        raise Problem(422, "invalid-input", "agent_id: must be a string", {"field": "agent_id"})
    with contextlib.suppress(ValueError):
        if (canonical := str(UUID(given))) == given.lower():
            return canonical
    raise Problem(404, "not-found", "no such agent")


def _check(command: dict[str, Any], field: str, kind: Any, *, optional: bool = False) -> None:
    """A field that is sent back is taken out if it is wrong."""
    value = command.get(field)
    if value is None and optional:
        command.pop(field, None)
        return
    fits = isinstance(value, kind) and not isinstance(value, bool) and len(str(value)) <= ID_MAX_CHARS
    if not (fits and str(value).isprintable()):
        command.pop(field, None)
        expected = "text" if kind is str else "text or a whole number"
        message = f"{field}: must be {expected} of at most {ID_MAX_CHARS} characters"
        raise Problem(422, "invalid-input", message, {"field": field})


def _not_authenticated() -> Problem:
    return Problem(401, "not-authenticated", "log in, or send a token")
