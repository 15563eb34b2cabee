"""Where the API is mounted. `include("agents.api.urls")` at the root of the site: it brings its own prefixes.

Everything under /api/ answers in JSON, also what Django and ninja would answer in HTML or plain text: unknown
addresses, wrong methods, and requests that fail before a view has them (a wrong Host).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, include, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from agents.api import docs, health
from agents.api.site import api
from agents.http import problems
from streaming.http.problem import Problem

View = Callable[..., Any]
_IN_JSON = re.compile(r"/(api(/|$)|healthz$|readyz$)")


def in_json(view: View) -> View:
    """A wrong method in JSON, and HEAD wherever there is GET (the server leaves the body out)."""

    def prepared(request: HttpRequest) -> None:
        if request.method == "HEAD":
            request.method = "GET"

    def converted(response: HttpResponseBase) -> HttpResponseBase:
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = sorted({*response["Allow"].split(", ")})
        message = f"this address takes {', '.join(allowed)}"
        headers = {"Allow": ", ".join(allowed)}
        return problems.json_response(Problem(405, "method-not-allowed", message, headers=headers))

    @wraps(view)
    def now(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        prepared(request)
        try:
            return converted(view(request, *args, **kwargs))
        except Http404:  # from ninja's own views, outside its error handling
            return problems.respond_not_found(request)

    @wraps(view)
    async def later(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        prepared(request)
        return converted(await view(request, *args, **kwargs))

    return markcoroutinefunction(later) if iscoroutinefunction(view) else now


def in_json_under_api(page: View) -> View:
    """One of Django's views for requests that failed outside of any view, and what the API answers to them instead."""

    @wraps(page)
    def answered(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        if not _IN_JSON.match(request.path):
            answer: HttpResponse = page(request) if exception is None else page(request, exception)
            return answer
        failure = exception or sys.exc_info()[1]  # of a failure of ours Django says nothing but that
        problem = problems.find_problem(failure) if isinstance(failure, Exception) else None
        return problems.json_response(problem or problems.internal_error())

    return answered


handler400 = in_json_under_api(defaults.bad_request)
handler500 = in_json_under_api(defaults.server_error)


def _for_reading(view: View) -> View:
    """Nothing to forge: a POST is a wrong method, and is told so in JSON and not by Django's page about CSRF."""
    return csrf_exempt(in_json(require_safe(view)))


def _routes() -> tuple[list[URLPattern], str, str]:
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        assert isinstance(pattern, URLPattern)
        documents = pattern.name in ("openapi-json", "openapi-view")
        pattern.callback = _for_reading(pattern.callback) if documents else in_json(pattern.callback)
    return patterns, app_name, namespace  # type: ignore[return-value]  # its stubs know fewer


urlpatterns = [
    path("healthz", _for_reading(health.healthz)),
    path("readyz", _for_reading(health.readyz)),
    path("metrics", _for_reading(health.metrics)),
    path("api/docs/<str:name>", _for_reading(docs.asset)),
    path("api/", include(_routes()[:2], namespace="api")),
    re_path(r"^api(/[\s\S]*)?$", csrf_exempt(problems.respond_not_found)),
]
