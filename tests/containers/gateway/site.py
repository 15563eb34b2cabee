"""A gateway, a program's end of it, and the Internet behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from containers.gateway import Allowlist, Connection, Gateway
from containers.gateway.destinations import patterns
from containers.gateway.server import Streams

PUBLIC = "93.184.216.34"


class Outside:
    """The Internet: a server on a port of this machine, which names and addresses are made to lead to."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.dead: set[str] = set()
        self._server: asyncio.Server | None = None

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError(-2, "Name or service not known")
        return self.names[host]

    async def connect(self, address: str, port: int) -> Streams:
        self.dialled.append(address)
        if address in self.dead:
            raise ConnectionRefusedError(111, "Connection refused")
        assert self._server is not None
        return await asyncio.open_connection(*self._server.sockets[0].getsockname())

    async def open(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers everything, at the end of it, in capitals."""
    with contextlib.suppress(ConnectionError):
        writer.write((await reader.read()).upper())
        await writer.drain()
    writer.close()


class Site:
    def __init__(self, directory: Path, outside: Outside) -> None:
        self.outside = outside
        self.reports: list[Connection] = []
        self.directory = directory
        self.gateways: list[Gateway] = []

    async def gateway(self, wanted: str = "*:*", site: str = "*:*") -> Gateway:
        async def report(connection: Connection) -> None:
            self.reports.append(connection)

        made = Gateway(
            Allowlist(patterns(wanted), patterns(site)),
            report,
            resolve=self.outside.resolve,
            connect=self.outside.connect,
        )
        await made.open(self.directory)
        self.gateways.append(made)
        return made

    async def ask(self, text: str, body: bytes = b"") -> bytes:
        """Everything that comes back."""
        reader, writer = await self.connect()
        writer.write(text.encode("latin-1") + body)
        if body or not text.endswith("\r\n\r\n"):
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async def connect(self) -> Streams:
        return await asyncio.open_unix_connection(self.directory / "gateway.sock")

    async def reported(self, count: int) -> list[Connection]:
        async with asyncio.timeout(20):
            while len(self.reports) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return self.reports
