"""A web process as the product starts it, on the tests' own database and Redis, and subscribers over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from django.conf import settings
from django.contrib.auth.models import User

from agents.auth import credentials
from agents.models import Agent
from streaming.store.bus import name
from streaming.store.database import in_database
from tests.faults.sse import Connection, break_off, connect, new_socket, request
from tests.faults.stack import Process
from tests.faults.subscriber import Habits, Subscriber
from tests.servers import PostgresServer
from tests.servers.ports import ReservedPort
from tests.servers.process import new_directory
from tests.streaming.world import World, redis_command, until, until_async

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL_BUFFER_BYTES = 4096
READY_S = 90.0
"""For a start on a machine that others use, too."""
TOGETHER = 25
"""Most subscribers that connect at once: fewer than a listening socket lets wait."""


class WebServer:
    """`python -m agentsite web`. `own`: settings of its own, by their names without AGENTSITE_."""

    def __init__(self, world: World, postgres: PostgresServer, own: dict[str, object]) -> None:
        self.world = world
        self._port = ReservedPort()
        self._subscribers: list[Subscriber] = []
        self._user: User
        self._token: str
        environment = {
            **os.environ,  # the plugin has put there what the test process itself was given
            "PYTHONPATH": str(REPOSITORY),
            "DATABASE_URL": postgres.url_of(settings.DATABASES["default"]["NAME"]),
            "AGENTSITE_PORT": str(self._port.number),
            "AGENTSITE_LOG_FORMAT": "json",
            **{f"AGENTSITE_{key}": str(value) for key, value in own.items()},
        }
        self._process = Process(
            "web", [sys.executable, "-m", "agentsite", "web"], environment, new_directory("web", None)
        )

    # Life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._process.start()
        self._user, self._token = await in_database(_reader)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port.number}", trust_env=False, verify=False, timeout=5
        ) as client:
            await until_async(lambda: self._answers(client), "the web process answers", READY_S)

    def terminate(self) -> None:
        self._process.signal(signal.SIGTERM)

    async def exit_code(self, within_s: float) -> int:
        """Raises AssertionError if it is not gone by then."""
        await until(lambda: not self._process.is_running, "the web process is gone", within_s)
        return self._process.wait(0)

    async def close(self) -> None:
        for subscriber in self._subscribers:
            await subscriber.stop()
        self._process.kill()
        self._port.release()

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        assert self._process.is_running, self._process.log_tail(20)
        try:
            return (await client.get("/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    # Agents and subscribers -----------------------------------------------------------------------------------------

    async def agent(self) -> str:
        """One with a log, which our subscribers may read."""
        agent_id = await self.world.agent()
        await in_database(Agent.objects.create, pk=agent_id, owner=self._user, definition="load")
        return agent_id

    async def subscribe(self, agent_id: str, count: int, habits: Habits, *, reading: bool = True) -> list[Subscriber]:
        """Connected, all of them. Those that are not `reading` take what comes with the head of the answer, and nothing
        more."""
        made = [Subscriber(agent_id, self._token, self._addresses, habits, random.Random(at)) for at in range(count)]
        self._subscribers += made
        for at in range(0, count, TOGETHER):
            few = made[at : at + TOGETHER]
            for one in few:
                if not reading:
                    one.reading.clear()
                one.start()
            await until(lambda few=few: all(one.connected for one in few), "subscribers connected")  # type: ignore[misc]
        return made

    async def connect(self, agent_id: str, after: str, buffer_bytes: int = 0) -> Connection:
        """A stream that is read by hand."""
        [address] = self._addresses()
        return await connect(address, _path(agent_id), self._token, after, buffer_bytes)

    def ask_and_break_off(self, agent_id: str) -> None:
        """A client that is gone before it is answered."""
        [address] = self._addresses()
        with socket.create_connection(address) as connection:
            connection.sendall(request(address, _path(agent_id), self._token, "0-0"))
            break_off(connection)

    def _addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", self._port.number)] if self._process.is_running else []

    def open_request(self, head: str, token: bool = True) -> socket.socket:
        """A connection that has sent the head of a request, and none of its body."""
        [address] = self._addresses()
        connection = socket.create_connection(address, timeout=10)
        authorization = f"Authorization: Bearer {self._token}\r\n" if token else ""
        connection.sendall(f"{head}\r\nHost: {address[0]}\r\n{authorization}\r\n".encode())
        return connection

    async def never_reading(self, head: str, token: bool = True) -> StalledSocket:
        """A WebSocket that takes the handshake's answer, and nothing behind it."""
        [address] = self._addresses()
        socket_ = await new_socket(address, SMALL_BUFFER_BYTES)
        reader, writer = await asyncio.open_connection(sock=socket_, limit=SMALL_BUFFER_BYTES)
        authorization = f"Authorization: Bearer {self._token}\r\n" if token else ""
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        writer.write(f"{head}\r\nHost: {address[0]}:{address[1]}\r\n{authorization}{upgrade}{key}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer, answer
        return StalledSocket(reader, writer)

    # What there is --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port.number}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def watches(self, agent_id: str) -> bool:
        """By Redis' word: it is subscribed for as long as the agent has one open stream there."""
        _, count = await redis_command(self.world.redis, "PUBSUB", "NUMSUB", name(agent_id))
        return bool(count)

    def log_lines(self) -> list[str]:
        return self._process.log().splitlines()

    def complaints(self) -> list[str]:
        """Lines of its log that are worse than information, and those that are no log lines at all."""
        return [line for line in self._process.log().splitlines() if not _is_information(line)]


class StalledSocket(Connection):
    """Sends what it is told to, and reads nothing but the end."""

    def say(self, message: dict[str, object]) -> None:
        self.send(0x81, json.dumps(message).encode())

    def send(self, first_byte: int, payload: bytes) -> None:
        """One frame (RFC 6455, section 5.2)."""
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else b"\xff" + length.to_bytes(8)
        mask = b"\0\0\0\0"
        self._writer.write(bytes([first_byte]) + size + mask + payload)

    async def close_code(self) -> int:
        """Of the close frame that comes, and nothing before it."""
        async with asyncio.timeout(10):
            head = await self._reader.readexactly(4)
        assert head[0] == 0x88, head
        return int.from_bytes(head[2:])


Serve = Callable[..., Awaitable[WebServer]]


def _path(agent_id: str) -> str:
    return f"/api/agents/{agent_id}/stream"


def _reader() -> tuple[User, str]:
    user, _ = User.objects.get_or_create(username="reader")
    return user, credentials.create_token(user, "tests")


def _is_information(line: str) -> bool:
    try:
        return json.loads(line)["level"] in ("debug", "info")
    except (ValueError, KeyError, TypeError):
        return False
