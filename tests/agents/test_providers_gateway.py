"""The gateway between a program's client and a provider: what passes, when, and what does not."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.gateway.providers import forwarding
from agents.gateway.providers.refusals import BudgetExceeded
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import stream, whole
from tests.agents.provider_way import CHAT, KEY, STREAMS, Way


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
    reader, writer = await asyncio.open_unix_connection(str(way.directory / "gateway.sock"))
    writer.write(b"POST /providers/anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
    writer.write(b"Expect: 100-continue\r\n\r\n")
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_body_that_is_malformed_ends_its_connection_only(way: Way) -> None:
    for path in (CHAT, "/providers/anthropic/v1/messages"):
        reader, writer = await asyncio.open_unix_connection(str(way.directory / "gateway.sock"))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        await writer.drain()
        writer.write(b"zz\r\nnonsense\r\n")
        async with asyncio.timeout(20):
            assert b" 200 " not in await reader.read()
        writer.close()
    way.mock.always = whole({"data": []})
    async with way.client.get("/providers/openai/v1/models") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
        (422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}),
        (400, {"message": "unknown field include_usage"}),
    ],
)
async def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(
    way: Way, status: int, error: Any
) -> None:
    way.mock.then.append(whole(error, status))
    way.mock.always = stream(*said.chat_stream())
    for _ in range(2):
        async with way.post() as answer:
            assert answer.status == 200
            assert await answer.read() == b"".join(said.chat_stream())
    assert ["stream_options" in one.json for one in way.mock.asked] == [True, False, False]
    assert {**way.mock.asked[0].json, "stream_options": None} == {**way.mock.asked[1].json, "stream_options": None}
    assert len(way.books.entered) == 2
    assert len(way.books.notes) == 1


async def test_another_refusal_passes_whole_and_is_not_asked_again(way: Way) -> None:
    error = {"error": {"message": "no such model" * 3000}}
    way.mock.always = whole(error, 422)
    async with way.post() as answer:
        assert (answer.status, await answer.json()) == (422, error)
    assert len(way.mock.asked) == 1


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
        reader, writer = await asyncio.open_unix_connection(str(way.directory / "gateway.sock"))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 405 " in await reader.readline()
        writer.close()
    # Nor behind a request that was one of ours.
    way.mock.always = whole({"data": []})
    reader, writer = await asyncio.open_unix_connection(str(way.directory / "gateway.sock"))
    for target in ("/providers/openai/v1/models", "http://a.example/providers/openai/v1/models"):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b'{"data": []}')).startswith(b"HTTP/1.1 200")
        assert b"path-not-allowed" in await reader.readuntil(b"path-not-allowed")
        writer.write(b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " not in await reader.readuntil(b"path-not-allowed")
    assert len(way.mock.asked) == 1
    writer.close()
