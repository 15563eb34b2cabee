"""What an agent, and a user on a day, have used over all their runs. Synchronous; see streaming.database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F

from agents.budgets import daily
from agents.budgets.meter import Share
from agents.models import Agent, Spending
from streaming.events import Event


def is_limited() -> bool:
    """Has the site a budget for agents or users?"""
    return bool(settings.BUDGET_AGENT or settings.BUDGET_USER_DAY)


def add(agent_id: str, events: Sequence[Event]) -> None:
    """In the transaction that commits `events`, which comes once."""
    used = [event.data for event in events if event.type == "usage"]
    if not used or (whose := _whose(agent_id)) is None:
        return
    owner_id, definition = whose
    day = today()
    scopes = _scopes(agent_id, owner_id, day)
    for scope in sorted(scopes.values()):  # everybody in the same order: two could else wait for each other
        Spending.objects.get_or_create(scope=scope)
        Spending.objects.filter(scope=scope).update(
            tokens=F("tokens") + sum(step["input_tokens"] + step["output_tokens"] for step in used),
            cost_usd=F("cost_usd") + sum(step["cost_usd"] or 0 for step in used),
            model_calls=F("model_calls") + len(used),
        )
    daily.add(owner_id, definition, day, used)


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
