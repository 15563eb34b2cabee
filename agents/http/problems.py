"""The mapping of exceptions to error answers (`Problem`), for the API, event streams and WebSockets alike.

A mistake of the client is 4xx, and its details name the field. A server of ours that does not answer is 503 with
Retry-After. A mistake of ours is 500: its traceback is in the log and never in the answer. Exceptions of the domain
(`AgentsError`) have their own code and status.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost, ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from redis.exceptions import RedisError

from agents.errors import AgentsError, NotAuthenticated
from streaming.errors import BusUnavailable, JournalUnavailable, LogMissing
from streaming.http.problem import Problem
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

_CODES_WITHOUT_CLASS = {
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
"""Codes and statuses of errors that have no class in this module or in agents.errors."""


class RequestProblem(AgentsError):
    """A request is refused for its form, before what it asks for is considered.

    RequestProblem
    ├── JsonInvalid       400
    ├── PageUnknown       400
    ├── CsrfFailed        403
    ├── OriginNotAllowed  403
    ├── CursorGone        410
    ├── MediaTypeWrong    415
    └── FieldInvalid      422
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
    """The events after this cursor can't be had: start again from a snapshot. `details.reason` is as in `reset`."""

    code, status = "cursor-gone", 410


class PageUnknown(RequestProblem):
    code, status = "unknown-page", 400


class FieldInvalid(RequestProblem):
    code, status = "invalid-input", 422


def json_response(problem: Problem) -> HttpResponse:
    """Return `problem` as a response of a Django view."""
    return HttpResponse(problem.body, status=problem.status, headers=problem.all_headers)


def respond_not_found(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """Answer 404. A Django view."""
    return json_response(_no_such_address())


def error_statuses() -> dict[str, int]:
    """Return the HTTP status of every error code of the API."""
    statuses = {code: status for status, code in _BY_STATUS.items()} | _CODES_WITHOUT_CLASS
    classes = list(AgentsError.__subclasses__())
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        if "status" in vars(cls):  # a class without a status of its own is only a base of others
            statuses[cls.code] = cls.status
    return statuses


def find_problem(error: Exception) -> Problem | None:
    """Return the answer to an exception; None for one that is a mistake of ours."""
    if isinstance(error, Problem):
        return error
    return next((make(error) for kind, make in _PROBLEMS if isinstance(error, kind)), None)


def problem_for(error: Exception, **log_fields: Any) -> Problem:
    """Return the answer to any exception. A mistake of ours is logged with its traceback and becomes 500."""
    problem = find_problem(error)
    if problem is None:
        log.error("request failed", **log_fields, exc_info=error)
        return internal_error()
    return problem


def internal_error() -> Problem:
    return Problem(500, "internal-error", "something went wrong on the server; the operator finds it in the log")


@contextlib.contextmanager
def raise_problems() -> Iterator[None]:
    """Raise any exception of the block as the Problem that it is answered with."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - problem_for logs those that are a mistake of ours
        raise problem_for(error) from None


def install_error_handlers(api: NinjaAPI) -> None:
    """Make all views of `api` answer exceptions as `problem_for` says."""
    # Ninja has handlers of its own for the last three. They are more specific than Exception and would win.
    for kind in (Exception, HttpError, ValidationError, Http404):
        api.add_exception_handler(kind, _respond)


def describe_wrong_fields(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """Return 422 for pydantic's errors: the details list every wrong field, the message names the first."""
    problems = [{"field": _field(path), "message": message} for path, message in plain_problems(errors)]
    first = problems[0]
    message = f"{first['field']}: {first['message']}"
    return Problem(422, FieldInvalid.code, message, {"field": first["field"], "errors": problems})


def _respond(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    assert isinstance(error, Exception)
    return json_response(problem_for(error, path=request.path, method=request.method))


def _unavailable(server: str) -> Problem:
    return Problem(503, f"{server}-unavailable", "try again soon", headers={"Retry-After": str(RETRY_AFTER_S)})


def _no_such_address() -> Problem:
    return Problem(404, "not-found", "there is nothing at this address")


def _wrong_host() -> Problem:
    message = "the site does not answer by this name; the operator adds it to AGENTSITE_ALLOWED_HOSTS"
    return Problem(400, "bad-request", message)


def _from_agents_error(error: Any) -> Problem:
    retry_after_s = error.retry_after_s or (RETRY_AFTER_S if error.status == 503 else None)
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    details = {key: value for key, value in error.details.items() if value is not None}
    return Problem(error.status, error.code, error.message, details or None, headers)


def _from_ninja(error: Any) -> Problem:
    if isinstance(error.__cause__, AgentsError):  # raised by our parser of bodies
        return _from_agents_error(error.__cause__)
    if isinstance(error, AuthenticationError):
        return _from_agents_error(NotAuthenticated())
    return Problem(error.status_code, _BY_STATUS.get(error.status_code, "error"), error.message)


def _field(location: tuple[Any, ...]) -> str:
    """Return the name of a field for clients: `("body", "body", "metadata", "a")` → `metadata.a`.

    Ninja puts the source and the name of the view's argument first.
    """
    parts = [str(part) for part in location[1:]]
    if parts and parts[0] in ("body", "query"):
        parts = parts[1:]
    return ".".join(parts) or str(location[0])


_PROBLEMS: tuple[tuple[type[Exception], Callable[[Exception], Problem]], ...] = (
    (AgentsError, _from_agents_error),
    (ValidationError, lambda error: describe_wrong_fields(error.errors)),  # type: ignore[attr-defined]  # of its class
    (HttpError, _from_ninja),
    (Http404, lambda _: _no_such_address()),
    (LogMissing, lambda _: Problem(404, "not-found", "no such agent")),
    (ObjectDoesNotExist, lambda _: Problem(404, "not-found", "it has just been deleted")),
    (RequestDataTooBig, lambda _: Problem(413, "too-large", "the body is too large")),
    (DisallowedHost, lambda _: _wrong_host()),
    (SuspiciousOperation, lambda _: Problem(400, "bad-request", "the request is malformed")),
    (UnreadablePostError, lambda _: Problem(400, "incomplete-body", "the body ended early")),
    (JournalUnavailable, lambda _: _unavailable("database")),
    (BusUnavailable, lambda _: _unavailable("redis")),
    (OperationalError, lambda _: _unavailable("database")),
    (InterfaceError, lambda _: _unavailable("database")),
    (RedisError, lambda _: _unavailable("redis")),
    (DataError, lambda _: Problem(422, "invalid-input", "a value can't be stored")),
)
"""The first class that fits decides."""
