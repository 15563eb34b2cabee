"""Whatever bytes come in from outside, the web process answers 4xx or closes, and logs no traceback: its log is for
what is wrong with the site."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import pytest_asyncio

from tests.servers import PostgresServer
from tests.streaming.server import WebServer
from tests.streaming.world import World

SEED = 20261130
MUTANTS = 200
WAIT_S = 1.5
GOOD_HOST = b"Host: 127.0.0.1"
AGENT = b"0199aaaa-0000-7000-8000-000000000000"
TARGETS = (
    b"/login/",
    b"/api/agents",
    b"/api/agents/%s/stream" % AGENT,
    b"/api/agents/%s/files/a" % AGENT,
    b"/ws/agents/%s" % AGENT,
)
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + KEY
HOSTS = rb"""
Host: evil.example
Host:
Host: a b
Host: [::1
Host: 127.0.0.1:port
Host: \xff\xfe
Host: 127.0.0.1@evil.example
Host: 127.0.0.1\r\nHost: evil.example
X-No-Host: 1
"""
HEADERS = rb"""
Content-Length: 3\r\nTransfer-Encoding: chunked
Transfer-Encoding: chunked\r\nContent-Length: 3
Content-Length: 3\r\nContent-Length: 4
Content-Length: -1
Content-Length: x
Content-Length: 9999999999999999999999999999999
Transfer-Encoding: nonsense
Transfer-Encoding: chunked, identity
Transfer-Encoding: chunked
daphne-root-path: \xff
daphne-root-path: /x
No colon
Bad name: x
: x
 folded: x
Cookie: sessionid=\xff; csrftoken=\x00
Authorization: Bearer \xff
Authorization: \xff
Origin: \xff
X-Forwarded-For: \xff, ,,[::
X-Forwarded-Proto: \xff
Content-Type: \xff; charset=\xff
Content-Type: multipart/form-data
Content-Type: application/json; charset=nonsense
Range: \xff
Accept-Language: \xff
If-None-Match: \xff
Last-Event-ID: \xff
Expect: nonsense
Referer: \xff
"""
LINES = rb"""
G\xc9T /login/ HTTP/1.1
get /login/ HTTP/1.1
 /login/ HTTP/1.1
GET  HTTP/1.1
GET /login/
GET /login/ HTTP/2.0
GET /login/ HTTP/9
GET /login/ nonsense
PRI * HTTP/2.0
OPTIONS * HTTP/1.1
GET /\xff HTTP/1.1
GET /?\xff HTTP/1.1
GET /%ff%00 HTTP/1.1
GET //evil.example HTTP/1.1
GET ? HTTP/1.1
GET http://evil.example/ HTTP/1.1
CONNECT evil.example:443 HTTP/1.1
\x16\x03\x01\x02\x00\x01\x00
BREW /api/agents HTTP/1.1
POST /login/link/%ff HTTP/1.1
GET /static/%2e%2e/%00 HTTP/1.1
"""


def lines(table: bytes) -> list[bytes]:
    return [line.decode("unicode_escape").encode("latin-1") for line in table.strip(b"\n").split(b"\n")]


def requests() -> Iterator[bytes]:
    bodies = (b"", b"0\r\n\r\n", b"abc", b"zz\r\nabc")
    for line in [*lines(LINES), b"", b"X" * 20_000]:
        yield b"%s\r\n%s\r\n\r\n" % (line, GOOD_HOST)
    for target in TARGETS:
        upgrade = UPGRADE if target.startswith(b"/ws") else b"X: y"
        for host in [*lines(HOSTS), b"Host: " + b"a" * 300]:
            yield b"GET %s HTTP/1.1\r\n%s\r\n%s\r\n\r\n" % (target, host, upgrade)
        for number, header in enumerate([*lines(HEADERS), b"Cookie: " + b"a" * 9000]):
            method = b"POST" if target.startswith(b"/login") else b"PUT" if b"files" in target else b"GET"
            body = bodies[number % len(bodies)]
            yield b"%s %s HTTP/1.1\r\n%s\r\n%s\r\n%s\r\n\r\n%s" % (method, target, GOOD_HOST, header, upgrade, body)


def mutants(seeds: list[bytes]) -> Iterator[bytes]:
    chance = random.Random(SEED)
    for _ in range(MUTANTS):
        mutant = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant) + 1)
            mutant[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        yield bytes(mutant)


def answer(address: tuple[str, int], request: bytes) -> bytes:
    """The first line; nothing if there is none."""
    return whole_answer(address, request).partition(b"\r\n")[0]


def whole_answer(address: tuple[str, int], request: bytes) -> bytes:
    """Nothing if the connection was closed without one, or more of the request is waited for."""
    with socket.create_connection(address, timeout=WAIT_S) as connection, suppress(ConnectionError, TimeoutError):
        connection.sendall(request)
        return connection.recv(4096)
    return b""


@pytest_asyncio.fixture
async def web(world: World, postgres_server: PostgresServer) -> AsyncIterator[WebServer]:
    server = WebServer(world, postgres_server, {"ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "INFO"})
    try:
        await server.start()
        yield server
    finally:
        await server.close()


@pytest.mark.timeout(120)
async def test_no_request_makes_the_web_process_log_a_traceback(web: WebServer) -> None:
    [address] = web._addresses()
    seeds = list(requests())
    sent = [*seeds, *mutants(seeds)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda request: answer(address, request), sent))
    failed = [(got, request[:300]) for got, request in zip(answers, sent, strict=True) if b" 5" in got[:13]]
    tracebacks = [line for line in web.log_lines() if "Traceback" in line]
    assert (failed, tracebacks) == ([], [])
    assert answer(address, b"GET /login/ HTTP/1.1\r\n%s\r\n\r\n" % GOOD_HOST) == b"HTTP/1.1 200 OK"
    for target in TARGETS[:4]:
        refused = whole_answer(address, b"GET %s HTTP/1.1\r\nHost: evil.example\r\n\r\n" % target)
        assert refused.startswith(b"HTTP/1.1 400 Bad Request"), target
        assert (b"application/json" in refused) == target.startswith(b"/api"), target


HEADS = [
    (b"GET /%s HTTP/1.1" % (b"x" * 20_000), 414, "uri-too-long"),
    (b"GET /%s" % (b"x" * 200_000), 414, "uri-too-long"),
    (b"GET / HTTP/1.1\r\nX: %s" % (b"x" * 20_000), 431, "headers-too-large"),
    (b"GET / HTTP/1.1\r\nX: %s" % (b"x" * 3_000_000), 431, "headers-too-large"),
    (b"GET / HTTP/1.1" + b"\r\nX: %s" % (b"x" * 9000) * 2, 431, "headers-too-large"),
    (b"GET / HTTP/1.1" + b"\r\nX: x" * 600, 431, "headers-too-large"),
    (b"GET / HTTP/1.1\r\nno colon", 400, "bad-request"),
    (b"GET / HTTP/1.1\r\nContent-Length: x", 400, "bad-request"),
    (b"nonsense", 400, "bad-request"),
]


async def test_a_head_that_is_too_long_or_malformed_is_answered_before_the_connection_ends(web: WebServer) -> None:
    [address] = web._addresses()
    for head, status, code in HEADS:
        head_, _, body = whole_answer(address, head + b"\r\n" + GOOD_HOST + b"\r\n\r\n").partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 %d " % status), head[:40]
        assert (b"application/json" in head_, json.loads(body)["error"]["code"]) == (True, code)
    assert web.complaints() == []


async def test_whatever_ends_a_websocket_its_close_code_reaches_the_client(web: WebServer) -> None:
    for first_byte, payload, code in (
        (0x81, b"x" * 600_000, 1009),
        (0x81, b"x" * 6_000_000, 1009),
        (0x81, b"\xff\xfe", 1007),
        (0x83, b"reserved opcode", 1002),
        (0xC1, b"reserved bit", 1002),
        (0x89, b"x" * 126, 1002),
    ):
        socket_ = await web.never_reading("GET /ws HTTP/1.1")
        socket_.send(first_byte, payload)
        assert await socket_.close_code() == code, (first_byte, len(payload))
        socket_.reset()
    assert web.complaints() == []
