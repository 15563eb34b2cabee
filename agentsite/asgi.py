"""What the server calls: event streams go to a raw ASGI application, WebSockets to Channels, the rest to Django."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

django_application = get_asgi_application()

from agents.control import Control
from agents.gate import AgentGate
from streaming.hub import current_hub
from streaming.sse import SseApplication

streams = SseApplication(current_hub, AgentGate())
application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                # Channels routes ASGI applications with Django's paths, which are typed for views.
                path("api/agents/<agent_id>/stream", streams),  # type: ignore[arg-type]  # ASGI applications are routes here, by channels' documentation
                re_path(r"", django_application),  # type: ignore[arg-type]  # ASGI applications are routes here, by channels' documentation
            ]
        ),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/agents/<agent_id>", Control.as_asgi())]))
        ),
    }
)
