"""One call: asked of its provider with the site's key, streamed back as it comes, counted.

What it used is in the log before the last of the answer is with the program, so it stands in front of whatever the
program does next. A program that breaks off gets nothing for free: the rest of the answer is read for a while without
it, and what is not known then is estimated.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Protocol

import aiohttp
import structlog
from aiohttp import web

from agents.gateway.providers import headers, requests
from agents.gateway.providers.counting import Counted, Reader
from agents.gateway.providers.key_echo import AnswerCheck, is_secret, redact
from agents.gateway.providers.keys import Access
from agents.gateway.providers.provider import Call
from agents.gateway.providers.refusals import ProviderEchoedKey, ProviderUnreachable, RequestTooLarge
from agents.gateway.providers.upstream import Upstream

log = structlog.get_logger(__name__)
REQUEST_BYTES = 32 * 2**20
"""Largest body of a request. Providers take about that much themselves."""
LARGE_BYTES = 2**20
LARGE_AT_ONCE = 4
"""Bodies above LARGE_BYTES that one run may have held here at once; more wait."""
ERROR_BYTES = 64 * 1024
"""Of an error's body that is read; the rest is cut."""
TAKE_TIMEOUT_S = 600.0
"""A program that takes no byte for so long is given up."""
DRAIN_S = 10.0
"""How long an answer is read whose program has gone: for its count at the end."""


class Ledger(Protocol):
    """Where a run's calls are entered. See agents.gateway.usage_ledger."""

    async def admit(self) -> None:
        """Before a call that counts. Raises BudgetExceeded; may wait for somebody's word."""

    def ended(self) -> None:
        """An admitted call is over, entered or not."""

    async def enter(self, provider: str, counted: Counted, *, estimated: bool) -> None:
        """After it. Both counts are known."""

    async def note(self, words: str) -> None:
        """What went wrong, for the log."""


class Forwarding:
    """Of one run's calls."""

    def __init__(self, upstream: Upstream, ledger: Ledger) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def forward(
        self, request: web.BaseRequest, access: Access, call: Call, path: str, query: str, model: str
    ) -> web.StreamResponse:
        """Raises Refusal."""
        url = access.provider.url(access.base_url, path) + (f"?{query}" if query else "")
        body = _Body(request)
        size = request.content_length
        if request.can_read_body and (size is None or size > LARGE_BYTES):
            async with self._large:
                answer, model, said = await self._ask(request, access, call, url, body, path, model)
        else:
            answer, model, said = await self._ask(request, access, call, url, body, path, model)
        async with answer:
            if answer.status >= 300:
                return await self._failed(access, answer, said)
            ledger = self._ledger if call.counts else None
            passing = _Passing(request, access, answer, path, model, body.bytes, ledger)
            return await passing.run()

    async def _ask(
        self, request: web.BaseRequest, access: Access, call: Call, url: str, body: _Body, path: str, model: str
    ) -> tuple[aiohttp.ClientResponse, str, bytes]:
        """The head of the answer, the model that was asked, and what was read of an error."""
        sent: bytes | AsyncIterator[bytes] | None = None
        passed = headers.asked(request.headers.items(), access.provider.key_headers(access.key))
        if call.changed:
            sent, model = await _counted(path, await body.read())
            if access.base_url in self._upstream.without_stream_options:
                sent = requests.without_stream_options(sent) or sent
        elif request.can_read_body:
            sent = body.pieces()
            if request.content_length is not None:
                passed["Content-Length"] = str(request.content_length)
        try:
            answer = await self._upstream.ask(request.method, url, passed, sent)
            said = b""
            if answer.status in (400, 422) and isinstance(sent, bytes):
                said = await _head(answer, ERROR_BYTES + len(access.key))
                shorter = requests.without_stream_options(sent) if requests.refuses_stream_options(said) else None
                if shorter is not None:
                    answer.close()
                    self._upstream.without_stream_options.add(access.base_url)
                    await self._ledger.note(f"{access.provider.name} takes no stream_options: usage is estimated")
                    answer, said = await self._upstream.ask(request.method, url, passed, shorter), b""
            return answer, model, said
        except (aiohttp.ClientError, TimeoutError) as error:
            if body.too_large:
                raise RequestTooLarge(_TOO_LARGE) from None
            raise ProviderUnreachable(f"{access.provider.title} does not answer: {_words(error)}") from None

    async def _failed(self, access: Access, answer: aiohttp.ClientResponse, said: bytes) -> web.Response:
        if answer.status < 400:
            raise ProviderUnreachable(
                f"{access.provider.title} answers {answer.status}, elsewhere; is {access.provider.base_setting} right?"
            )
        try:
            said = said or await _head(answer, ERROR_BYTES + len(access.key))  # a key at the cut is whole, too
        except (aiohttp.ClientError, TimeoutError):
            said = b""
        said = redact(said, access.key)[:ERROR_BYTES]
        await self._ledger.note(f"{access.provider.name} answered {answer.status}: {_one_line(said)}")
        return web.Response(status=answer.status, body=said, headers=_answered(answer, access.key))


class _Body:
    """Of a request, within REQUEST_BYTES."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.bytes = 0
        self.too_large = False
        if (request.content_length or 0) > REQUEST_BYTES:
            raise RequestTooLarge(_TOO_LARGE)

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._request.headers.get("Expect", "").lower() == "100-continue":  # curl's, of more than a megabyte
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        async for piece in self._request.content.iter_any():
            self.bytes += len(piece)
            if self.bytes > REQUEST_BYTES:
                self.too_large = True
                raise RequestTooLarge(_TOO_LARGE)
            yield piece

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])


class _Passing:
    """One answer on its way to the program. Without a `ledger` it is not counted."""

    def __init__(
        self,
        request: web.BaseRequest,
        access: Access,
        answer: aiohttp.ClientResponse,
        path: str,
        model: str,
        request_bytes: int,
        ledger: Ledger | None,
    ) -> None:
        self._request = request
        self._access = access
        self._answer = answer
        self._ledger = ledger
        self._reader = Reader(answer.headers.get("Content-Type", ""), model, request_bytes)
        self._path = path
        self._check = AnswerCheck(access.key)
        self._response = web.StreamResponse(status=answer.status, headers=_answered(answer, access.key))
        self._entered = ledger is None
        self._gone_at: float | None = None

    async def run(self) -> web.StreamResponse:
        """To the end of the answer, or as far as it comes. Raises ProviderEchoedKey if nothing was passed on before."""
        whole, rest = False, b""
        echoed: ProviderEchoedKey | None = None
        try:
            if self._reader.streams:
                await self._prepare()
            whole = await self._pass_on()
            rest = self._check.finish() if whole else b""
        except ProviderEchoedKey as error:
            self._answer.close()
            echoed = error
        finally:
            await self._enter(whole)
        if echoed is not None:
            rest = await self._error_of(echoed)
        if (whole or rest) and self._gone_at is None:
            await self._send(rest)
            await self._write_end()
        else:
            self._cut()
        return self._response

    async def _error_of(self, echoed: ProviderEchoedKey) -> bytes:
        """What ends an answer that has begun; nothing where no error can stand."""
        if not self._response.prepared and not echoed.passed:
            raise echoed
        if self._ledger is not None:
            await self._ledger.note(f"model call ended: {echoed.code}: {echoed.message}")
        return echoed.passed + self._check.error_after(echoed, self._access.provider.dialect_of(self._path), self._path)

    async def _pass_on(self) -> bool:
        """Did the answer come to its end? The program does not know of that before `_write_end`."""
        try:
            async for piece in self._answer.content.iter_any():
                self._reader.feed(piece)
                if self._reader.counted.ended:
                    await self._enter(True)
                await self._send(self._check.feed(piece))
                if self._gone_at is not None and (self._entered or monotonic() >= self._gone_at + DRAIN_S):
                    return False
            return True
        except (aiohttp.ClientError, TimeoutError) as error:
            if self._gone_at is None and self._ledger is not None:
                await self._ledger.note(f"{self._access.provider.name} broke off: {_words(error)}")
            return False

    async def _enter(self, whole: bool) -> None:
        """Once. What the provider has not said is estimated."""
        if self._entered or self._ledger is None:
            return
        self._entered = True
        counted = self._reader.finish()
        if whole and self._reader.refusal:
            words = _one_line(self._reader.refusal)
            await self._ledger.note(f"{self._access.provider.name} answered 200 with an error: {words}")
            return
        is_exact = (whole or counted.ended) and counted.input_tokens is not None
        if not is_exact:
            counted = self._reader.estimated()
        await self._ledger.enter(self._access.provider.name, counted, estimated=not is_exact)

    async def _prepare(self) -> None:
        try:
            await self._response.prepare(self._request)
        except ConnectionError:
            self._gone_at = monotonic()

    async def _write_end(self) -> None:
        try:
            if not self._response.prepared:  # it was empty
                await self._response.prepare(self._request)
            await self._response.write_eof()
        except ConnectionError:
            self._cut()

    async def _send(self, piece: bytes) -> None:
        if self._gone_at is not None or not piece:
            return
        if not self._response.prepared:
            await self._prepare()
        try:
            async with asyncio.timeout(TAKE_TIMEOUT_S):
                await self._response.write(piece)
        except (ConnectionError, TimeoutError):
            self._gone_at = monotonic()

    def _cut(self) -> None:
        """So that the program sees that something is missing."""
        if self._request.transport is not None:
            self._request.transport.abort()


_TOO_LARGE = f"a request may have {REQUEST_BYTES // 2**20} MiB at most"


async def _counted(path: str, body: bytes) -> tuple[bytes, str]:
    if len(body) <= LARGE_BYTES:
        return requests.counted(path, body)
    return await asyncio.to_thread(requests.counted, path, body)


async def _head(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    said = bytearray()
    async for piece in answer.content.iter_any():
        said += piece
        if len(said) >= most_bytes:
            break
    return bytes(said[:most_bytes])


def _answered(answer: aiohttp.ClientResponse, key: str) -> dict[str, str]:
    passed = headers.answered(answer.headers.items())
    return {name: redact(value.encode(), key).decode() for name, value in passed.items()} if is_secret(key) else passed


def _words(error: Exception) -> str:
    """Never a header or an address with its query: what is not one of these is named by its kind."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "no connection"
    return type(error).__name__


def _one_line(said: bytes) -> str:
    try:
        said_error = json.loads(said)["error"]
        words = said_error["message"] if isinstance(said_error, dict) else said_error
    except (ValueError, LookupError, TypeError, RecursionError):
        words = said.decode("utf-8", "replace")
    return " ".join(str(words).split())[:300]
