"""Everything that goes wrong, as `{"error": {"code", "message", "details"?}}` with the right status.

What clients do wrong is 4xx and names the field; an absent server of ours is 503 with Retry-After; a mistake of ours is
500, logged with its traceback, which nobody outside sees. Errors of the domain bring their own code and status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost, ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from redis.exceptions import RedisError

from agents.errors import AgentsError, NotAuthenticated
from streaming.errors import BusUnavailable, JournalUnavailable, LogMissing
from streaming.model.validation import plain_problems

log = structlog.get_logger(__name__)
RETRY_AFTER_S = 2
_BY_STATUS = {
    400: "bad-request",
    401: "not-authenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
}

_OTHERS = {
    "incomplete-body": 400,
    "invalid-body": 400,
    "invalid-parameter": 400,
    "unsupported-format": 400,
    "import-too-large": 413,
    "uri-too-long": 414,
    "headers-too-large": 431,
    "internal-error": 500,
    "streams-need-asgi": 501,
    "database-unavailable": 503,
    "redis-unavailable": 503,
}
"""That are no class of their own here: beside these, event streams answer in the same form
(agents.asgi.stream_gate)."""


class RequestProblem(AgentsError):
    """What is wrong with a request before anybody looks at what it asks for.

    RequestProblem
    ├── JsonInvalid     400
    ├── MediaTypeWrong  415
    ├── CsrfFailed      403
    ├── OriginNotAllowed 403
    ├── CursorGone      410
    └── FieldInvalid    422
    """


class JsonInvalid(RequestProblem):
    code, status = "invalid-json", 400


class MediaTypeWrong(RequestProblem):
    code, status = "unsupported-media-type", 415


class CsrfFailed(RequestProblem):
    code, status = "csrf-failed", 403


class OriginNotAllowed(RequestProblem):
    code, status = "origin-not-allowed", 403


class CursorGone(RequestProblem):
    """`details.reason` as in a stream's `reset`: start again from a snapshot."""

    code, status = "cursor-gone", 410


class PageUnknown(RequestProblem):
    code, status = "unknown-page", 400


class FieldInvalid(RequestProblem):
    code, status = "invalid-input", 422


def answer(
    status: int, code: str, message: str, details: Any = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    error: dict[str, Any] = {"code": code, "message": message}
    if details:
        error["details"] = details
    # An error tells of this moment: nobody may keep it.
    common = {"Cache-Control": "no-store", **({"WWW-Authenticate": "Bearer"} if status == 401 else {})}
    return JsonResponse({"error": error}, status=status, headers={**common, **(headers or {})})


def not_found(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    return answer(404, "not-found", "there is nothing at this address")


def wrong_host() -> HttpResponse:
    message = "the site does not answer by this name; the operator adds it to AGENTSITE_ALLOWED_HOSTS"
    return answer(400, "bad-request", message)


def internal_error() -> HttpResponse:
    return answer(500, "internal-error", "something went wrong here; it has been logged")


def unavailable(what: str) -> HttpResponse:
    return answer(503, f"{what}-unavailable", "try again soon", headers={"Retry-After": str(RETRY_AFTER_S)})


def codes() -> dict[str, int]:
    """Every code that the API answers with, and its status: for its description."""
    found = {code: status for status, code in _BY_STATUS.items()} | _OTHERS
    kinds = list(AgentsError.__subclasses__())
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "status" in vars(kind):  # else others are made of it
            found[kind.code] = kind.status
    return found


def of(error: Exception) -> HttpResponse | None:
    """The answer to an exception; None for one that is nobody's fault but ours."""
    for kind, make in _ANSWERS:
        if isinstance(error, kind):
            return make(error)
    return None


def install(api: NinjaAPI) -> None:
    api.add_exception_handler(Exception, _answer)
    for kind in (HttpError, ValidationError, Http404):  # ninja has its own for these, which are more specific
        api.add_exception_handler(kind, _answer)


def _answer(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    assert isinstance(error, Exception)
    known = of(error)
    if known is not None:
        return known
    log.error("request failed", path=request.path, method=request.method, exc_info=error)
    return internal_error()


def _domain(error: Any) -> HttpResponse:
    retry_after_s = error.retry_after_s or (RETRY_AFTER_S if error.status == 503 else None)
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else None
    details = {key: value for key, value in error.details.items() if value is not None}
    return answer(error.status, error.code, error.message, details, headers)


def _http(error: Any) -> HttpResponse:
    status = error.status_code
    if isinstance(error.__cause__, AgentsError):  # from our parser
        return _domain(error.__cause__)
    if isinstance(error, AuthenticationError):
        return _domain(NotAuthenticated())
    return answer(status, _BY_STATUS.get(status, "error"), error.message)


def _validation(error: Any) -> HttpResponse:
    message, details = wrong_fields(error.errors)
    return answer(422, FieldInvalid.code, message, details)


def wrong_fields(found: Iterable[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Message and details of pydantic's errors: every field that is wrong, and the first one in the message."""
    problems = [{"field": _field(path), "message": message} for path, message in plain_problems(found)]
    first = problems[0]
    return f"{first['field']}: {first['message']}", {"field": first["field"], "errors": problems}


def _field(loc: tuple[Any, ...]) -> str:
    """`("body", "body", "metadata", "a")` → `metadata.a`: ninja puts the source first, then our argument's name."""
    parts = [str(part) for part in loc[1:]]
    if parts and parts[0] in ("body", "query"):
        parts = parts[1:]
    return ".".join(parts) or str(loc[0])


_ANSWERS: tuple[tuple[type[Exception], Callable[[Exception], HttpResponse]], ...] = (
    (AgentsError, _domain),
    (ValidationError, _validation),
    (HttpError, _http),
    (Http404, lambda _: answer(404, "not-found", "there is nothing at this address")),
    (LogMissing, lambda _: answer(404, "not-found", "no such agent")),
    (ObjectDoesNotExist, lambda _: answer(404, "not-found", "it has just been deleted")),
    (RequestDataTooBig, lambda _: answer(413, "too-large", "the body is too large")),
    (DisallowedHost, lambda _: wrong_host()),
    (SuspiciousOperation, lambda _: answer(400, "bad-request", "the request is malformed")),
    (UnreadablePostError, lambda _: answer(400, "incomplete-body", "the body ended early")),
    (JournalUnavailable, lambda _: unavailable("database")),
    (BusUnavailable, lambda _: unavailable("redis")),
    (OperationalError, lambda _: unavailable("database")),
    (InterfaceError, lambda _: unavailable("database")),
    (RedisError, lambda _: unavailable("redis")),
    (DataError, lambda _: answer(422, "invalid-input", "a value can't be stored")),
)
