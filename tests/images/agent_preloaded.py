"""What the bundled agent imports, and what its clients make of the formats at their first call, done once: processes of
the tests are forked from one that has it (seconds each)."""

import asyncio
import io
import os

import fastmcp.client
import fastmcp.client.transports  # noqa: F401
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import ModelRequestParameters

import containers.images.agent.session  # noqa: F401
from containers.images.agent.asking import Asking
from containers.images.agent.protocol import Wire
from tests.provider import MockProvider, turn


async def ask(model: str) -> None:
    asking = Asking(model, Wire(io.BytesIO()))
    await asking.ask([ModelRequest.user_text_prompt("?")], ModelRequestParameters())
    await asking.close()


def warm(*models: str) -> None:
    before = dict(os.environ)
    with MockProvider() as provider:
        os.environ.update(provider.environment())
        for model in models:
            provider.say(turn("!"))
            asyncio.run(ask(model))
    os.environ.clear()
    os.environ.update(before)


warm("openai:gpt-5-mini", "openai-chat:gpt-4o", "anthropic:claude-haiku-5-5", "gemini:gemini-2.5-flash", "ollama:qwen3")
