"""An event stream's wire, read byte by byte: HTTP/1.1 with chunks, then server-sent events.

Not a client library: here a connection may break anywhere, and how it ended is part of what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

CONNECT_S = 5.0
READ_BYTES = 64 * 1024
TCP_ESTABLISHED = 1


class Refused(Exception):
    """No stream: no connection, or another status than 200."""


class Frame(NamedTuple):
    """`id` is None for what is not in the log; `retry` frames and comments have no data."""

    id: str | None
    data: bytes | None
    retry_ms: int | None


class Chunks:
    """Decodes `Transfer-Encoding: chunked`. `ended`: the last chunk came, so the server meant this to be the end."""

    def __init__(self) -> None:
        self.ended = False
        self._raw = b""

    def feed(self, data: bytes) -> bytes:
        self._raw += data
        body = []
        while not self.ended:
            head, found, rest = self._raw.partition(b"\r\n")
            if not found:
                break
            size = int(head, 16)
            if len(rest) < size + 2:
                break
            body.append(rest[:size])
            self._raw = rest[size + 2 :]
            self.ended = size == 0
        return b"".join(body)


class Frames:
    """Cuts a stream into frames; what is not whole yet waits."""

    def __init__(self) -> None:
        self._raw = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        *whole, self._raw = (self._raw + data).split(b"\n\n")
        for text in whole:
            yield _frame(text)
        if self._raw.startswith(b"retry: ") and self._raw.endswith(b"\n"):  # a field counts before its frame is whole
            yield _frame(self._raw.rstrip())


def _frame(text: bytes) -> Frame:
    id_ = data = retry_ms = None
    for line in text.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"id":
            id_ = value.decode()
        elif name == b"data":
            data = value
        elif name == b"retry":
            retry_ms = int(value)
    return Frame(id_, data, retry_ms)


class Connection:
    """One open stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._chunks, self._frames = Chunks(), Frames()

    @property
    def ended_cleanly(self) -> bool:
        return self._chunks.ended

    @property
    def is_established(self) -> bool:
        """By the kernel's word: also true or false while we read nothing."""
        transport = self._writer.transport.get_extra_info("socket")
        try:
            return bool(transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED)
        except OSError:
            return False

    async def read(self) -> list[Frame] | None:
        """Some frames; None at the end. Raises OSError."""
        data = await self._reader.read(READ_BYTES)
        if not data:
            return None
        frames = list(self._frames.feed(self._chunks.feed(data)))
        return None if self.ended_cleanly and not frames else frames

    def abort(self) -> None:
        self._writer.transport.abort()

    def reset(self) -> None:
        """As if the client were killed: an RST, whatever is on its way."""
        break_off(self._writer.transport.get_extra_info("socket"))
        self.abort()


async def connect(
    address: tuple[str, int], path: str, token: str, last_event_id: str | None, buffer_bytes: int = 0
) -> Connection:
    """Raises Refused."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(sock=await new_socket(address, buffer_bytes))
    except (OSError, TimeoutError) as error:
        raise Refused(repr(error)) from None
    try:
        writer.write(request(address, path, token, last_event_id))
        async with asyncio.timeout(6 * CONNECT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise Refused(head.split(b"\r\n", 1)[0].decode())
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        writer.transport.abort()
        raise Refused(repr(error)) from None
    except BaseException:
        writer.transport.abort()
        raise
    return Connection(reader, writer)


def request(address: tuple[str, int], path: str, token: str, last_event_id: str | None) -> bytes:
    headers = f"Host: {address[0]}:{address[1]}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n"
    if last_event_id is not None:
        headers += f"Last-Event-ID: {last_event_id}\r\n"
    return f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()


def break_off(connection: socket.socket) -> None:
    """Closing it will send an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def new_socket(address: tuple[str, int], buffer_bytes: int) -> socket.socket:
    connection = socket.socket()
    try:
        connection.setblocking(False)
        if buffer_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        with contextlib.suppress(OSError):
            connection.close()
        raise
    return connection
