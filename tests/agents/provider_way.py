"""The way of a model call, over the run's real socket: a program's client on one end, a provider on the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from agents.gateway.providers.counting import Counted
from agents.gateway.providers.server import ProviderGateway
from agents.gateway.providers.upstream import Upstream
from containers.gateway import Allowlist, Gateway
from streaming.errors import Fenced
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import MockUpstream

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
        self.directory = directory

    async def open(self, allowed: tuple[str, ...] = ("openai", "anthropic", "gemini", "ollama")) -> None:
        self.upstream = Upstream()
        self.calls = ProviderGateway(allowed, self.upstream, self.books)

        async def report(_: object) -> None: ...

        self.gateway = Gateway(Allowlist((), ()), report, http=self.calls.serve)
        await self.gateway.open(self.directory)
        connector = aiohttp.UnixConnector(str(self.directory / "gateway.sock"), limit=0)
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

    async def die(self) -> None:
        """The worker's end of it is gone."""
        await self.client.close()
        await self.calls.close()
        await self.gateway.close()
        await self.upstream.close()

    async def close(self) -> None:
        await self.die()
