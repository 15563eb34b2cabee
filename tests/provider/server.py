"""The server, in a thread of its own, so that tests that block can ask it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from . import anthropic, chat, gemini, ollama, responses
from .acceptance import problem_of
from .delivery import deliver
from .script import Asked, Author, Queue, Turn
from .wire import Wire

PATHS: dict[str, tuple[str, Wire]] = {
    "chat": ("/v1/chat/completions", chat),
    "responses": ("/v1/responses", responses),
    "anthropic": ("/v1/messages", anthropic),
    "gemini": ("/v1beta/models/{method:.+:(?:stream)?[gG]enerateContent}", gemini),
    "ollama": ("/api/chat", ollama),
}
PROVIDERS = {"openai": "/v1", "anthropic": "", "gemini": "", "ollama": ""}
"""What their clients' base URLs end with."""
PATIENCE_S = 30.0


@dataclass(slots=True)
class Recorded:
    """A request as it came."""

    format: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    asked: Asked
    at_s: float = field(default_factory=time.monotonic)


def abort_connections(loop: asyncio.AbstractEventLoop) -> None:
    """Aborts what the clean-up of a server leaves open: connections with bytes that their client never took."""
    transports = loop._transports  # type: ignore[attr-defined]  # asyncio has no public list of them
    for transport in list(transports.values()):
        transport.abort()


class MockProvider:
    """`key`: what clients must send (in their format's way), else they are refused; None takes any. `without`: formats
    that this server does not know. `author` may be replaced by anything that answers a request with a turn. Paths may
    begin with /providers/NAME, as they do at the site's gateway."""

    def __init__(
        self, *, port: int = 0, host: str = "127.0.0.1", key: str | None = None, without: Iterable[str] = ()
    ) -> None:
        self.host, self.port, self.key, self.without = host, port, key, frozenset(without)
        self.queue = Queue()
        self.author: Author = self.queue
        self.requests: list[Recorded] = []
        self._asked = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mock-provider", daemon=True)
        self._runner: web.AppRunner | None = None

    def say(self, *turns: Turn) -> None:
        self.queue.add(turns)

    def wait_for_requests(self, count: int) -> None:
        """Blocks until so many have come. Raises TimeoutError."""
        with self._asked:
            if not self._asked.wait_for(lambda: len(self.requests) >= count, PATIENCE_S):
                raise TimeoutError(f"{len(self.requests)} requests of {count} after {PATIENCE_S} s")

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def base(self, provider: str) -> str:
        """What the provider's usual client takes as its base URL."""
        return self.url + PROVIDERS[provider]

    def environment(self, key: str = "agentsite") -> dict[str, str]:
        """As the site sets it in a container, but straight to here."""
        return {
            "OPENAI_BASE_URL": self.base("openai"),
            "OPENAI_API_KEY": key,
            "ANTHROPIC_BASE_URL": self.base("anthropic"),
            "ANTHROPIC_API_KEY": key,
            "GOOGLE_GEMINI_BASE_URL": self.base("gemini"),
            "GEMINI_API_KEY": key,
            "OLLAMA_BASE_URL": self.base("ollama"),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        for name, (path, wire) in PATHS.items():
            for prefix in ("", "/providers/{provider}"):
                app.router.add_post(prefix + path, self._handler(name, wire))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        abort_connections(self._loop)

    def _handler(self, name: str, wire: Wire) -> Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = json.loads(await request.read())
            asked = wire.understand(body, request.path)
            headers = {k.lower(): v for k, v in request.headers.items()}
            with self._asked:
                self.requests.append(Recorded(name, request.path_qs, headers, body, asked))
                self._asked.notify_all()
            if name in self.without:
                return _refused(wire, "no-such-path", asked)
            if self.key is not None and _key_of(request) != self.key:
                return _refused(wire, "unauthorized", asked)
            if (problem := problem_of(name, body)) is not None:
                error = {"type": "invalid_request_error", "message": problem, "code": None}
                return web.json_response({"type": "error", "error": error}, status=400)
            return await deliver(request, wire, self.author(asked), asked)

        return handle


def _refused(wire: Wire, kind: Any, asked: Asked) -> web.Response:
    status, body, headers = wire.refuse(kind, asked, None)
    return web.json_response(body, status=status, headers=headers)


def _key_of(request: web.Request) -> str | None:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return (
        request.headers.get("x-api-key")
        or request.headers.get("x-goog-api-key")
        or request.query.get("key")
        or bearer
        or None
    )
