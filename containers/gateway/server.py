"""Lets one run connect to what its definition names, by `CONNECT host:port` as to any HTTP proxy.

    program ─► 127.0.0.1 ─► forward.py ─► gateway.sock ═╪═ Gateway ─► judged address ─► the Internet
                     (container without network)        ╪  (worker)

Bytes pass unread in both directions. Each connection is reported when it ends, and each refused one. Any other request
for a path of ours (`POST /…`) is for `http`, if there is one: it gets the connection itself, with what was read of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from containers.gateway import addresses
from containers.gateway.destinations import Allowlist, Destination, DestinationInvalid
from containers.gateway.pace import Pace
from containers.gateway.place import listen

log = logging.getLogger(__name__)

CONNECTIONS = 64
"""At once, of one run; more of them wait."""
REQUEST_BYTES = 16 * 1024
REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 15.0
"""For resolving a name and connecting to one of its addresses, together."""
IDLE_TIMEOUT_S = 600.0
"""A connection on which nobody says anything for so long is closed."""
CLOSE_TIMEOUT_S = 1.0
"""How long closing waits for the last reports."""
COPY_BYTES = 64 * 1024
READ_BYTES = 2**20
"""More than the streams of a connection hold before its reading is paused."""
REPORTS_PER_S, REPORTS_AT_ONCE = 20.0, 100
"""Connections are reported at most so often, and taken no faster: else a program could flood its own log at no cost."""

_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S{1,1024}) HTTP/1\.[01]\r\n")


@dataclass(frozen=True, slots=True)
class Connection:
    """What became of one. `problem`: why there was none; None if there was. Bytes as the program sees it."""

    destination: str
    problem: str | None
    sent_bytes: int = 0
    received_bytes: int = 0
    duration_s: float = 0.0

    def __str__(self) -> str:
        if self.problem is not None:
            return f"egress to {self.destination} refused: {self.problem}"
        traffic = f"{self.sent_bytes} bytes sent, {self.received_bytes} received"
        return f"egress to {self.destination}: {traffic}, {self.duration_s:.1f} s"


Report = Callable[[Connection], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams]]
Http = Callable[[socket.socket, bytes], Awaitable[None]]
"""Serves one connection, from the bytes that were read of it on, and closes the socket; until then it counts as one of
CONNECTIONS. What it is asked on that connection is its own business, and so is what it reports."""


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Gateway:
    """Of one run. `report` is awaited for each connection; while it waits, the connection counts as one of CONNECTIONS,
    so a log that is slow slows the program.
    """

    def __init__(
        self,
        allowlist: Allowlist,
        report: Report,
        *,
        http: Http | None = None,
        resolve: addresses.Resolve = addresses.resolve,
        connect: Connect = asyncio.open_connection,
    ) -> None:
        self._allowlist = allowlist
        self._report = report
        self._http = http
        self._resolve = resolve
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._pace = Pace(REPORTS_PER_S, REPORTS_AT_ONCE)
        self._serving: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        """With both ends of its tunnel, once there is one."""

    async def open(self, directory: Path) -> None:
        """Listen in a directory that GatewayPlace has prepared. Raises OSError."""
        self._server = await asyncio.start_unix_server(self._accept, sock=listen(directory), limit=REQUEST_BYTES)

    async def close(self) -> None:
        """Ends every connection. What had passed through those that were open is reported."""
        if self._server is not None:
            self._server.close()
        for task, tunnel in self._serving.items():
            for end in tunnel:
                end.transport.abort()
            if not tunnel:
                task.cancel()
        if serving := list(self._serving):
            await asyncio.wait(serving, timeout=CLOSE_TIMEOUT_S)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="egress")
        self._serving[task] = []
        task.add_done_callback(lambda ended: self._serving.pop(ended, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._places:
                await self._pace.turn()
                if (connection := await self._handle(reader, writer)) is not None:
                    await self._report(connection)
        except (ConnectionError, TimeoutError) as error:  # the program's end is gone
            log.debug("egress ended: %s", error)
        except Exception:
            log.exception("egress failed")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connection | None:
        """None if nothing was asked for, or it was for `http`."""
        asked = "?"
        try:
            head, method, target = await _request(reader)
            asked = _printable(target)
            if self._http is not None and method != b"CONNECT" and target.startswith(b"/"):
                await self._http(*await _taken_out(head, reader, writer))
                return None
            if method != b"CONNECT":
                raise _Refused(405, "only CONNECT (https) is passed on")
            destination = _destination(target)
            asked = str(destination)
            if (problem := self._allowlist.refusal(destination)) is not None:
                raise _Refused(403, problem)
            outside = await self._dial(destination)
        except EOFError:
            return None
        except _Refused as refused:
            await _answer(writer, refused)
            return Connection(asked, str(refused))
        return await self._tunnel(asked, (reader, writer), outside)

    async def _dial(self, destination: Destination) -> Streams:
        """To the first public address that answers."""
        problem = "its name has no address"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await self._resolve(*destination)
                public = [address for address in found if addresses.is_public(address)]
                if found and not public:
                    raise _Refused(403, "it is not on the public Internet")
                for address in public:
                    try:
                        return await self._connect(address, destination.port)
                    except OSError as error:
                        problem = error.strerror or str(error)
        except TimeoutError:
            raise _Refused(504, f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            problem = error.strerror or str(error)
        raise _Refused(502, f"no connection: {problem}")

    async def _tunnel(self, asked: str, inside: Streams, outside: Streams) -> Connection:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = [inside[1], outside[1]]
        traffic = _Traffic()
        try:
            inside[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(traffic.pass_on(inside[0], outside[1], "sent"))
                both.create_task(traffic.pass_on(outside[0], inside[1], "received"))
        except* (OSError, TimeoutError):
            pass  # either end broke off: what was passed on is what counts
        finally:
            outside[1].close()
        return Connection(asked, None, traffic.bytes["sent"], traffic.bytes["received"], monotonic() - traffic.begun)


class _Traffic:
    """Of one tunnel, in both directions."""

    def __init__(self) -> None:
        self.bytes = {"sent": 0, "received": 0}
        self.begun = self._at = monotonic()

    async def pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: str) -> None:
        """Until `source` ends; then `target` is told so, and may go on talking. TimeoutError when neither side says
        anything any more."""
        while data := await self._read(source):
            target.write(data)
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await target.drain()
            self.bytes[direction] += len(data)
            self._at = monotonic()
        if target.can_write_eof():
            target.write_eof()

    async def _read(self, source: asyncio.StreamReader) -> bytes:
        while True:
            try:
                async with asyncio.timeout(self._at + IDLE_TIMEOUT_S - monotonic()):
                    return await source.read(COPY_BYTES)
            except TimeoutError:
                if monotonic() >= self._at + IDLE_TIMEOUT_S:
                    raise


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """The head, and the method and target in it. Raises EOFError if there is nothing."""
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise EOFError from None
        raise _Refused(400, "the request ended in the middle") from None
    except asyncio.LimitOverrunError:
        raise _Refused(400, f"the request's head is longer than {REQUEST_BYTES} bytes") from None
    except TimeoutError:
        raise _Refused(400, f"no whole request within {REQUEST_TIMEOUT_S:g} s") from None
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise _Refused(400, "is not an HTTP/1.1 request")
    return head, line[1], line[2]


async def _taken_out(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[socket.socket, bytes]:
    """The connection without its streams, and all that these have read of it."""
    transport = writer.transport
    assert isinstance(transport, asyncio.Transport)
    taken: socket.socket = transport.get_extra_info("socket").dup()
    try:
        transport.pause_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):  # what is there is there at once, and nothing more comes
                head += await reader.read(READ_BYTES)
    except BaseException:
        taken.close()
        raise
    writer.close()
    return taken, head


def _destination(target: bytes) -> Destination:
    try:
        return Destination.parse(target.decode("ascii"))
    except (DestinationInvalid, UnicodeDecodeError) as error:
        raise _Refused(400, f"not a destination: {error}") from None


def _printable(target: bytes) -> str:
    return "".join(char if char.isprintable() else "?" for char in target[:200].decode("ascii", "replace"))


async def _answer(writer: asyncio.StreamWriter, refused: _Refused) -> None:
    """The reason phrase says why, too: of what a proxy answers to CONNECT, most clients show nothing else."""
    body = f"agentsite: {refused}\n".encode()
    reason = " ".join(str(refused).encode("ascii", "replace").decode().split())
    head = (
        f"HTTP/1.1 {refused.status} {reason}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
