"""The providers' own clients, unmodified, through the gateway to the mock provider: they understand what it streams and
what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic import SecretStr

from agents.gateway.providers.refusals import BudgetExceeded
from containers.gateway import GatewayPlace
from tests.agents.provider_way import KEY, Way
from tests.provider import MockProvider, turn

WORDS = "Hello from a mock, in several pieces."
ASKED: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def way(tmp_path: Path, settings: Any) -> AsyncIterator[Way]:
    with MockProvider(key=KEY) as provider:
        settings.OPENAI_BASE_URL = provider.base("openai")
        settings.ANTHROPIC_BASE_URL = provider.base("anthropic")
        settings.PROVIDER_KEYS = {name: SecretStr(KEY) for name in ("openai", "anthropic", "gemini")}
        provider.say(turn(WORDS), turn(WORDS))
        made = Way(GatewayPlace(tmp_path / "gateway").prepare("r1"), None)  # type: ignore[arg-type]
        await made.open()
        yield made
        await made.close()


@pytest.fixture
async def http(way: Way) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.AsyncHTTPTransport(uds=str(way.directory / "gateway.sock"))
    async with httpx2.AsyncClient(transport=transport) as made:
        yield made


def openai_client(http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url="http://program/providers/openai/v1", api_key="agentsite", http_client=http)


@pytest.fixture
def of_anthropic(http: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
    base_url = "http://program/providers/anthropic"
    return anthropic.AsyncAnthropic(base_url=base_url, api_key="agentsite", http_client=http)


async def test_openai_s_chat(way: Way, http: httpx2.AsyncClient) -> None:
    client = openai_client(http)
    chunks = await client.chat.completions.create(model="gpt-5-mini", messages=ASKED, stream=True)
    said, usage = "", None
    async for chunk in chunks:
        said += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert said == WORDS
    assert usage is not None
    counted = way.books.entered[0][1]
    assert (counted.input_tokens, counted.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    whole = await client.chat.completions.create(model="gpt-5-mini", messages=ASKED)
    assert whole.choices[0].message.content == WORDS
    assert len(way.books.entered) == 2


async def test_openai_s_responses(way: Way, http: httpx2.AsyncClient) -> None:
    client = openai_client(http)
    said, usage = "", None
    async for event in await client.responses.create(model="gpt-5-mini", input="hi", stream=True):
        if event.type == "response.output_text.delta":
            said += event.delta
        if event.type == "response.completed":
            usage = event.response.usage
            assert len(way.books.entered) == 1, "in the log before the program knows that it has ended"
    assert said == WORDS
    assert usage is not None
    counted = way.books.entered[0][1]
    assert (counted.input_tokens, counted.output_tokens) == (usage.input_tokens, usage.output_tokens)


async def test_anthropic_s_messages(way: Way, of_anthropic: anthropic.AsyncAnthropic) -> None:
    async with of_anthropic.messages.stream(model="claude-haiku-5-5", max_tokens=99, messages=ASKED) as stream:
        said = "".join([text async for text in stream.text_stream])
        usage = (await stream.get_final_message()).usage
    assert said == WORDS
    ((_, counted, estimated),) = way.books.entered
    assert not estimated
    assert counted.output_tokens == usage.output_tokens
    assert (counted.input_tokens or 0) >= usage.input_tokens


async def test_a_used_up_budget_is_an_error_that_clients_do_not_repeat(
    way: Way, http: httpx2.AsyncClient, of_anthropic: anthropic.AsyncAnthropic
) -> None:
    way.books.refusal = BudgetExceeded("the run has used 10 of 10 tokens")
    with pytest.raises(openai.APIStatusError, match="budget-exceeded: the run has used") as one:
        await openai_client(http).chat.completions.create(model="gpt-5-mini", messages=ASKED)
    with pytest.raises(anthropic.APIStatusError, match="budget-exceeded: the run has used") as other:
        await of_anthropic.messages.create(model="claude-haiku-5-5", max_tokens=9, messages=ASKED)
    assert (one.value.status_code, other.value.status_code) == (402, 402)
    assert one.value.code == "budget-exceeded"
    assert len(way.books.notes) == 2, "asked once each"
