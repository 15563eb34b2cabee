"""The mock provider is understood by the clients that people use: what it says arrives, on every format, streamed and
whole, and each fault is taken for what it is."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from pydantic_ai import exceptions as wrong
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from . import Call, Fault, MockProvider, Thinking, by_progress, refusal, turn
from .script import Kind, Manner

Make = Callable[[MockProvider], Model]
FORMATS: dict[str, Make] = {
    "responses": lambda at: OpenAIResponsesModel(
        "gpt-5-mini", provider=OpenAIProvider(base_url=at.base("openai"), api_key="k")
    ),
    "chat": lambda at: OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=at.base("openai"), api_key="k")),
    "anthropic": lambda at: AnthropicModel(
        "claude-haiku-5-5", provider=AnthropicProvider(base_url=at.base("anthropic"), api_key="k")
    ),
    "gemini": lambda at: GoogleModel(
        "gemini-2.5-flash", provider=GoogleProvider(base_url=at.base("gemini"), api_key="k")
    ),
    "ollama": lambda at: OllamaModel("qwen3", provider=OllamaProvider(base_url=at.base("ollama") + "/v1", api_key="k")),
}
SAID = turn(
    Thinking("Which files are there?"),
    "I look around, twice ….",
    Call("bash", {"command": "ls -la", "why": 'so "far"'}),
    Call("read_file", {"path": "ünï.txt"}),
)
TOOLS = ModelRequestParameters(function_tools=[ToolDefinition(name="bash"), ToolDefinition(name="read_file")])


ONCE = ModelSettings(max_retries=0)


@pytest_asyncio.fixture(params=FORMATS)
async def model(request: pytest.FixtureRequest, provider: MockProvider) -> AsyncIterator[Model]:
    async with FORMATS[request.param](provider) as made:
        yield made


async def ask(model: Model, *messages: ModelMessage, streaming: bool = True) -> ModelResponse:
    said = messages or (ModelRequest([UserPromptPart("What is here?")], instructions="Be brief."),)
    if not streaming:
        return await model_request(model, said, model_settings=ONCE, model_request_parameters=TOOLS)
    async with model_request_stream(model, said, model_settings=ONCE, model_request_parameters=TOOLS) as stream:
        async for _ in stream:
            pass
    return stream.get()


def parts(response: ModelResponse) -> list[Any]:
    found: list[Any] = []
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            found.append((part.tool_name, part.args_as_dict()))
        elif isinstance(part, TextPart | ThinkingPart):
            found.append((part.part_kind, part.content))
    return found


@pytest.mark.parametrize("streaming", [True, False])
async def test_thinking_text_and_parallel_calls_arrive(provider: MockProvider, model: Model, streaming: bool) -> None:
    provider.say(SAID)
    response = await ask(model, streaming=streaming)
    assert sorted(parts(response), key=str) == sorted(
        [
            ("thinking", "Which files are there?"),
            ("text", "I look around, twice …."),
            ("bash", {"command": "ls -la", "why": 'so "far"'}),
            ("read_file", {"path": "ünï.txt"}),
        ],
        key=str,
    )
    assert response.usage.input_tokens > 0
    assert response.usage.output_tokens == SAID.tokens(provider.requests[0].asked)[1]
    calls = [part.tool_call_id for part in response.parts if isinstance(part, ToolCallPart)]
    assert len(set(calls)) == 2


async def test_a_request_is_understood_and_kept(provider: MockProvider, model: Model) -> None:
    provider.say(SAID, turn("Done."))
    first = ModelRequest([UserPromptPart("What is here?")], instructions="Be brief.")
    response = await ask(model, first)
    results = [
        ToolReturnPart(part.tool_name, f"result of {part.tool_name}", part.tool_call_id)
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    await ask(model, first, response, ModelRequest(results, instructions="Be brief."))
    asked = provider.requests[1].asked
    assert asked.system == "Be brief."
    assert asked.texts("user") == ["What is here?"]
    assert asked.texts("tool") == ["result of bash", "result of read_file"]
    assert [call.name for message in asked.messages for call in message.calls] == ["bash", "read_file"]
    assert asked.tools == ("bash", "read_file")
    assert asked.streaming


async def test_the_same_request_gets_the_same_answer_by_progress(provider: MockProvider, model: Model) -> None:
    provider.author = by_progress([SAID, turn("Done.")])
    first = ModelRequest([UserPromptPart("What is here?")])
    once, again = await ask(model, first), await ask(model, first)
    assert parts(once) == parts(again)
    results = [ToolReturnPart(p.tool_name, "x", p.tool_call_id) for p in once.parts if isinstance(p, ToolCallPart)]
    assert parts(await ask(model, first, once, ModelRequest(results))) == [("text", "Done.")]


REFUSALS: list[tuple[Kind, type[Exception]]] = [
    ("unauthorized", wrong.ModelAuthenticationError),
    ("context-too-long", wrong.ModelContextWindowExceededError),
    ("unknown-model", wrong.ModelNotFoundError),
    ("quota", wrong.ModelQuotaExceededError),
    ("bad-request", wrong.ModelRequestRejectedError),
]


@pytest.mark.parametrize(("kind", "error"), REFUSALS)
@pytest.mark.parametrize("name", ["responses", "chat", "anthropic", "gemini"])
async def test_a_refusal_is_taken_for_what_it_is(
    provider: MockProvider, name: str, kind: Kind, error: type[Exception]
) -> None:
    provider.say(refusal(kind))
    with pytest.raises(error):
        async with FORMATS[name](provider) as model:
            await ask(model)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("manner", ["cut", "break", "garbage"])
async def test_what_arrived_before_a_fault_has_arrived(provider: MockProvider, model: Model, manner: Manner) -> None:
    provider.say(turn("One two three four five six.", piece_characters=4, fault=Fault(manner, after=3)))
    got = ""
    with pytest.raises(Exception) as raised:  # noqa: PT012 - what came before it counts
        async with model_request_stream(
            model, [ModelRequest.user_text_prompt("Count.")], model_settings=ONCE
        ) as stream:
            async for _ in stream:
                got = stream.get().text or got
    assert got == "One two thre"
    assert isinstance(raised.value, wrong.AgentRunError)


async def test_nothing_comes_before_a_held_turn_is_let_go(provider: MockProvider, model: Model) -> None:
    go = threading.Event()
    provider.say(turn("Late.", hold=go))
    answer = asyncio.create_task(ask(model))
    await asyncio.to_thread(provider.wait_for_requests, 1)
    assert not answer.done()
    go.set()
    assert (await answer).text == "Late."


def post(provider: MockProvider, path: str, body: dict[str, Any], **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(provider.host, provider.port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_key_is_asked_for_in_each_ones_way() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "contents": []}
    with MockProvider(key="right") as provider:
        provider.say(*[turn("Yes.")] * 4)
        for path, header, before in (
            ("/v1/chat/completions", "Authorization", "Bearer "),
            ("/v1/messages", "x-api-key", ""),
            ("/v1beta/models/g:generateContent", "x-goog-api-key", ""),
        ):
            assert post(provider, path, body, **{header: before + "right"})[0] == 200
            assert post(provider, path, body, **{header: before + "wrong"})[0] in (400, 401)
        assert post(provider, "/v1beta/models/g:generateContent?key=right", body)[0] == 200
        assert provider.requests[0].headers["authorization"] == "Bearer right"


def test_ollamas_own_format_is_lines_of_json(provider: MockProvider) -> None:
    provider.say(SAID)
    status, content = post(provider, "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "?"}]})
    lines = [json.loads(line) for line in content.splitlines()]
    assert status == 200
    assert "".join(line["message"].get("thinking", "") for line in lines) == "Which files are there?"
    assert "".join(line["message"]["content"] for line in lines) == "I look around, twice …."
    assert lines[-1]["done"]
    assert lines[-1]["eval_count"] > 0
