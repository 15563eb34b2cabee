"""Where a browser's request comes from (RFC 6454): which pages may use the login session, and which may call at all."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


class Source(Enum):
    NO_BROWSER = auto()
    """No Origin header: a program, or a page of the site that asks with GET."""
    OWN = auto()
    """The site's scheme, host and port as it sees them itself, or one of CSRF_TRUSTED_ORIGINS."""
    CROSS_ORIGIN = auto()
    """One of CORS_ALLOWED_ORIGINS: with a token or a ticket, never with the login session."""
    FOREIGN = auto()

    @property
    def may_use_session(self) -> bool:
        return self in (Source.NO_BROWSER, Source.OWN)


def source_of_scope(scope: Mapping[str, Any]) -> Source:
    return source_of(request_of(scope))


def request_of(scope: Mapping[str, Any]) -> HttpRequest:
    """Of an ASGI scope, also a WebSocket's. It has no body."""
    scheme = scope.get("scheme", "http")
    return ASGIRequest({"method": "GET", **scope, "scheme": _HTTP_SCHEMES.get(scheme, scheme)}, BytesIO())


def source_of(request: HttpRequest) -> Source:
    origin = request.headers.get("Origin")
    if origin is None:
        return Source.NO_BROWSER
    own: Any = CsrfViewMiddleware(lambda _: HttpResponse())
    if own._origin_verified(request):  # Django's rule for unsafe methods
        return Source.OWN
    return Source.CROSS_ORIGIN if origin in settings.CORS_ALLOWED_ORIGINS else Source.FOREIGN


def ticket_origin(request: HttpRequest) -> str:
    """What a stream ticket is bound to. Pages of the site send no Origin with a GET, so that one is empty."""
    return "" if source_of(request).may_use_session else request.headers["Origin"]
