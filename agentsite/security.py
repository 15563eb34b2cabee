"""A content security policy for every page: whatever an agent writes, the browser runs none of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Sets the policy where a view has not set one of its own (downloads do)."""

    def protected(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    async def later(request: HttpRequest) -> HttpResponseBase:
        return protected(await get_response(request))

    def now(request: HttpRequest) -> HttpResponseBase:
        return protected(get_response(request))

    return later if iscoroutinefunction(get_response) else now
