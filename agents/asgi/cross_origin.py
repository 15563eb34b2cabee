"""Answers of raw ASGI applications for pages of other origins: what django-cors-headers does for Django's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agents.auth.origins import Source, source_of_scope
from streaming.http.sse import Receive, Scope, Send, header

Application = Callable[[Any, Receive, Send], Awaitable[None]]


class CrossOrigin:
    """`django` answers preflights."""

    def __init__(self, application: Application, django: Application) -> None:
        self._application = application
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await self._django(scope, receive, send)
        elif source_of_scope(scope) is Source.CROSS_ORIGIN:
            await self._application(scope, receive, _allowing(header(scope, b"origin") or "", send))
        else:
            await self._application(scope, receive, send)


def _allowing(origin: str, send: Send) -> Send:
    """Without credentials: the login session counts for nothing there."""
    headers = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]

    async def send_allowing(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return send_allowing
