"""The address of the per-user feed: django-eventstream's own view, ended when the caller's access ends.

Django asks who is there once, so this ASGI application stands around it: it identifies the caller, and when access has
ended it tells Django that the client has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_eventstream.channelmanager import DefaultChannelManager
from django_eventstream.views import events

from agents.auth import credentials
from agents.auth.access_watch import GrantedAccess
from agents.auth.client_address import address_of_scope
from agents.auth.grants import Grant
from agents.auth.origins import source_of_scope
from agents.errors import NotAuthenticated
from agents.http.problems import raise_problems
from agents.log.announcements import channel_of
from streaming.http.problem import Problem
from streaming.http.sse import HEADERS, Receive, Scope, Send, answer
from streaming.read.hub import current_hub
from streaming.store.database import in_database

Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class FeedGate(DefaultChannelManager):  # type: ignore[misc]  # the package has no types
    """The one place that says who may read which feed: everybody their own, whatever the request names."""

    def get_channels_for_request(self, request: HttpRequest, view_kwargs: dict[str, Any]) -> set[str]:
        return {channel_of(request.user.pk)} if request.user.is_authenticated else set()

    def can_read_channel(self, user: Any, channel: str) -> bool:
        return user is not None and channel == channel_of(user.pk)

    def is_channel_reliable(self, channel: str) -> bool:
        return False


def feed(request: HttpRequest) -> HttpResponseBase:
    """The caller is the one that FeedApplication has identified, also by a token."""
    request.user = getattr(request, "scope", {}).get("user", request.user)
    response: HttpResponseBase = events(request)
    return response


class FeedApplication:
    def __init__(self, django: Application) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        may_use_session = source_of_scope(scope).may_use_session
        try:
            with raise_problems():
                identity = await in_database(
                    credentials.identify, scope["headers"], address_of_scope(scope), may_use_session=may_use_session
                )
                if identity is None:
                    raise NotAuthenticated
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
