"""The address of the per-user feed: django-eventstream's own view, ended when the caller's access ends.

Django asks who is there once, so this ASGI application stands around it: it identifies the caller, and when access has
ended it tells Django that the client has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agents import access
from agents.access_watch import GrantedAccess
from agents.client_address import address_of_scope
from agents.gate import as_problems, not_authenticated
from agents.origins import source_of_scope
from agents.revocation import Grant
from streaming.http.sse import HEADERS, Problem, Receive, Scope, Send, answer
from streaming.read.hub import current_hub
from streaming.store.database import in_database

Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class FeedApplication:
    def __init__(self, django: Application) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        may_use_session = source_of_scope(scope).may_use_session
        try:
            with as_problems():
                identity = await in_database(
                    access.identify, scope["headers"], address_of_scope(scope), may_use_session=may_use_session
                )
            if identity is None:
                raise not_authenticated()
        except Problem as problem:
            await answer(send, problem)
            return
        current_hub().start()  # it hears of changes of access
        ended = asyncio.Event()
        with GrantedAccess(Grant.of(identity)).watch(ended.set):
            await self._django({**scope, "user": identity.user}, _until(ended, receive), _as_stream(send))
        if ended.is_set():
            with contextlib.suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _as_stream(send: Send) -> Send:
    """With the headers of every event stream in place of those that the package knows."""
    names = {name for name, _ in HEADERS}

    async def send_as_stream(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            others = [(name, value) for name, value in message["headers"] if name.lower() not in names]
            message = {**message, "headers": [*HEADERS, *others]}
        await send(message)

    return send_as_stream


def _until(ended: asyncio.Event, receive: Receive) -> Receive:
    """What the client says, and that it has gone once `ended` is set."""

    async def receive_until() -> Mapping[str, Any]:
        message, end = asyncio.ensure_future(receive()), asyncio.create_task(ended.wait())
        try:
            await asyncio.wait((message, end), return_when=asyncio.FIRST_COMPLETED)
            return {"type": "http.disconnect"} if end.done() else message.result()
        finally:
            message.cancel()
            end.cancel()

    return receive_until
