"""Answers that are no streams although a stream was asked for, judged by how they begin: servers and proxies send them
under any content type.

a whole answer as JSON     is kept, and given to the same question without a stream: it is not paid for twice
an error as JSON, a page   becomes an error of HTTP with its own words, which clients understand
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from .errors import page_text, status_of

_ANSWERS = ("choices", "content", "candidates", "output")
"""Each format has its answer in one of these."""


class WholeAnswers(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self._transport = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=100))
        self._kept: bytes | None = None

    @property
    def has_kept(self) -> bool:
        return self._kept is not None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        is_stream = _asks_for_stream(request)
        if self._kept is not None and not is_stream:
            kept, self._kept = self._kept, None
            return httpx2.Response(200, content=kept, headers={"content-type": "application/json"})
        response = await self._transport.handle_async_request(request)
        if not is_stream or response.status_code != 200:
            return response
        pieces = response.aiter_bytes()
        beginning = b""
        while not beginning.lstrip() and (piece := await anext(pieces, b"")):
            beginning += piece
        if not beginning.lstrip().startswith((b"{", b"[", b"<")):
            return _stream(_Rest(beginning, pieces, response))
        body = beginning + b"".join([piece async for piece in pieces])
        await response.aclose()
        return self._judged(body, request)

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _judged(self, body: bytes, request: httpx2.Request) -> httpx2.Response:
        """Raises ReadError where a whole answer is kept for the next question."""
        answer = _answer_of(body)
        if answer is None:
            if body.lstrip().startswith(b"{"):  # what it is, its client says
                return _stream(httpx2.ByteStream(body))
            page = page_text(body.decode("utf-8", "replace"))
            return _refused(400, {"error": {"message": f"A page came in place of an answer: {page}"}})
        if answer.get("error") and not any(answer.get(name) for name in _ANSWERS):
            return _refused(status_of(answer["error"]), answer)
        self._kept = json.dumps(answer).encode()
        raise httpx2.ReadError("a whole answer came where a stream was asked for", request=request)


class _Rest(httpx2.AsyncByteStream):
    """A stream of which the beginning was read."""

    def __init__(self, beginning: bytes, pieces: AsyncIterator[bytes], response: httpx2.Response) -> None:
        self._beginning, self._pieces, self._response = beginning, pieces, response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._beginning
        async for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        await self._response.aclose()


def _stream(stream: httpx2.AsyncByteStream) -> httpx2.Response:
    return httpx2.Response(200, stream=stream, headers={"content-type": "text/event-stream"})


def _asks_for_stream(request: httpx2.Request) -> bool:
    if request.method != "POST":
        return False
    if request.url.path.endswith(":streamGenerateContent"):
        return True
    try:
        return bool(json.loads(request.content).get("stream"))
    except (ValueError, AttributeError):
        return False


def _answer_of(body: bytes) -> dict[str, Any] | None:
    """Gemini gives a list of one where nothing is streamed."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer if isinstance(answer, dict) else None


def _refused(status: int, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(status, json=body)
