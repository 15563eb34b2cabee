"""How large the body of a request may be, by what it asks for and by whether it says who asks."""

from __future__ import annotations

import re
from urllib.parse import unquote

from django.conf import settings
from django.http import parse_cookie

from agents.errors import NotAuthenticated
from agents.http.problems import problem_for
from streaming.http.problem import Problem
from streaming.http.request_limits import Bound, Headers

ANONYMOUS_MAX_BYTES = 2**20
"""So much is read of a call that names nobody, before it is told to."""
_UPLOAD = re.compile(r"/api/agents/[^/]+/files/")


def bound_of(method: str, target: bytes, headers: Headers) -> Bound:
    path = unquote(target.partition(b"?")[0].decode("latin-1"))
    bound = _of_address(method, path)
    if path.startswith("/api/") and not _names_somebody(headers) and bound.max_bytes > ANONYMOUS_MAX_BYTES:
        return Bound(ANONYMOUS_MAX_BYTES, _NOBODY)
    return bound


def _of_address(method: str, path: str) -> Bound:
    """What is neither a file nor an export is kept in memory: up to Django's own limit, or an input with escapes."""
    if method == "PUT" and _UPLOAD.match(path):
        return _bound("file-too-large", "a file may have {} bytes", settings.UPLOAD_MAX_BYTES)
    if method == "POST" and path == "/api/agents/import":
        return _bound("import-too-large", "an export may have {} bytes", settings.IMPORT_MAX_BYTES)
    return _bound(
        "too-large",
        "the body may have {} bytes",
        max(settings.DATA_UPLOAD_MAX_MEMORY_SIZE, 2 * settings.INPUT_MAX_BYTES),
    )


def _bound(code: str, message: str, max_bytes: int) -> Bound:
    return Bound(max_bytes, Problem(413, code, message.format(max_bytes), {"limit_bytes": max_bytes}))


def _names_somebody(headers: Headers) -> bool:
    """By a header or a cookie, right or wrong: those are looked up when the body is there."""
    given = dict(headers)
    cookies = parse_cookie(given.get(b"cookie", b"").decode("latin-1"))
    return b"authorization" in given or settings.SESSION_COOKIE_NAME in cookies


_NOBODY = problem_for(NotAuthenticated())
