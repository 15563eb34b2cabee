"""Reading providers' words, changing requests, keeping keys out of answers: without a server."""

from __future__ import annotations

import json
import random
from typing import Any, get_args

import pytest
from django.conf import settings

from agents.definitions.definition import ProviderName
from agents.gateway.providers import headers, key_echo, requests
from agents.gateway.providers.counting import Counted, Reader
from agents.gateway.providers.key_echo import AnswerCheck, redact
from agents.gateway.providers.prices import cost_usd
from agents.gateway.providers.provider import PROVIDERS, provider_of_model
from agents.gateway.providers.refusals import BudgetExceeded, PathNotAllowed, ProviderEchoedKey, body
from agents.models.provider_key import PROVIDER_CHOICES
from tests.agents import mock_upstream as said

SSE, NDJSON = "text/event-stream; charset=utf-8", "application/x-ndjson"
STREAMS: list[tuple[list[bytes], str, int, int]] = [
    (said.chat_stream(), SSE, 4, 0),
    (said.responses_stream(), SSE, 4, 0),
    (said.messages_stream(), SSE, 4, 2),
    (said.gemini_stream(), SSE, 4, 0),
    (said.ollama_stream(), NDJSON, 0, 0),
]
NAMES = ["chat", "responses", "messages", "gemini", "ollama"]


@pytest.mark.parametrize(("pieces", "type_", "read", "written"), STREAMS, ids=NAMES)
@pytest.mark.parametrize("cut_into", ["pieces", "one", "bytes", "anywhere"])
def test_every_stream_is_counted_however_it_is_cut(
    pieces: list[bytes], type_: str, read: int, written: int, cut_into: str
) -> None:
    text = b"".join(pieces)
    reader = Reader(type_)
    places = random.Random(7)
    while text:
        size = {"pieces": 64, "one": len(text), "bytes": 1, "anywhere": places.randint(1, 90)}[cut_into]
        reader.feed(text[:size])
        text = text[size:]
    counted = reader.finish()
    assert (counted.input_tokens, counted.output_tokens) == (12, 3)
    assert (counted.cache_read_tokens, counted.cache_write_tokens) == (read, written)
    assert counted.model


@pytest.mark.parametrize(
    "answer",
    [
        said.chat_whole(),
        {"object": "response", "model": "m", "usage": {"input_tokens": 12, "output_tokens": 3}},
        {"type": "message", "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 3}},
        {"modelVersion": "m", "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3}},
        [{"usageMetadata": {}}, {"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3}}],
        {"model": "m", "done": True, "prompt_eval_count": 12, "eval_count": 3},
    ],
    ids=["chat", "responses", "messages", "gemini", "gemini array", "ollama"],
)  # fmt: skip
def test_every_whole_answer_is_counted(answer: Any) -> None:
    reader = Reader("application/json", "asked-for")
    reader.feed(json.dumps(answer).encode())
    counted = reader.finish()
    assert (counted.input_tokens, counted.output_tokens) == (12, 3)


@pytest.mark.parametrize(
    "words",
    [
        b"", b"nonsense", b"data: [1,2", b"data: 5\n\n", b'data: {"usage": 7}\n\n', b"\xff\xfe\n",
        b'data: {"usage": {"prompt_tokens": "x"}}\n\n', b"data: " + b"[" * 9000 + b'"usage"\n\n',
    ],
)  # fmt: skip
def test_nonsense_is_estimated_and_never_an_error(words: bytes) -> None:
    reader = Reader(SSE, "m", 400)
    reader.feed(words)
    counted = reader.estimated()
    assert counted.input_tokens == 100
    assert counted.output_tokens is not None


def test_a_line_without_an_end_is_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.gateway.providers.counting.HELD_BYTES", 1000)
    reader = Reader(SSE)
    for _ in range(100):
        reader.feed(b"x" * 100)
        assert len(reader._held) <= 1000
    reader.feed(b"\n" + b"".join(said.chat_stream()))
    assert reader.finish().input_tokens == 12


def test_an_answer_that_was_cut_costs_what_came_of_it() -> None:
    reader = Reader(SSE, "gpt-5-mini", 4000)
    for piece in said.chat_stream(text="x" * 50)[:50]:
        reader.feed(piece)
    counted = reader.estimated()
    assert (counted.model, counted.input_tokens, counted.output_tokens) == ("gpt-5-mini", 1000, 50)


def test_prices_are_those_of_the_list_and_null_where_it_has_none() -> None:
    used = Counted("gpt-5-mini", 1_000_000, 1_000_000)
    cheaper = Counted("gpt-5-mini", 1_000_000, 1_000_000, cache_read_tokens=500_000)
    full, cached = cost_usd("openai", used), cost_usd("openai", cheaper)
    assert full is not None
    assert cached is not None
    assert 0 < cached < full
    assert cost_usd("anthropic", Counted("claude-sonnet-4-5", 100, 10, cache_write_tokens=50)) is not None
    assert cost_usd("openai", Counted("no-such-model", 1, 1)) is None
    assert cost_usd("ollama", Counted("gpt-5-mini", 1, 1)) is None
    assert cost_usd("anthropic", Counted("claude-sonnet-4-5", 5, 1, cache_write_tokens=50)) is None


@pytest.mark.parametrize("tokens", [(12, 3), (12.0, 3.0), ("12", "3")])
@pytest.mark.parametrize("type_", ["text/event-stream", "application/json", "text/plain", ""])
def test_usage_is_counted_as_given_under_any_content_type(type_: str, tokens: tuple[Any, Any]) -> None:
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    whole = {"model": "m", "choices": [{"message": {"content": "Hi"}}], "usage": usage}
    last = {"model": "m", "message": {}, "done": True, "prompt_eval_count": tokens[0], "eval_count": tokens[1]}
    lines = b'{"model": "m", "done": false}\n' + json.dumps(last).encode() + b"\n"
    stream = b"".join(said.events({"choices": [{"delta": {"content": "Hi"}}]}, {**whole, "choices": []}, "[DONE]"))
    for answer in (json.dumps(whole).encode(), json.dumps(whole, indent=1).encode(), b" \n" + stream, lines):
        for size in (1, 7, 10_000):
            reader = Reader(type_)
            for at in range(0, len(answer), size):
                reader.feed(answer[at : at + size])
            counted = reader.finish()
            assert (counted.model, counted.input_tokens, counted.output_tokens) == ("m", 12, 3), answer


# Requests ----------------------------------------------------------------------------------------------------------


def test_a_stream_of_openai_is_asked_to_report_its_usage_and_nothing_else_changes() -> None:
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "ü\ud83d"}], "seed": 1}
    sent, model = requests.counted("/v1/chat/completions", json.dumps(asked).encode())
    assert model == "m"
    assert json.loads(sent) == {**asked, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"model": "m"}),
        ("/v1/chat/completions", {"model": "m", "stream": True, "stream_options": {"include_usage": True}}),
        ("/v1/responses", {"model": "m", "stream": True}),
        ("/v1/chat/completions", [1]),
    ],
)
def test_any_other_request_goes_as_it_is(path: str, asked: Any) -> None:
    raw = json.dumps(asked, indent=3).encode()
    assert requests.counted(path, raw)[0] == raw
    assert requests.counted(path, b"no json \xff")[0] == b"no json \xff"


def test_a_program_cannot_hide_its_usage() -> None:
    hidden = {"model": "m", "stream": True, "stream_options": {"include_usage": False, "other": 1}}
    sent, _ = requests.counted("/v1/chat/completions", json.dumps(hidden).encode())
    assert json.loads(sent)["stream_options"] == {"include_usage": True, "other": 1}
    with pytest.raises(PathNotAllowed):
        requests.counted("/v1/responses", b'{"model": "m", "background": true}')


@pytest.mark.parametrize(
    ("provider", "method", "path", "model"),
    [
        ("openai", "POST", "/v1/chat/completions", ""),
        ("openai", "GET", "/v1/models/gpt-5", ""),
        ("anthropic", "POST", "/v1/messages", ""),
        ("gemini", "POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash"),
        ("ollama", "POST", "/api/chat", ""),
        ("ollama", "POST", "/v1/chat/completions", ""),
    ],
)
def test_paths_that_pass(provider: str, method: str, path: str, model: str) -> None:
    found = PROVIDERS[provider].call(method, path)
    assert found is not None
    assert found[1] == model


@pytest.mark.parametrize(
    ("provider", "method", "path"),
    [
        ("openai", "GET", "/v1/files"), ("openai", "DELETE", "/v1/models/ft:1"), ("openai", "GET", "/v1/models/.."),
        ("openai", "GET", "/v1/models/../files"), ("openai", "GET", "/v1/models/%2e%2e"),
        ("openai", "GET", "/v1/models/a/b"), ("ollama", "DELETE", "/api/delete"), ("openai", "POST", ""),
        ("openai", "POST", "/v1/chat/completions/"), ("openai", "POST", "//v1/chat/completions"),
        ("anthropic", "POST", "/v1/messages/batches"), ("anthropic", "GET", "/v1/organizations/users"),
        ("gemini", "POST", "/v1beta/files"), ("gemini", "POST", "/v1beta/models/x/../y:generateContent"),
        ("gemini", "POST", "/v1beta/cachedContents"), ("ollama", "POST", "/api/pull"),
        ("gemini", "GET", "/v1beta/models/x\n"),
    ],
)  # fmt: skip
def test_paths_that_do_not_pass(provider: str, method: str, path: str) -> None:
    assert PROVIDERS[provider].call(method, path) is None


def test_every_list_of_providers_is_the_same() -> None:
    assert set(get_args(ProviderName)) == set(PROVIDERS)
    with_key = {provider.name for provider in PROVIDERS.values() if provider.key_setting}
    assert {name for name, _ in PROVIDER_CHOICES} == with_key == set(settings.PROVIDER_KEYS)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai:gpt-5-mini", "openai"),
        ("openai-chat:local", "openai"),
        ("gemini:x:y", "gemini"),
        ("openai", None),
        ("nobody:x", None),
        (None, None),
    ],
)
def test_a_model_names_its_provider(model: str | None, provider: str | None) -> None:
    assert provider_of_model(model) == provider


def test_a_base_url_may_hold_the_version_or_not() -> None:
    openai, ollama = PROVIDERS["openai"], PROVIDERS["ollama"]
    assert openai.url("https://llm.example/proxy/v1/", "/v1/models") == "https://llm.example/proxy/v1/models"
    assert openai.url("https://llm.example", "/v1/models") == "https://llm.example/v1/models"
    assert ollama.url("http://llm.example:11434/v1", "/api/chat") == "http://llm.example:11434/api/chat"


def test_only_known_headers_and_parameters_pass() -> None:
    given = {
        "Authorization": "Bearer mine", "X-Api-Key": "mine", "x-goog-api-key": "mine", "Cookie": "a=b", "Host": "evil",
        "OpenAI-Organization": "org", "Connection": "keep-alive", "Transfer-Encoding": "gzip", "Accept-Encoding": "x",
        "Content-Type": "application/json", "anthropic-beta": "b", "X-Stainless-Lang": "python", "X-Forwarded-For": "1",
    }  # fmt: skip
    assert headers.asked(given.items(), {"x-api-key": "real"}) == {
        "Content-Type": "application/json",
        "anthropic-beta": "b",
        "X-Stainless-Lang": "python",
        "Accept-Encoding": "identity",
        "x-api-key": "real",
    }
    back = {"Set-Cookie": "a", "openai-organization": "org", "retry-after": "3", "Content-Length": "9", "Server": "x"}
    assert headers.answered(back.items()) == {"retry-after": "3", "Cache-Control": "no-store", "Server": "agentsite"}
    assert headers.query("key=mine&alt=sse&%61ccess_token=x&beta=true") == "alt=sse&beta=true"


# Keys --------------------------------------------------------------------------------------------------------------

KEY = "sk-proj-Zq8vT3nLw0xKd7RbYcPf"
ORDINARY_KEYS = [
    "ollama",
    "x",
    "-key",
    "not-needed",
    "sk-no-key-required",
    "aaaaaaaaaaaaaaaa1A",
    "1234567890123456",
    "",
]


@pytest.mark.parametrize("key", ORDINARY_KEYS)
def test_a_key_that_is_ordinary_text_changes_nothing(key: str) -> None:
    answer = f'data: {{"content": "import ollama > out.txt, api-keys, sk-no-key-required {key}"}}\n\n'.encode()
    check = AnswerCheck(key)
    assert check.feed(answer) + check.finish() == answer
    error = b'{"error": {"message": "out.txt: no api-keys, ' + key.encode() + b'"}}'
    assert redact(error, key) == error


@pytest.mark.parametrize(
    "key", [KEY, "AIzaSyD3x8Qm2LkP0vTn7RbYcWfHjEuGi5Zo9A4", "0f9d8c7b6a5e4d3c2b1a", "J2xHf5YvKdQ8nWzR"]
)
def test_a_whole_key_never_comes_back_in_an_error(key: str) -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in key)
    for shown in (key, escaped):
        answer = f'{{"error": {{"message": "Incorrect API key: {shown}.", "param":null, "code": "invalid_api_key"}}}}'
        redacted = json.loads(redact(answer.encode(), key))["error"]
        assert redacted == {"message": "Incorrect API key: ***.", "param": None, "code": "invalid_api_key"}
        assert redact(f"<html>{shown}</html>".encode(), key) == b"<html>***</html>"


def test_an_error_with_a_part_of_a_key_stays_as_it_is() -> None:
    error = f'{{ "error":{{"message": "Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}"}} }}\n'.encode()
    assert redact(error, KEY) == error


def fed(check: AnswerCheck, *pieces: bytes) -> tuple[bytes, ProviderEchoedKey | None]:
    """What was passed on, and the error that ended it."""
    passed = b""
    try:
        for piece in pieces:
            passed += check.feed(piece)
        return passed + check.finish(), None
    except ProviderEchoedKey as echoed:
        return passed + echoed.passed, echoed


DELTAS: dict[str, Any] = {
    "chat": lambda text: {"choices": [{"delta": {"content": text}}]},
    "chat arguments": lambda text: {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": text}}]}}]},
    "responses": lambda text: {"type": "response.output_text.delta", "delta": text},
    "messages": lambda text: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
    "gemini": lambda text: {"candidates": [{"content": {"parts": [{"text": text}]}}]},
}


@pytest.mark.parametrize("cut_into", [1, 7, 10_000])
@pytest.mark.parametrize("piece_chars", [1, 5, 100])
@pytest.mark.parametrize("format_", DELTAS)
def test_an_answer_with_the_key_ends_before_it_however_it_is_split(
    format_: str, piece_chars: int, cut_into: int
) -> None:
    words = f"Use {KEY} now"
    pieces = [words[at : at + piece_chars] for at in range(0, len(words), piece_chars)]
    stream = b"".join(said.events(*map(DELTAS[format_], pieces)))
    passed, echoed = fed(AnswerCheck(KEY), *(stream[at : at + cut_into] for at in range(0, len(stream), cut_into)))
    assert echoed is not None
    assert stream.startswith(passed)
    assert passed.endswith(b"\n\n") or not passed
    together = "".join(json.loads(line[6:]).__repr__() for line in passed.splitlines() if line)
    assert KEY not in together
    assert len(passed.split(b"\n\n")) >= len(pieces) - 5 - len(KEY) // piece_chars, "no more is kept back than that"


@pytest.mark.parametrize("cut_into", [1, 50, 10_000])
def test_an_answer_without_the_key_passes_byte_for_byte(cut_into: int) -> None:
    words = [f"a key begins with {KEY[:-1]}", f"{KEY[1:]} ends", "\\u0073\u00e4\r", "x" * 3000]
    streams = [b"".join(said.events(*({"type": "text", "text": text} for text in words)))]
    streams += [pieces.replace(b"\n", b"\r\n") for pieces in streams]
    streams += [b"event: a\n" + streams[0] + b": comment\nid: 1\n\ndata: cut", b"{}", b"", b"no json"]
    streams += [
        json.dumps({"choices": [{"text": text} for text in words]}, indent=indent).encode() for indent in (None, 2)
    ]
    streams += [b'[{"a": 1}\n,\n{"b": 2}]', b'{"a": 1}\n{"b": 2}\n']
    for stream in streams:
        check = AnswerCheck(KEY)
        got = b"".join(check.feed(stream[at : at + cut_into]) for at in range(0, len(stream), cut_into))
        assert got + check.finish() == stream


def test_lines_pass_as_they_come_and_documents_at_their_end() -> None:
    for stream in (b'data: {"a": 1}\n\n', b'{"a": 1}\n', b"[{\n"):
        assert AnswerCheck(KEY).feed(stream) == stream
    check = AnswerCheck(KEY)
    assert check.feed(b'{\n "a": 1,\n') == b""
    check = AnswerCheck(KEY)
    assert check.feed(b"data: 1\n\nevent: e\n") == b"data: 1\n\n"
    assert check.feed(b"data: 2\n\n") == b"event: e\ndata: 2\n\n"


def test_a_line_without_an_end_passes_in_pieces_and_the_key_in_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_echo, "HELD_BYTES", 1000)
    check = AnswerCheck(KEY)
    assert len(b"".join(check.feed(b"x" * 300) for _ in range(20))) > 4000
    passed, echoed = fed(check, ("x" * 1990 + KEY[:9]).encode(), (KEY[9:] + "y" * 2000).encode())
    assert passed.endswith(KEY[:9].encode())
    assert echoed is not None
    assert check.error_after(echoed, "openai", "") == b""


def test_an_error_in_the_middle_of_a_stream_keeps_its_words_without_the_key() -> None:
    (piece,) = said.events({"type": "error", "error": {"message": f"bad key {KEY}, that is {KEY[:9]}"}})
    passed = AnswerCheck(KEY).feed(piece)
    assert json.loads(passed[6:])["error"]["message"] == f"bad key ***, that is {KEY[:9]}"
    assert passed.endswith(b"\n\n")


def test_refusals_have_each_providers_shape_and_our_code() -> None:
    refusal = BudgetExceeded("the run has used 10 of 10 tokens")
    assert body(refusal, "openai")["error"]["code"] == "budget-exceeded"
    assert body(refusal, "anthropic")["type"] == "error"
    assert body(refusal, "gemini")["error"]["status"] == "RESOURCE_EXHAUSTED"
    for dialect in ("openai", "anthropic", "gemini", "ollama"):
        assert "budget-exceeded: the run has used" in json.dumps(body(refusal, dialect))
