"""What was used of each model on each day, for overviews. Synchronous; see streaming.store.database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import F

from agents.models import DailyUse

MODELS_MOST = 50
"""Of one user, definition and day. A program that reports its own use may name as many as it likes."""
OTHERS = "other models"
NAME_CHARS = 200


def add(owner_id: int, definition: str, day: str, used: Iterable[Mapping[str, Any]]) -> None:
    """`used`: the data of `usage` events."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for step in used:
        steps.setdefault(str(step["model"] or "unnamed")[:NAME_CHARS], []).append(step)
    mine = DailyUse.objects.filter(owner=owner_id, definition=definition, day=day)
    for model in sorted(steps):  # everybody in the same order: two could else wait for each other
        if not mine.filter(model=model).exists():
            model_name = model if mine.count() < MODELS_MOST else OTHERS
            DailyUse.objects.get_or_create(owner_id=owner_id, definition=definition, day=day, model=model_name)
        else:
            model_name = model
        _count(mine.filter(model=model_name), steps[model])


def _count(row: Any, used: list[Mapping[str, Any]]) -> None:
    row.update(
        tokens=F("tokens") + sum(step["input_tokens"] + step["output_tokens"] for step in used),
        cost_usd=F("cost_usd") + sum(step["cost_usd"] or 0 for step in used),
        model_calls=F("model_calls") + len(used),
        unpriced_calls=F("unpriced_calls") + sum(step["cost_usd"] is None for step in used),
    )
