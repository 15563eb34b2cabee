"""A content security policy for every page: whatever an agent writes, the browser runs none of it. And what is logged
of requests that Django refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

LOGGED_CHARS = 300
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


class RefusedInOneLine(logging.Filter):
    """Takes the traceback from what Django logs of requests that it answers with 400, such as one with a wrong Host:
    anybody can send those, as many as they like, and nothing of ours is wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info, record.exc_text, record.levelno, record.levelname = None, None, logging.WARNING, "WARNING"
            record.msg, record.args = record.getMessage()[:LOGGED_CHARS], ()
        return True
