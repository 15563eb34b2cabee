"""Bodies of requests, as the web process takes them: what is too large is answered before it is there."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.servers import PostgresServer
from tests.streaming.server import WebServer
from tests.streaming.world import World

MIB = 2**20
FILE = "/api/agents/x/files/f"
HUGE = "Content-Length: 999999999999"
CHUNKED = "Transfer-Encoding: chunked"


@pytest_asyncio.fixture
async def web(world: World, postgres_server: PostgresServer) -> AsyncIterator[WebServer]:
    made = WebServer(world, postgres_server, {"UPLOAD_MAX_BYTES": 4 * MIB, "IMPORT_MAX_BYTES": 4 * MIB})
    await made.start()
    yield made
    await made.close()


def answer(connection: socket.socket) -> tuple[int, str]:
    """(status, code), read until the server ends the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    connection.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


async def test_what_is_announced_too_large_is_refused_before_any_of_it_comes(web: WebServer):
    for line, token, expected in [
        (f"PUT {FILE}", True, (413, "file-too-large")),
        ("POST /api/agents/import?x=1", True, (413, "import-too-large")),
        ("POST /api/agents", True, (413, "too-large")),
        (f"PUT {FILE}", False, (401, "not-authenticated")),
        ("POST /api/agents", False, (401, "not-authenticated")),
        ("POST /login/", False, (413, "too-large")),
    ]:
        connection = web.open_request(f"{line} HTTP/1.1\r\n{HUGE}\r\nExpect: 100-continue", token)
        assert await asyncio.to_thread(answer, connection) == expected, line


async def test_what_is_not_announced_is_refused_as_soon_as_it_is_too_large(web: WebServer):
    for line, token, mebibytes, expected in [
        (f"PUT {FILE}", True, 5, (413, "file-too-large")),
        ("POST /api/agents", True, 3, (413, "too-large")),
        ("POST /api/agents", False, 2, (401, "not-authenticated")),
    ]:
        connection = web.open_request(f"{line} HTTP/1.1\r\n{CHUNKED}", token)
        for _ in range(mebibytes):
            await asyncio.to_thread(connection.sendall, b"100000\r\n" + b"x" * MIB + b"\r\n")
        assert await asyncio.to_thread(answer, connection) == expected, line


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
async def test_a_form_that_can_not_be_read_is_answered_by_the_api(web: WebServer, kind: str):
    head = f"POST /api/agents HTTP/1.1\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: 3"
    connection = web.open_request(head)
    connection.sendall(b"abc")
    assert await asyncio.to_thread(answer, connection) == (415, "unsupported-media-type")
