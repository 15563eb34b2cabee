"""Redis in memory, as far as the log asks for it: streams, the two scripts, channels; and a client for `Bus` and `Hub`.

A subscription's connection is two pipes, each in order: what we send takes effect in steps of its own, and so does the
arrival of what Redis has sent. A connection that breaks loses what is in them; one that is cut off says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ConnectionError as Broken

from streaming.store import bus
from tests.model.gate import Gate, at_once

Id = tuple[int, int]
Fields = dict[bytes, bytes]


def away() -> Broken:
    """A new one each time: an exception keeps the traceback of everybody who ever raised it."""
    return Broken("Redis is away")


@dataclass(eq=False)
class Connection:
    """A subscription's."""

    number: int
    sent: deque[tuple[str, str]] = field(default_factory=deque)
    """Commands on their way to Redis."""
    coming: deque[dict[str, Any]] = field(default_factory=deque)
    """Messages on their way to us."""
    arrived: deque[dict[str, Any]] = field(default_factory=deque)
    channels: set[str] = field(default_factory=set)
    is_broken: bool = False
    is_cut_off: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def break_(self) -> None:
        self.is_broken = True
        self.sent.clear()
        self.coming.clear()
        self.arrived.clear()
        self.changed.set()

    def cut_off(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self.is_cut_off = True
        self.sent.clear()
        self.coming.clear()


@dataclass(eq=False)
class Pipe:
    """The next thing in one of a connection's two pipes."""

    key: str
    server: Server
    connection: Connection
    arriving: bool

    def take(self) -> None:
        if self.arriving:
            self.connection.arrived.append(self.connection.coming.popleft())
            self.connection.changed.set()
        else:
            self.server.obey(self.connection, *self.connection.sent.popleft())


class Server:
    def __init__(self) -> None:
        self.streams: dict[str, list[tuple[Id, Fields]]] = {}
        self.connections: list[Connection] = []
        self.connected = 0

    def flush(self) -> None:
        self.streams.clear()

    def break_connections(self) -> None:
        for connection in self.connections:
            connection.break_()
        self.connections.clear()

    def movable(self) -> list[Pipe]:
        pipes = []
        for one in self.connections:
            if one.sent:
                pipes.append(Pipe(f"subscription {one.number} {one.sent[0]}", self, one, False))
            if one.coming:
                pipes.append(Pipe(f"arrival {one.number}", self, one, True))
        return pipes

    # Commands --------------------------------------------------------------------------------------------------------

    def publish_batch(self, key: str, *args: str | int) -> list[int]:
        """streaming/store/publish.lua"""
        epoch, first, committed, maxlen = map(int, args[:4])
        position, payloads = str(args[5]), [str(payload) for payload in args[6:]]
        last = first + len(payloads) - 1
        tip_epoch, tip_seq = self._tip(key)
        if tip_epoch > epoch:
            return [-1, tip_epoch]
        if tip_epoch < epoch:
            return [-2, 0]
        behind = max(tip_seq, committed)
        if behind < first - 1:
            return [0, behind]
        if tip_seq >= last:
            return [1, tip_seq]
        lines = []
        for seq in range(max(first, tip_seq + 1), last + 1):
            payload = payloads[seq - first].encode()
            self._add(key, (epoch, seq), {b"d": payload, **({b"p": position.encode()} if seq == last else {})}, maxlen)
            lines.append(b"%d-%d " % (epoch, seq) + payload)
        self.publish(key, b"\n".join(lines))
        return [1, last]

    def fence(self, key: str, *args: str | int) -> int:
        """streaming/store/fence.lua"""
        epoch = int(args[0])
        tip_epoch = self._tip(key)[0] if self.streams.get(key) else 0
        if tip_epoch > epoch:
            return 0
        if tip_epoch < epoch:
            self._add(key, (epoch, 0), {b"f": b"1"})
        return 1

    def publish(self, channel: str, data: bytes) -> int:
        told = [one for one in self.connections if channel in one.channels and not one.is_cut_off]
        for one in told:
            one.coming.append({"type": "message", "channel": channel.encode(), "data": data})
        return len(told)

    def xrange(self, key: str, first: str, count: int) -> list[tuple[bytes, Fields]]:
        after = (-1, 0)
        if first != "-":
            epoch, seq = first.removeprefix("(").split("-")
            after = (int(epoch), int(seq))
        return [(_raw(at), fields) for at, fields in self.streams.get(key, []) if at > after][:count]

    def xrevrange(self, key: str, count: int) -> list[tuple[bytes, Fields]]:
        return [(_raw(at), fields) for at, fields in self.streams.get(key, [])[::-1][:count]]

    def obey(self, connection: Connection, command: str, channel: str) -> None:
        if command == "subscribe":
            connection.channels.add(channel)
        elif command == "unsubscribe":
            connection.channels.discard(channel)
        name = None if command == "pong" else channel.encode()
        connection.coming.append({"type": command, "channel": name, "data": b""})

    def _tip(self, key: str) -> Id:
        entries = self.streams.get(key)
        return entries[-1][0] if entries else (0, 0)

    def _add(self, key: str, at: Id, fields: Fields, maxlen: int | None = None) -> None:
        entries = self.streams.setdefault(key, [])
        assert not entries or at > entries[-1][0], "XADD refuses it"
        entries.append((at, fields))
        if maxlen is not None:  # Redis may keep more, never less
            del entries[:-maxlen]


def _raw(at: Id) -> bytes:
    return b"%d-%d" % at


class Client:
    """redis.asyncio.Redis, as far as it is used."""

    def __init__(self, server: Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate

    def register_script(self, text: str) -> Callable[..., Awaitable[Any]]:
        scripts = {bus._PUBLISH: self._server.publish_batch, bus._FENCE: self._server.fence}

        async def run(keys: Sequence[str], args: Sequence[str | int]) -> Any:
            return await self._ask(scripts[text].__name__, lambda: scripts[text](keys[0], *args), writes=True)

        return run

    async def xrange(self, key: str, min: str, count: int) -> Any:
        return await self._ask(f"xrange {min}", lambda: self._server.xrange(key, min, count))

    async def publish(self, channel: str, data: bytes) -> Any:
        return await self._ask(f"say {data.decode()}", lambda: self._server.publish(channel, data), writes=True)

    def pipeline(self, transaction: bool = True) -> Pipeline:
        return Pipeline(self)

    def pubsub(self) -> PubSub:
        return PubSub(self._server, self._gate)

    async def aclose(self) -> None:
        pass

    async def _ask(self, name: str, command: Callable[[], Any], *, writes: bool = False) -> Any:
        return await self._gate.call("redis", name, at_once(command)(), writes=writes)


class Pipeline:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: list[tuple[str, int]] = []

    async def __aenter__(self) -> Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xrevrange(self, key: str, count: int) -> None:
        self._asked.append((key, count))

    async def execute(self) -> Any:
        server = self._client._server
        return await self._client._ask("tips", lambda: [server.xrevrange(key, count) for key, count in self._asked])


class PubSub:
    """redis.asyncio.client.PubSub with a client that does not retry."""

    def __init__(self, server: Server, gate: Gate) -> None:
        self._server = server
        self._gate = gate
        self._connection: Connection | None = None

    async def __aenter__(self) -> PubSub:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection in self._server.connections:
            self._server.connections.remove(self._connection)

    async def subscribe(self, *channels: str) -> None:
        await self._send("subscribe", channels)

    async def unsubscribe(self, *channels: str) -> None:
        await self._send("unsubscribe", channels)

    async def ping(self) -> None:
        await self._send("pong", [""])

    async def get_message(self, timeout: float) -> dict[str, Any] | None:
        connection = self._connection
        assert connection is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not connection.arrived:
                    if connection.is_broken:
                        raise away()
                    connection.changed.clear()
                    await connection.changed.wait()
                return connection.arrived.popleft()
        return None

    async def _send(self, command: str, channels: Sequence[str]) -> None:
        if self._connection is None:
            self._connection = await self._gate.call("redis", "connect", self._connect(), writes=False)
        if self._connection.is_broken:
            raise away()
        if not self._connection.is_cut_off:
            self._connection.sent.extend((command, channel) for channel in channels)

    @at_once
    def _connect(self) -> Connection:
        self._server.connected += 1
        connection = Connection(self._server.connected)
        self._server.connections.append(connection)
        return connection
