"""A provider on a port of this machine, in a thread of its own: answers what a test has scripted, remembers what it was
asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.provider.server import abort_connections

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class MockUpstream:
    """`then` is what the next requests get, in order; afterwards each gets `always`."""

    asked: list[Asked] = field(default_factory=list)
    then: deque[Handler] = field(default_factory=deque)
    always: Handler | None = None

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._open())
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _open(self) -> int:
        server = web.Server(self._handle)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        body = await request.content.read()  # of any size
        self.asked.append(Asked(request.method, path, query, dict(request.headers), body))
        handler = self.then.popleft() if self.then else self.always
        assert handler is not None, "nothing was scripted"
        return await handler(request)

    def close(self) -> None:
        self._run(self._runner.cleanup())
        self.loop.call_soon_threadsafe(abort_connections, self.loop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def whole(body: Any, status: int = 200, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return answer


def stream(
    *pieces: bytes, content_type: str = "text/event-stream", wait: threading.Event | None = None, cut: bool = False
) -> Handler:
    """`wait`: before the last piece. `cut`: the connection breaks behind it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for at, piece in enumerate(pieces):
            if wait is not None and at == len(pieces) - 1:
                while not wait.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await response.write(piece)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer


def events(*values: Any) -> list[bytes]:
    return [
        b"data: " + (value.encode() if isinstance(value, str) else json.dumps(value).encode()) + b"\n\n"
        for value in values
    ]


# One short conversation in each provider's words: 12 tokens in (4 of them cached), 3 out.


def chat_stream(model: str = "gpt-5-mini", text: str = "Hello") -> list[bytes]:
    chunks: list[Any] = [{"model": model, "choices": [{"delta": {"content": char}}], "usage": None} for char in text]
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    return events(*chunks, {"model": model, "choices": [], "usage": usage}, "[DONE]")


def chat_whole(model: str = "gpt-5-mini", text: str = "Hello") -> dict[str, Any]:
    return {
        "model": model,
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
    }


def responses_stream(model: str = "gpt-5-mini") -> list[bytes]:
    usage = {"input_tokens": 12, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}
    return events(
        {"type": "response.created", "response": {"model": model, "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hello"},
        {"type": "response.completed", "response": {"model": model, "usage": usage}},
    )


def messages_stream(model: str = "claude-sonnet-4-5") -> list[bytes]:
    usage = {"input_tokens": 6, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1}
    return events(
        {"type": "message_start", "message": {"model": model, "usage": usage}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )


def gemini_stream(model: str = "gemini-2.5-flash") -> list[bytes]:
    def chunk(text: str, out: int, thought: int) -> dict[str, Any]:
        return {
            "candidates": [{"content": {"parts": [{"text": text}]}}],
            "modelVersion": model,
            "usageMetadata": {
                "promptTokenCount": 12,
                "cachedContentTokenCount": 4,
                "candidatesTokenCount": out,
                "thoughtsTokenCount": thought,
            },
        }

    return events(chunk("Hel", 1, 1), chunk("lo", 2, 1))


def ollama_stream(model: str = "qwen3") -> list[bytes]:
    lines: list[dict[str, Any]] = [
        {"model": model, "message": {"content": "Hello"}, "done": False},
        {"model": model, "message": {"content": ""}, "done": True, "prompt_eval_count": 12, "eval_count": 3},
    ]
    return [json.dumps(line).encode() + b"\n" for line in lines]
