"""Whatever bytes a program sends to its run's gateway, it gets an answer of 4xx or none, and the worker logs no
traceback."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator

import pytest

from containers.gateway.pace import Pace
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import whole
from tests.agents.provider_way import CHAT, Way

SEED = 20261130
MUTANTS = 300
WAIT_S = 0.5
BAD_HEADERS = rb"""
Content-Length: 3\r\nTransfer-Encoding: chunked
Transfer-Encoding: chunked\r\nContent-Length: 3
Content-Length: 3\r\nContent-Length: 4
Content-Length: -1
Content-Length: x
Transfer-Encoding: nonsense
Transfer-Encoding: chunked, chunked
No colon
Bad name: x
: x
X: \x00
"""
ODD_HEADERS = rb"""
Transfer-Encoding: chunked
Content-Type: \xff
Content-Encoding: nonsense
Authorization: \xff
Expect: nonsense
Upgrade: websocket\r\nConnection: Upgrade
Host: \xff\r\nHost: evil.example
Content-Length: 99999999999999
"""
ODD_LINES = rb"""
POST /providers/openai/v1/chat/completions HTTP/1.0
POST /providers/openai/v1/chat/completions?%ff=\xff HTTP/1.1
POST /providers/openai/../../v1 HTTP/1.1
POST /providers/gemini/v1beta/models/%2e%2e:generateContent HTTP/1.1
POST /providers/\xff HTTP/1.1
POST //evil.example/ HTTP/1.1
post /providers/openai/v1/chat/completions HTTP/1.1
BREW /providers/openai/v1/models HTTP/1.1
GET /providers/openai/v1/models HTTP/1.1
GET / HTTP/9.9
OPTIONS * HTTP/1.1
CONNECT : HTTP/1.1
"""


def lines(table: bytes) -> list[bytes]:
    return [line.decode("unicode_escape").encode("latin-1") for line in table.strip(b"\n").split(b"\n")]


def post(header: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: program\r\n%s\r\n\r\n0\r\n\r\n" % (CHAT.encode(), header)


def mutants(seeds: list[bytes]) -> Iterator[bytes]:
    chance = random.Random(SEED)
    for _ in range(MUTANTS):
        mutant = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant) + 1)
            mutant[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        yield bytes(mutant)


async def answer(way: Way, request: bytes) -> bytes:
    """What comes back until the connection is closed, or more of the request is waited for."""
    reader, writer = await asyncio.open_unix_connection(way.directory / "gateway.sock")
    try:
        writer.write(request)
        async with asyncio.timeout(WAIT_S):
            return await reader.read(4096)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]


@pytest.mark.parametrize("header", lines(BAD_HEADERS))
async def test_request_that_is_not_http_is_400_and_a_line(
    way: Way, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await answer(way, post(header))).split()[1:2] == [b"400"]
    assert tracebacks(caplog) == []
    assert [record for record in caplog.records if "model call is not HTTP" in record.getMessage()]
    assert way.mock.asked == []


async def test_no_bytes_of_a_program_make_the_worker_log_a_traceback(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    way.gateway._pace = Pace(per_s=1e6, at_once=1e6)  # a program has to wait, which is not what is tried here
    way.mock.always = whole(said.chat_whole())
    seeds = [post(header) for header in lines(BAD_HEADERS) + lines(ODD_HEADERS)]
    seeds += [b"%s\r\nHost: program\r\n\r\n" % line for line in lines(ODD_LINES)]
    together = asyncio.Semaphore(32)

    async def ask(request: bytes) -> tuple[bytes, bytes]:
        async with together:
            return (await answer(way, request)).partition(b"\r\n")[0], request

    answers = await asyncio.gather(*(ask(request) for request in [*seeds, *mutants(seeds)]))
    assert [found for found in answers if found[0].startswith(b"HTTP/1.1 500")] == []
    assert tracebacks(caplog) == []
    async with way.post() as served:
        assert served.status == 200
