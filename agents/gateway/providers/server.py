"""HTTP for the programs of one run: `/providers/<name>/<the provider's own path>`, on the run's gateway socket.

The connection comes from containers/gateway/server.py, with what was read of it; from there on it is an ordinary
keep-alive connection of aiohttp's server.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agents.gateway.providers import headers, refusals
from agents.gateway.providers.access import ROOT
from agents.gateway.providers.forwarding import Forwarding, Ledger
from agents.gateway.providers.provider import PROVIDERS, Call, Provider
from agents.gateway.providers.refusals import (
    PathNotAllowed,
    ProviderNotAllowed,
    ProviderUnreachable,
    Refusal,
)
from agents.gateway.providers.upstream import Upstream
from streaming.errors import Fenced, JournalUnavailable

log = structlog.get_logger(__name__)
IDLE_TIMEOUT_S = 75.0
"""A connection on which nothing is asked for so long is closed."""
LINE_BYTES = 8 * 1024
HEADERS = 100
LOGGED_CHARS = 200
"""Of why a request can't be read: the reason repeats some of it."""
CLOSE_TIMEOUT_S = 1.0
"""How long closing waits until what was used so far is entered."""


class ProviderGateway:
    """Of one run, which may use the providers in `allowed`."""

    def __init__(self, allowed: Collection[str], upstream: Upstream, ledger: Ledger) -> None:
        self._allowed = allowed
        self._upstream = upstream
        self._ledger = ledger
        self._forwarding = Forwarding(upstream, ledger)
        self._server = _Server(self._handle)
        self._calls: set[asyncio.Task[None]] = set()
        self._closed = False

    async def serve(self, connection: socket.socket, begun: bytes) -> None:
        """One connection, to its end. See containers.gateway.server.Http."""
        transport, opening = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: _Opening(self._server, begun), connection
        )
        try:
            await opening.ended
        finally:
            transport.abort()

    async def close(self) -> None:
        """Ends every call. What had been used by then is entered."""
        self._closed = True
        calls = list(self._calls)
        for task in calls:
            task.cancel()
        if calls:
            await asyncio.wait(calls, timeout=CLOSE_TIMEOUT_S)
        await self._server.shutdown(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await self._answer(request)
        except (Fenced, JournalUnavailable, ConnectionError, web.RequestPayloadError) as error:
            # Another worker has the run, or nothing can be counted now, or the program is gone. Its client asks again.
            log.info("model call cut", error=type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        finally:
            self._calls.discard(task)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path, _, query = request.raw_path.partition("?")
        provider, path = _provider(raw_path)
        try:
            if self._closed:
                raise ProviderUnreachable("the run ends")
            call, model = self._wanted(provider, request.method, path)
            assert provider is not None
            access = await self._upstream.keys.access(provider.name)
            asked = (request, access, call, path, headers.query(query), model)
            if not call.counts:
                return await self._forwarding.forward(*asked)
            await self._ledger.admit()
            try:
                return await self._forwarding.forward(*asked)
            finally:
                self._ledger.ended()
        except Refusal as refusal:
            await self._ledger.note(f"model call refused: {refusal.code}: {refusal.message}")
            dialect = provider.dialect_of(path) if provider is not None else "openai"
            return web.json_response(refusals.body(refusal, dialect), status=refusal.status)

    def _wanted(self, provider: Provider | None, method: str, path: str) -> tuple[Call, str]:
        """Raises ProviderNotAllowed or PathNotAllowed."""
        if provider is None:
            raise PathNotAllowed(f"there is only {ROOT}NAME/…, for {', '.join(PROVIDERS)}")
        if provider.name not in self._allowed:
            raise ProviderNotAllowed(f"the definition names no model of {provider.name}, nor `providers` with it")
        found = provider.call(method, path)
        if found is None:
            raise PathNotAllowed(f"{method} of this path of {provider.title} is not passed on")
        return found


def _provider(path: str) -> tuple[Provider | None, str]:
    """Who is asked, and the rest of the path."""
    if not path.startswith(ROOT):
        return None, path
    name, slash, rest = path.removeprefix(ROOT).partition("/")
    return PROVIDERS.get(name), slash + rest


class _Connection(web.RequestHandler):
    """Answers what is not HTTP with 400 and a line in the log. aiohttp logs a traceback, and programs are not trusted
    with how long our log is."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        reason = " ".join(str(exc.message).split())[:LOGGED_CHARS]
        log.info("model call is not HTTP", error=type(exc).__name__, reason=reason)
        answer = web.Response(status=400, text=f"not an HTTP/1.1 request: {reason}\n")
        answer.force_close()
        return answer


class _Server(web.Server):
    """Tells a connection's opening when it has ended."""

    def __init__(self, handler: web.RequestHandler | object) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]  # a coroutine function, as aiohttp calls it
            access_log=None,
            tcp_keepalive=False,
            keepalive_timeout=IDLE_TIMEOUT_S,
            auto_decompress=False,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
        )
        self.openings: dict[object, _Opening] = {}

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if (opening := self.openings.pop(handler, None)) is not None and not opening.ended.done():
            opening.ended.set_result(None)


class _Opening(asyncio.Protocol):
    """Puts aiohttp's protocol in its place, with what was read already before all that comes."""

    def __init__(self, server: _Server, begun: bytes) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = server
        self._begun = begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        protocol = self._server()
        self._server.openings[protocol] = self
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._begun)
