"""For operators: alive, ready, and numbers. They say nothing of any user, so they ask for no login; where
MONITORING_TOKEN is set, all but `healthz` ask for that."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from agents.auth import credentials, throttle
from agents.auth.client_address import address_of_request
from agents.errors import NotAuthenticated, TooManyFailures
from agents.fleet import data_directory
from agents.fleet.redis_client import redis_client
from agents.fleet.workers import workers
from agents.http import problems
from agents.models import Run

Check = dict[str, Any]
View = Callable[[HttpRequest], HttpResponse]


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers. Says nothing of what it depends on: restarting it would not bring that back."""
    return JsonResponse({"status": "ok"})


def monitoring(view: View) -> View:
    """Ask for MONITORING_TOKEN as bearer token, if there is one."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        wanted = settings.MONITORING_TOKEN.get_secret_value()
        if not wanted:
            return view(request)
        address = address_of_request(request)
        given = credentials.bearer_token(request.headers.get("Authorization", "")) or ""
        try:
            throttle.refuse_blocked(address)
            if compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode()):
                return view(request)
            if given:
                throttle.count_wrong_token(address)
        except TooManyFailures as error:
            return problems.json_response(problems.problem_for(error))
        return problems.json_response(
            problems.problem_for(NotAuthenticated("send AGENTSITE_MONITORING_TOKEN as bearer token"))
        )

    return guarded


@never_cache
@monitoring
def readyz(request: HttpRequest) -> JsonResponse:
    """Each dependency by name. 503 without database, Redis or the right data directory; without a worker the site still
    takes and shows what it has, so that is `degraded`, with 200."""
    checks = {"database": _check(_database), "redis": _check(_redis), "data_dir": _check(data_directory.verify)}
    present = workers() if checks["redis"]["ok"] else []
    checks["workers"] = {
        "ok": bool(present),
        "count": len(present),
        "active": sum(found["active"] for found in present),
    }
    checks["engine"] = {"ok": bool(present), "engines": sorted({found["engine"] for found in present})}
    if not all(checks[name]["ok"] for name in ("database", "redis", "data_dir")):
        return JsonResponse({"status": "unavailable", "checks": checks}, status=503, headers={"Retry-After": "2"})
    return JsonResponse({"status": "ok" if present else "degraded", "checks": checks})


@never_cache
@monitoring
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format (version 0.0.4). Open runs are counted over the index of open runs, never all of them."""
    ready = {"database": _check(_database), "redis": _check(_redis)}
    lines = ["# HELP agentsite_up Whether a dependency answers.", "# TYPE agentsite_up gauge"]
    lines += [f'agentsite_up{{dependency="{name}"}} {int(found["ok"])}' for name, found in ready.items()]
    if ready["database"]["ok"]:
        lines += ["# HELP agentsite_open_runs Runs that have not ended.", "# TYPE agentsite_open_runs gauge"]
        lines += [f'agentsite_open_runs{{status="{status}"}} {count}' for status, count in _open_runs()]
    if ready["redis"]["ok"]:
        present = workers()
        lines += ["# HELP agentsite_workers Workers that live.", "# TYPE agentsite_workers gauge"]
        lines += [f"agentsite_workers {len(present)}"]
        lines += [
            "# HELP agentsite_worker_slots Runs that workers can supervise.",
            "# TYPE agentsite_worker_slots gauge",
        ]
        lines += [f"agentsite_worker_slots {sum(found['concurrency'] for found in present)}"]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def _open_runs() -> list[tuple[str, int]]:
    counted = Run.objects.filter(finished_at=None).order_by().values_list("status").annotate(count=Count("pk"))
    by_status = dict(counted)
    return [(status, by_status.get(status, 0)) for status in ("queued", "running", "waiting")]


def _check(ask: Callable[[], None]) -> Check:
    """What went wrong is for our log and not for everybody: it may name hosts and users."""
    try:
        ask()
    except (DatabaseError, RedisError, OSError, data_directory.WrongDataDirectory) as error:
        return {"ok": False, "error": type(error).__name__}
    return {"ok": True}


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with redis_client() as client:
        client.ping()
