"""What an agent, and a user on a day, have used over all their runs. Synchronous; see streaming.store.database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from agents.definitions.budget import Kind
from agents.gateway.budgets import daily
from agents.gateway.budgets.meter import Share
from agents.models import Agent, Attempt, Spending
from streaming.model.events import Event


def is_limited(kind: Kind | None = None) -> bool:
    """Has the site a budget (of that kind) for agents or users?"""
    limits = settings.BUDGET_AGENT.keys() | settings.BUDGET_USER_DAY.keys()
    return bool(limits) if kind is None else kind in limits


def add(agent_id: str, events: Sequence[Event]) -> None:
    """In the transaction that commits `events`, which comes once."""
    used = _used(events)
    if not any(used.values()) or (whose := _whose(agent_id)) is None:
        return
    owner_id, definition = whose
    day = today()
    scopes = _scopes(agent_id, owner_id, day)
    for scope in sorted(scopes.values()):  # everybody in the same order: two could else wait for each other
        Spending.objects.get_or_create(scope=scope)
        Spending.objects.filter(scope=scope).update(**{kind: F(kind) + amount for kind, amount in used.items()})
    if steps := _steps(events):
        daily.add(owner_id, definition, day, steps)


def _steps(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [dict(event.data) for event in events if event.type == "usage"]


def _used(events: Sequence[Event]) -> dict[Kind, float]:
    steps = _steps(events)
    return {
        "tokens": sum(step["input_tokens"] + step["output_tokens"] for step in steps),
        "cost_usd": sum(step["cost_usd"] or 0 for step in steps),
        "model_calls": len(steps),
        "tool_calls": sum(event.type == "tool-call" for event in events),
        "wall_s": sum(_worked_s(event) for event in events if event.type == "done"),
    }


def _worked_s(done: Event) -> float:
    """Of a run that has ended, without what it waited for people's answers."""
    waits = Attempt.objects.filter(run_id=str(done.run_id)).values_list("waited_s", "waiting_since", Now())
    waited_s = sum(before + ((now - since).total_seconds() if since else 0) for before, since, now in waits)
    return max(0.0, float(done.data["duration_ms"] / 1000 - waited_s))


def shares(agent_id: str) -> list[Share]:
    """Of the site's budgets for this agent, and for its user today."""
    whose = _whose(agent_id)
    scopes = _scopes(agent_id, whose[0] if whose else None, today())
    rows = {row.scope: row for row in Spending.objects.filter(scope__in=scopes.values())}
    return [
        Share(name, kind, float(getattr(rows.get(scope), kind, 0)), limit)
        for name, scope in scopes.items()
        for kind, limit in _limits(name).items()
    ]


def _limits(scope: str) -> dict[str, Any]:
    limits: dict[str, Any] = settings.BUDGET_AGENT if scope == "agent" else settings.BUDGET_USER_DAY
    return limits


def _whose(agent_id: str) -> tuple[int, str] | None:
    """Owner and definition; None if it was deleted."""
    return Agent.objects.filter(pk=agent_id).values_list("owner_id", "definition").first()


def _scopes(agent_id: str, owner_id: int | None, day: str) -> dict[str, str]:
    return {"agent": f"agent:{agent_id}", "user-day": f"user:{owner_id}:{day}"}


def today() -> str:
    """By the database's clock, in UTC: workers' clocks may differ."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_DATE")
        return str(cursor.fetchone()[0])
