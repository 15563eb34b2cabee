"""The gateway between a program's client and a provider, over the run's real socket: what passes, when, and what does
not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from agents.providers import forwarding, server
from agents.providers.counting import Counted
from agents.providers.refusals import BudgetExceeded
from agents.providers.server import ProviderGateway
from agents.providers.upstream import Upstream
from containers.gateway import Allowlist, Gateway, GatewayPlace
from streaming.errors import Fenced
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import MockUpstream, stream, whole

KEY = "sk-test-Zq8vT3nLw0xKd7RbYcPf"
CHAT = "/providers/openai/v1/chat/completions"
STREAMS = {
    "chat": (CHAT, said.chat_stream(), "text/event-stream"),
    "responses": ("/providers/openai/v1/responses", said.responses_stream(), "text/event-stream"),
    "messages": ("/providers/anthropic/v1/messages", said.messages_stream(), "text/event-stream"),
    "gemini": (
        "/providers/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        said.gemini_stream(),
        "text/event-stream",
    ),
    "ollama": ("/providers/ollama/api/chat", said.ollama_stream(), "application/x-ndjson"),
}


class Books:
    """A ledger that a test can read, and have refuse or wait."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, Counted, bool]] = []
        self.notes: list[str] = []
        self.refusal: Exception | None = None
        self.lost = False
        self.open_calls = 0
        self.entering, self.may_enter = asyncio.Event(), asyncio.Event()
        self.may_enter.set()

    async def admit(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.open_calls += 1

    def ended(self) -> None:
        self.open_calls -= 1

    async def enter(self, provider: str, counted: Counted, *, estimated: bool) -> None:
        if self.lost:
            raise Fenced("a1", 1)
        self.entering.set()
        await self.may_enter.wait()
        self.entered.append((provider, counted, estimated))

    async def note(self, words: str) -> None:
        self.notes.append(words)


class Way:
    """A program's client on one end, the mock provider on the other."""

    def __init__(self, directory: Path, mock: MockUpstream) -> None:
        self.mock = mock
        self.books = Books()
        self._directory = directory

    async def open(self, allowed: tuple[str, ...] = ("openai", "anthropic", "gemini", "ollama")) -> None:
        self.upstream = Upstream()
        self.calls = ProviderGateway(allowed, self.upstream, self.books)

        async def report(_: object) -> None: ...

        self.gateway = Gateway(Allowlist((), ()), report, http=self.calls.serve)
        await self.gateway.open(self._directory)
        connector = aiohttp.UnixConnector(str(self._directory / "gateway.sock"), limit=0)
        self.client = aiohttp.ClientSession("http://program", connector=connector)

    def post(self, path: str = CHAT, body: Any = None, **more: Any) -> Any:
        if "data" not in more:
            more["json"] = {"model": "gpt-5-mini", "stream": True, "messages": []} if body is None else body
        return self.client.post(path, **more)

    async def entered(self, count: int = 1) -> list[tuple[str, Counted, bool]]:
        async with asyncio.timeout(20):
            while len(self.books.entered) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return self.books.entered

    async def close(self) -> None:
        await self.client.close()
        await self.calls.close()
        await self.gateway.close()
        await self.upstream.close()


@pytest.fixture
async def way(tmp_path: Path, settings: Any) -> AsyncIterator[Way]:
    mock = MockUpstream()
    settings.OPENAI_BASE_URL = f"{mock.url}/v1"
    settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = settings.OLLAMA_BASE_URL = mock.url
    settings.PROVIDER_KEYS = {name: SecretStr(KEY) for name in ("openai", "anthropic", "gemini")}
    made = Way(GatewayPlace(tmp_path / "gateway").prepare("r1"), mock)
    await made.open()
    yield made
    await made.close()
    mock.close()


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_passes_as_it_is_and_is_counted_before_its_end_is_out(way: Way, name: str) -> None:
    path, pieces, type_ = STREAMS[name]
    way.mock.always = stream(*pieces, content_type=type_)
    async with way.post(path) as answer:
        assert answer.status == 200
        assert answer.content_type == type_
        got = b"".join([piece async for piece in answer.content.iter_any()])
        at_the_end = list(way.books.entered)
    assert got == b"".join(pieces)
    ((provider, counted, estimated),) = at_the_end
    assert path.startswith(f"/providers/{provider}/")
    assert (counted.input_tokens, counted.output_tokens, estimated) == (12, 3, False)


@pytest.mark.parametrize("name", ["chat", "responses", "messages", "ollama"])
async def test_a_stream_is_counted_with_its_last_word_however_long_it_stays_open(way: Way, name: str) -> None:
    path, pieces, type_ = STREAMS[name]
    ends = threading.Event()
    way.mock.always = stream(*pieces, b"", content_type=type_, wait=ends)
    async with asyncio.timeout(20), way.post(path) as answer:
        await answer.content.readexactly(len(b"".join(pieces)))
        assert len(way.books.entered) == 1
        ends.set()
        await answer.read()
    assert len(way.books.entered) == 1


async def test_the_site_s_key_goes_out_and_the_programs_own_does_not(way: Way) -> None:
    way.mock.always = whole(said.chat_whole())
    mine = {"Authorization": "Bearer mine", "x-api-key": "mine", "x-goog-api-key": "mine", "Cookie": "mine=1"}
    for path, _, _ in STREAMS.values():
        async with way.post(path + ("&key=mine" if "?" in path else "?key=mine"), headers=mine) as answer:
            await answer.read()
    sent = [({name.lower(): value for name, value in one.headers.items()}, one) for one in way.mock.asked]
    assert [one.path for _, one in sent] == [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "/api/chat",
    ]
    assert [headers.get("authorization") for headers, _ in sent] == [f"Bearer {KEY}", f"Bearer {KEY}", None, None, None]
    assert [headers.get("x-api-key") for headers, _ in sent] == [None, None, KEY, None, None]
    assert [headers.get("x-goog-api-key") for headers, _ in sent] == [None, None, None, KEY, None]
    assert not [one for headers, one in sent if "mine" in f"{headers}{one.query}"]


async def test_each_piece_is_with_the_program_before_the_next_is_there(way: Way) -> None:
    go_on = threading.Event()
    *first, last = said.chat_stream()
    way.mock.always = stream(*first, last, wait=go_on)
    async with asyncio.timeout(20), way.post() as answer:
        assert await answer.content.readexactly(len(b"".join(first))) == b"".join(first)
        go_on.set()
        assert await answer.content.read() == last


async def test_a_whole_answer_is_counted_before_it_is_complete(way: Way) -> None:
    body = said.chat_whole(text="x" * 300_000)
    way.mock.always = whole(body)
    way.books.may_enter.clear()

    async def read() -> Any:
        async with way.post(body={"model": "gpt-5-mini"}) as answer:
            return await answer.json()

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await way.books.entering.wait()
    done, _ = await asyncio.wait((reading,), timeout=0.3)
    assert not done
    way.books.may_enter.set()
    assert await reading == body
    assert [one[1].output_tokens for one in way.books.entered] == [3]


async def test_many_at_once_over_few_connections_to_the_provider_or_many(way: Way) -> None:
    way.mock.always = stream(*said.chat_stream())
    want = b"".join(said.chat_stream())

    async def one() -> bytes:
        async with way.post() as answer:
            got: bytes = await answer.read()
            return got

    assert await asyncio.gather(*(one() for _ in range(50))) == [want] * 50
    assert len(way.books.entered) == 50
    for _ in range(5):
        assert await one() == want


async def test_a_body_is_passed_on_in_both_forms_and_whole(way: Way) -> None:
    way.mock.always = whole({"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}})
    big = json.dumps({"model": "m", "messages": "ü" * 2_000_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(big), 100_000):
            yield big[at : at + 100_000]

    for path in ("/providers/anthropic/v1/messages", "/providers/openai/v1/responses"):
        for data in (io.BytesIO(big), pieces()):
            async with way.post(path, data=data, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 200
    assert [len(one.body) for one in way.mock.asked] == [len(big)] * 4


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(way: Way) -> None:
    way.mock.always = whole({"type": "message", "usage": {"input_tokens": 1, "output_tokens": 1}})
    reader, writer = await asyncio.open_unix_connection(str(way._directory / "gateway.sock"))
    writer.write(b"POST /providers/anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
    writer.write(b"Expect: 100-continue\r\n\r\n")
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_body_that_is_malformed_ends_its_connection_only(way: Way) -> None:
    for path in (CHAT, "/providers/anthropic/v1/messages"):
        reader, writer = await asyncio.open_unix_connection(str(way._directory / "gateway.sock"))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await writer.drain()
        writer.write(b"zz\r\nnonsense\r\n")
        async with asyncio.timeout(20):
            assert b" 200 " not in await reader.read()
        writer.close()
    way.mock.always = whole({"data": []})
    async with way.client.get("/providers/openai/v1/models") as answer:
        assert answer.status == 200


# What does not pass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/providers/openai/v1/files", 404, "path-not-allowed"),
        ("DELETE", "/providers/openai/v1/models/ft:mine", 404, "path-not-allowed"),
        ("GET", "/providers/openai/v1/models/%2e%2e/files", 404, "path-not-allowed"),
        ("POST", "/providers/anthropic/v1/messages/batches", 404, "path-not-allowed"),
        ("POST", "/providers/nobody/v1/messages", 404, "path-not-allowed"),
        ("GET", "/", 404, "path-not-allowed"),
        ("POST", "/providers/gemini/v1beta/models/x:generateContent", 403, "provider-not-configured"),
    ],
)
async def test_what_is_not_on_the_list_is_refused(
    way: Way, settings: Any, method: str, path: str, status: int, code: str
) -> None:
    settings.GEMINI_BASE_URL = ""
    async with way.client.request(method, path) as answer:
        assert (answer.status, code in await answer.text()) == (status, True)
    assert way.mock.asked == []
    assert way.books.entered == []
    assert code in way.books.notes[0]


async def test_a_provider_that_the_definition_does_not_name_is_refused(way: Way) -> None:
    await way.close()
    await way.open(("anthropic",))
    async with way.post() as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "provider-not-allowed"
    assert way.mock.asked == []


async def test_over_the_budget_the_provider_is_not_asked(way: Way) -> None:
    way.books.refusal = BudgetExceeded("all used")
    async with way.post("/providers/anthropic/v1/messages") as answer:
        assert answer.status == 402
        assert (await answer.json())["error"]["message"] == "budget-exceeded: all used"
    way.mock.always = whole({"data": []})
    async with way.client.get("/providers/anthropic/v1/models") as answer:
        assert answer.status == 200, "what costs nothing is not stopped"
    assert [one.path for one in way.mock.asked] == ["/v1/models"]
    assert way.books.entered == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [CHAT, "/providers/anthropic/v1/messages"])
async def test_a_body_has_a_limit(way: Way, monkeypatch: pytest.MonkeyPatch, chunked: bool, path: str) -> None:
    monkeypatch.setattr(forwarding, "REQUEST_BYTES", 100_000)
    way.mock.always = whole(said.chat_whole())

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    async with way.post(path, data=pieces() if chunked else b"x" * 200_000) as answer:
        assert answer.status == 413
        assert "request-too-large" in await answer.text()
    assert way.books.entered == []


async def test_an_absolute_address_is_no_way_out(way: Way) -> None:
    for target in ("http://a.example/providers/openai/v1/models", "a.example:80"):
        reader, writer = await asyncio.open_unix_connection(str(way._directory / "gateway.sock"))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 405 " in await reader.readline()
        writer.close()
    # Nor behind a request that was one of ours.
    way.mock.always = whole({"data": []})
    reader, writer = await asyncio.open_unix_connection(str(way._directory / "gateway.sock"))
    for target in ("/providers/openai/v1/models", "http://a.example/providers/openai/v1/models"):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b'{"data": []}')).startswith(b"HTTP/1.1 200")
        assert b"path-not-allowed" in await reader.readuntil(b"path-not-allowed")
        writer.write(b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " not in await reader.readuntil(b"path-not-allowed")
    assert len(way.mock.asked) == 1
    writer.close()


# Providers that fail -----------------------------------------------------------------------------------------------


async def test_an_error_passes_with_its_status_and_without_any_part_of_the_key(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"error": {"message": f"Incorrect API key provided: {KEY[:9]}***{KEY[-4:]}", "type": "auth"}}
    way.mock.always = whole(body, 401, **{"Set-Cookie": "a=b", "openai-organization": "org-1", "retry-after": "7"})
    async with way.post() as answer:
        assert answer.status == 401
        assert answer.headers["retry-after"] == "7"
        assert "Set-Cookie" not in answer.headers
        assert "openai-organization" not in answer.headers
        text = await answer.text()
    everything = f"{text}{way.books.notes}{caplog.text}{[vars(record) for record in caplog.records]}"
    assert "Incorrect API key provided" in everything
    parts = [KEY[:9], KEY[-4:], *(KEY[at : at + 6] for at in range(8, len(KEY) - 5))]
    assert [part for part in parts if part in everything] == []
    assert way.books.entered == [], "it cost nothing"


async def test_a_provider_that_is_not_there_or_leads_elsewhere(way: Way, settings: Any) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{way.mock.url}/steal"})

    way.mock.always = redirect
    async with way.post() as answer:
        assert answer.status == 502
        assert "OPENAI_BASE_URL" in await answer.text()
    assert len(way.mock.asked) == 1
    settings.ANTHROPIC_BASE_URL = "http://127.0.0.1:9"
    async with way.post("/providers/anthropic/v1/messages") as answer:
        assert answer.status == 502
        assert "provider-unreachable: Anthropic does not answer: Connect" in await answer.text()


@pytest.mark.parametrize("name", ["chat", "messages"])
async def test_an_answer_that_breaks_off_is_seen_to_break_off_and_estimated(way: Way, name: str) -> None:
    path, pieces, _ = STREAMS[name]
    way.mock.always = stream(*pieces[:2], cut=True)
    answer = await way.post(path)
    assert await answer.content.readexactly(len(b"".join(pieces[:2]))) == b"".join(pieces[:2])
    with pytest.raises(aiohttp.ClientError):
        await answer.read()
    ((_, counted, estimated),) = await way.entered()
    assert estimated
    assert counted.output_tokens == 2
    assert "broke off" in way.books.notes[0]


# Programs that leave, workers that go ------------------------------------------------------------------------------


async def test_a_program_that_breaks_off_pays_for_what_it_asked(way: Way) -> None:
    go_on = threading.Event()
    pieces = said.chat_stream(text="Hello" * 10)

    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(pieces[0])
        while not go_on.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for piece in pieces[1:]:
            await response.write(piece)
            await asyncio.sleep(0.01)  # one by one: the first of them finds that the program is gone
        return response

    way.mock.always = slowly
    answer = await way.post()
    await answer.content.readany()
    answer.close()
    go_on.set()
    ((_, counted, estimated),) = await way.entered()
    assert (counted.input_tokens, counted.output_tokens, estimated) == (12, 3, False)


async def test_one_whose_provider_goes_on_for_ever_is_estimated(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "DRAIN_S", 0.2)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(said.chat_stream()[0])
            await asyncio.sleep(0.01)

    way.mock.always = endless
    answer = await way.post()
    await answer.content.readany()
    answer.close()
    ((_, counted, estimated),) = await way.entered()
    assert estimated
    assert (counted.output_tokens or 0) > 3


async def test_closing_ends_calls_at_once_and_enters_what_they_used(way: Way) -> None:
    way.mock.always = stream(*said.messages_stream()[:2], b"", wait=threading.Event())
    answer = await way.post("/providers/anthropic/v1/messages")
    await answer.content.readany()
    async with asyncio.timeout(5):
        await way.calls.close()
        await way.gateway.close()
    ((_, counted, estimated),) = way.books.entered
    assert (counted.input_tokens, estimated) == (12, True)
    with pytest.raises(aiohttp.ClientError):
        await answer.read()


async def test_what_cannot_be_entered_is_not_handed_over(way: Way) -> None:
    """The log is another worker's: it will count the repeated call."""
    way.books.lost = True
    pieces = said.chat_stream()
    way.mock.always = stream(*pieces)
    answer = await way.post()
    with pytest.raises(aiohttp.ClientError):
        await answer.read()


async def test_a_program_that_reads_nothing_slows_its_provider_and_nothing_else(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"data: " + b"x" * 65_536 + b"\n\n")
            sent += 65_536
        return response

    way.mock.always = flood
    answer = await way.post()
    before = -1
    async with asyncio.timeout(20):
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
    assert 0 < sent < 16 * 2**20
    way.mock.always = whole({"data": []})
    async with way.client.get("/providers/openai/v1/models") as other:
        assert other.status == 200
    answer.close()


async def test_a_connection_that_asks_nothing_more_is_closed(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", 0.1)
    await way.close()
    await way.open()
    way.mock.always = whole({"data": []})
    reader, writer = await asyncio.open_unix_connection(str(way._directory / "gateway.sock"))
    writer.write(b"GET /providers/openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        assert b'{"data": []}' in await reader.read()
    writer.close()
