"""One client interface over both transports of the log, in this process: an SSE response, and an agent on a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from streaming.http.access import Access
from streaming.http.problem import Problem
from streaming.http.sse import Scope, SseApplication, Wanted
from streaming.http.websocket import Session, WebSocketApplication
from tests.streaming.endpoint import OpenGate, Response
from tests.streaming.world import World, until


class RevocableAccess:
    """Ends when the test says so."""

    def __init__(self) -> None:
        self._watching: list[Callable[[], None]] = []
        self.has_ended = False

    @contextlib.contextmanager
    def watch(self, on_end: Callable[[], None]) -> Iterator[None]:
        self._watching.append(on_end)
        yield
        self._watching.remove(on_end)

    def revoke(self) -> None:
        self.has_ended = True
        for on_end in tuple(self._watching):
            on_end()

    def check(self) -> None:
        if self.has_ended:
            raise Problem(401, "not-authenticated", "log in, or send a token")


class Stream(Protocol):
    """What one client gets of one agent."""

    @property
    def payloads(self) -> list[str]:
        """JSON texts, in their order: events, snapshots, resets."""

    @property
    def is_refused(self) -> bool:
        """There never was a stream."""

    @property
    def is_over(self) -> bool: ...

    async def leave(self) -> None:
        """The client closes its connection."""


class Transport(Protocol):
    """`stalls`: every write of a connection that is opened now waits for it, if it is not set."""

    access: RevocableAccess

    def open(self, agent_id: str, after: str | None = None, *, stalls: asyncio.Event | None = None) -> Stream: ...

    async def drain(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def connections(self) -> int:
        """Those that the application still has."""


def cursors(stream: Stream) -> list[str]:
    """Of everything that has a place in the log."""
    frames = map(json.loads, stream.payloads)
    return [f"{frame['epoch']}-{frame['seq']}" for frame in frames if "seq" in frame]


async def shows(stream: Stream, cursor: str) -> None:
    await until(lambda: cursor in cursors(stream) or stream.is_over, f"{cursor}, but there are {cursors(stream)}")
    assert cursor in cursors(stream)


# SSE ------------------------------------------------------------------------------------------------------------------


class _SseGate(OpenGate):
    def __init__(self, access: RevocableAccess) -> None:
        self._access = access

    async def open(self, scope: Scope, receive: Any) -> Wanted:
        self._access.check()
        wanted = await super().open(scope, receive)
        return Wanted(wanted.agent_id, wanted.cursor, access=self._access)


class _SseStream(Response):
    stalls: asyncio.Event | None = None

    async def send(self, message: dict[str, Any]) -> None:
        if self.stalls is not None and b"data:" in message.get("body", b""):
            await self.stalls.wait()
        await super().send(message)

    @property
    def payloads(self) -> list[str]:
        return [frame["data"] for frame in self.frames]

    @property
    def is_refused(self) -> bool:
        return self.status >= 400

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()


class Sse:
    def __init__(self, world: World) -> None:
        self.access = RevocableAccess()
        self._app = SseApplication(lambda: world.hub, _SseGate(self.access))
        self._streams: list[_SseStream] = []

    def open(self, agent_id: str, after: str | None = None, *, stalls: asyncio.Event | None = None) -> Stream:
        stream = _SseStream()
        stream.stalls = stalls
        query = b"" if after is None else b"after=" + after.encode()
        scope = {"type": "http", "method": "GET", "path": f"/{agent_id}", "query_string": query, "headers": []}
        stream.task = asyncio.create_task(self._app(scope, stream.receive, stream.send))
        self._streams.append(stream)
        return stream

    async def drain(self) -> None:
        await self._app.drain()

    async def close(self) -> None:
        for stream in self._streams:
            await stream.leave()

    @property
    def connections(self) -> int:
        return len(self._app._open)


# WebSocket ------------------------------------------------------------------------------------------------------------


class _Session:
    def __init__(self, access: RevocableAccess) -> None:
        self.access: Access = access
        self._revocable = access

    async def follow(self, agent_id: Any) -> tuple[str, Access]:
        self._revocable.check()
        return agent_id, self._revocable

    async def command(self, kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        self._revocable.check()
        return {"kind": kind, "fields": dict(fields)}


class OpenSocketGate:
    def __init__(self, access: RevocableAccess) -> None:
        self._access = access

    async def connect(self, scope: Scope) -> Session | None:
        self._access.check()
        return _Session(self._access)

    async def authenticate(self, scope: Scope, fields: Mapping[str, Any]) -> Session:
        raise AssertionError("there were credentials in the handshake")


class Socket:
    """A connection, as a client has it. `code`: how the server closed it."""

    def __init__(self, app: WebSocketApplication, stalls: asyncio.Event | None = None) -> None:
        self.sent: list[str] = []
        self.code: int | None = None
        self.accepted = False
        self._stalls = stalls
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app({"type": "websocket", "headers": []}, self._incoming.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        assert self.code is None, "nothing comes after the end"
        if message["type"] == "websocket.accept":
            self.accepted = True
        elif message["type"] == "websocket.close":
            self.code = message["code"]
        else:
            assert self.accepted
            if self._stalls is not None and '"ack"' not in message["text"]:
                await self._stalls.wait()
            self.sent.append(message["text"])

    def say(self, message: Any) -> None:
        self.say_text(json.dumps(message))

    def say_text(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.sent]

    async def answer(self, id_: Any) -> dict[str, Any]:
        """To the message with that id."""
        await until(lambda: any(one.get("id") == id_ for one in self.messages), f"an answer, but there is {self.sent}")
        return next(one for one in self.messages if one.get("id") == id_)

    async def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


class _AgentOnSocket:
    def __init__(self, socket: Socket, agent_id: str) -> None:
        self._socket = socket
        self._agent_id = agent_id

    @property
    def payloads(self) -> list[str]:
        found = [text for text in self._socket.sent if json.loads(text).get("agent_id") == self._agent_id]
        return [text for text in found if json.loads(text)["type"] not in ("ack", "detached")]

    @property
    def is_refused(self) -> bool:
        return self._socket.code == 4401 and not self.payloads

    @property
    def is_over(self) -> bool:
        detached = any(message["type"] == "detached" for message in self._socket.messages)
        return detached or self._socket.task.done()

    async def leave(self) -> None:
        await self._socket.leave()


class WebSocket:
    def __init__(self, world: World) -> None:
        self.access = RevocableAccess()
        self.app = WebSocketApplication(lambda: world.hub, OpenSocketGate(self.access))
        self.sockets: list[Socket] = []

    def connect(self, stalls: asyncio.Event | None = None) -> Socket:
        self.sockets.append(Socket(self.app, stalls))
        return self.sockets[-1]

    def open(self, agent_id: str, after: str | None = None, *, stalls: asyncio.Event | None = None) -> Stream:
        socket = self.connect(stalls)
        socket.say({"type": "attach", "agent_id": agent_id, "after": after})
        return _AgentOnSocket(socket, agent_id)

    async def drain(self) -> None:
        await self.app.drain()

    async def close(self) -> None:
        for socket in self.sockets:
            await socket.leave()

    @property
    def connections(self) -> int:
        return len(self.app._open)
