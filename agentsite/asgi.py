"""The ASGI application: event streams and WebSockets go to raw ASGI applications, everything else to Django."""

from __future__ import annotations

import asyncio
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

django_application = get_asgi_application()

from agents.asgi.cross_origin import CrossOrigin
from agents.asgi.feed import FeedApplication
from agents.asgi.stream_gate import AgentGate
from agents.asgi.websocket_gate import ControlGate
from agents.auth import stream_tickets
from streaming.http.sse import Receive, Scope, Send, SseApplication
from streaming.http.websocket import WebSocketApplication
from streaming.read.hub import current_hub

streams = SseApplication(current_hub, AgentGate())
sockets = WebSocketApplication(current_hub, ControlGate())


async def drain() -> None:
    """End all streams and WebSockets, and return when they have ended."""
    await asyncio.gather(streams.drain(), sockets.drain())


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket at an address that has none."""
    await receive()
    await send({"type": "websocket.close"})


# Channels routes ASGI applications with Django's paths, which are typed for views.
_routes = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("api/agents/<agent_id>/stream", CrossOrigin(streams, django_application)),  # type: ignore[arg-type]  # ASGI applications are routes here, by channels' documentation
                path("api/feed", FeedApplication(django_application)),  # type: ignore[arg-type]  # likewise
                re_path(r"", django_application),  # type: ignore[arg-type]  # likewise
            ]
        ),
        "websocket": URLRouter([path("ws", sockets), re_path(r"", refuse_websocket)]),  # type: ignore[arg-type]  # likewise
    }
)


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        stream_tickets.hide(scope)
    await _routes(scope, receive, send)
