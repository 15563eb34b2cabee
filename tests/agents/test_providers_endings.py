"""The gateway between a program's client and a provider: how calls end that do not end well."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from agents.gateway.providers import forwarding, server
from agents.gateway.providers.key_echo import AnswerCheck
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import stream, whole
from tests.agents.provider_way import KEY, STREAMS, Way

SSE = "text/event-stream"

# Providers that fail -----------------------------------------------------------------------------------------------


async def test_an_error_passes_with_its_status_and_without_the_key(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"error": {"message": f"Incorrect API key provided: {KEY}, {KEY[:9]}***{KEY[-4:]}", "type": "auth"}}
    head = {"Set-Cookie": "a=b", "openai-organization": "org-1", "retry-after": "7", "x-request-id": f"r-{KEY}"}
    way.mock.always = whole(body, 401, **head)
    async with way.post() as answer:
        assert answer.status == 401
        assert answer.headers["retry-after"] == "7"
        assert answer.headers["x-request-id"] == "r-***"
        assert "Set-Cookie" not in answer.headers
        assert "openai-organization" not in answer.headers
        text = await answer.text()
    everything = f"{text}{way.books.notes}{caplog.text}{[vars(record) for record in caplog.records]}"
    assert f"Incorrect API key provided: ***, {KEY[:9]}***{KEY[-4:]}" in text
    assert KEY not in everything
    assert way.books.entered == [], "it cost nothing"


REFUSALS: list[tuple[str, bytes, str]] = [
    ("chat", b'{"error": {"message": "no such deployment", "type": "x"}}', "application/json"),
    ("chat", b'{"error": {"message": "no such deployment", "type": "x"}}', SSE),
    ("chat", b'data: {"error": {"message": "no such deployment"}}\n\ndata: [DONE]\n\n', SSE),
    ("responses", b'event: error\ndata: {"type": "error", "message": "no such deployment"}\n\n', SSE),
    ("messages", b'event: error\ndata: {"type": "error", "error": {"message": "no such deployment"}}\n\n', SSE),
    ("gemini", b'data: {"error": {"code": 400, "message": "no such deployment"}}\n\n', SSE),
    ("ollama", b'{"error": "no such deployment"}\n', "application/x-ndjson"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "type_"), REFUSALS)
async def test_an_error_with_status_200_passes_and_costs_nothing(way: Way, name: str, body: bytes, type_: str) -> None:
    way.mock.always = stream(body, content_type=type_)
    async with way.post(STREAMS[name][0]) as answer:
        assert await answer.read() == body
    assert way.books.entered == []
    assert "no such deployment" in way.books.notes[-1]


async def test_an_error_after_part_of_an_answer_costs_that_part(way: Way) -> None:
    said_before = said.chat_stream()[:2]
    way.mock.always = stream(*said_before, b'data: {"error": {"message": "broken"}}\n\n')
    async with way.post() as answer:
        await answer.read()
    ((_, counted, estimated),) = await way.entered()
    assert (counted.output_tokens, estimated) == (3, True)


async def test_a_key_at_the_cut_of_a_long_error_is_taken_out_too(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "ERROR_BYTES", 1000)

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(text="x" * 990 + KEY + "y" * 1000, status=500)

    way.mock.always = refuse
    async with way.post() as answer:
        assert await answer.text() == "x" * 990 + "***" + "y" * 7


ECHOES: dict[str, Any] = {
    "chat": (lambda text: {"choices": [{"delta": {"content": text}}]}, b"data: "),
    "responses": (lambda text: {"type": "response.output_text.delta", "delta": text}, b"event: error\ndata: "),
    "messages": (lambda text: {"type": "content_block_delta", "delta": {"text": text}}, b"event: error\ndata: "),
    "gemini": (lambda text: {"candidates": [{"content": {"parts": [{"text": text}]}}]}, b"data: "),
    "ollama": (lambda text: {"message": {"content": text}, "done": False}, b""),
}


@pytest.mark.parametrize("pieces", [["It is ", KEY, " here"], ["It is ", KEY[:11], KEY[11:], " here"]])
@pytest.mark.parametrize("name", ECHOES)
async def test_an_answer_with_the_whole_key_ends_with_an_error(
    way: Way, monkeypatch: pytest.MonkeyPatch, name: str, pieces: list[str]
) -> None:
    """Every provider's API; Ollama's asks for no key, so one is put in its place here."""
    monkeypatch.setattr(forwarding, "AnswerCheck", lambda _: AnswerCheck(KEY))
    path, _, type_ = STREAMS[name]
    made, before = ECHOES[name]
    end = b"\n" if name == "ollama" else b"\n\n"
    lead = b"" if name == "ollama" else b"data: "
    *first, second_last, last = [lead + json.dumps(made(text)).encode() + end for text in pieces]
    way.mock.always = stream(*first, second_last, last, content_type=type_, wait=threading.Event())
    async with asyncio.timeout(20), way.post(path) as answer:
        got = await answer.read()
    passed, error = got[: len(b"".join(first))], got[len(b"".join(first)) :]
    assert passed == b"".join(first), "what came before stays"
    assert error.startswith(before)
    assert error.endswith(end)
    assert b"provider-echoed-key: " in error
    json.loads(error[len(before) :])
    assert KEY.encode() not in got
    assert "provider-echoed-key" in way.books.notes[0]
    ((_, _, estimated),) = way.books.entered
    assert estimated


@pytest.mark.parametrize("indent", [None, 2])
async def test_a_whole_answer_with_the_key_is_an_error_instead(way: Way, indent: int | None) -> None:
    async def answers(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(said.chat_whole(text=f"It is {KEY}"), indent=indent))

    way.mock.always = answers
    async with way.post(body={"model": "gpt-5-mini"}) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "provider-echoed-key"
    assert way.books.entered[0][1].output_tokens == 3


@pytest.mark.parametrize("key", ["ollama", "x", "-key", "sk-no-key-required"])
async def test_what_a_model_says_is_never_changed(way: Way, settings: Any, key: str) -> None:
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "openai": SecretStr(key)}
    words = 'bash {"command":"echo import ollama > out.txt"} with api-keys sk-no-key-required'
    pieces = said.chat_stream(text=words)
    refused = {"error": {"message": f"no such {words}"}}
    way.mock.then.extend([stream(*pieces), whole(said.chat_whole(text=words)), whole(refused, 400)])
    async with way.post() as answer:
        assert await answer.read() == b"".join(pieces)
    async with way.post(body={"model": "gpt-5-mini"}) as answer:
        assert await answer.json() == said.chat_whole(text=words)
    async with way.post() as answer:
        assert await answer.json() == refused


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
    reader, writer = await asyncio.open_unix_connection(str(way.directory / "gateway.sock"))
    writer.write(b"GET /providers/openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        assert b'{"data": []}' in await reader.read()
    writer.close()
