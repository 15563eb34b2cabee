"""The overview: how the last days went, what it cost, what goes on now, and who does the work.

Everybody's own; a superuser's of everybody, or with `?mine=1` their own. What nobody answers for is said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from agents.fleet import workers
from agents.pages import charts, figures, measures
from agents.pages.figures import Cost, Figures


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """`answers` False: it has been silent for longer than a worker that lives is, and attempts are still its own."""

    name: str
    engine: str
    active: int | None
    places: int | None
    attempts: int
    answers: bool


@login_required
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    sees_all = request.user.is_superuser
    everybody = sees_all and "mine" not in request.GET
    found = figures.of(None if everybody else request.user.pk)
    answering = workers.ask()
    context = {
        "figures": found,
        "everybody": everybody,
        "sees_all": sees_all,
        "days": figures.DAYS,
        "success": "" if found.success is None else f"{found.success:.1%}",
        "p50": _duration(found.durations.p50),
        "p95": _duration(found.durations.p95),
        "runs_chart": charts.runs(found.days),
        "duration_chart": charts.durations(found.days),
        "table": [(day, _duration(day.durations.p50), _duration(day.durations.p95)) for day in reversed(found.days)],
        "costs": [
            ("By model", "model", _bars(found.by_model)),
            ("By definition", "definition", _bars(found.by_definition)),
        ],
        "redis_answers": answering is not None,
        "workers": len(answering or []),
        "taken": sum(one["active"] for one in answering or []),
        "places": sum(one["concurrency"] for one in answering or []),
        **(_machinery(found, answering or []) if everybody else {}),
    }
    return render(request, "agents/overview.html", context)


def _duration(ms: int | None) -> str:
    return "" if ms is None else measures.duration(ms)


def _bars(costs: list[Cost]) -> list[tuple[Cost, str, str, str, str]]:
    """(cost, its bar in percent of the longest, the cost, tokens and calls in words)."""
    most = max((cost.usd for cost in costs), default=0)
    return [(cost, charts.share(cost.usd, most), _cost(cost), f"{cost.tokens:,}", f"{cost.calls:,}") for cost in costs]


def _cost(cost: Cost) -> str:
    if cost.unpriced == cost.calls:
        return "price not known"
    more = " or more" if cost.unpriced else ""
    return measures.cost(cost.usd) + more


def _machinery(found: Figures, answering: list[dict[str, Any]]) -> dict[str, Any]:
    """For operators: each worker and engine, and what waits in the broker."""
    attempts: dict[str, int] = {}
    engines: dict[str, int] = {}
    engine_of: dict[str, str] = {}
    for worker, engine, count in found.attempts:
        attempts[worker] = attempts.get(worker, 0) + count
        engines[engine] = engines.get(engine, 0) + count
        engine_of[worker] = engine
    known = {one["worker"]: one for one in answering}
    rows = [
        WorkerRow(name, one["engine"], one["active"], one["concurrency"], attempts.get(name, 0), True)
        for name, one in sorted(known.items())
    ]
    silent = [WorkerRow(name, engine_of[name], None, None, attempts[name], False) for name in sorted(attempts)]
    for one in answering:
        engines.setdefault(one["engine"], 0)
    return {
        "worker_rows": rows + [row for row in silent if row.name not in known],
        "engine_rows": [
            (engine, sum(one["engine"] == engine for one in answering), count)
            for engine, count in sorted(engines.items())
        ],
        "broker": workers.messages_waiting(),
    }
