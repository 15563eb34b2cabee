"""The agent page's panels of files and runs, from the folded state and from what `side` adds to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.models import Agent
from agents.pages import measures, tree
from agents.pages.conversation import can_continue, is_handed_over
from agents.pages.side import RUNS_SHOWN
from streaming.events import FINAL
from streaming.fold import State


def of(agent: Agent, state: State, side: dict[str, Any] | None) -> dict[str, Any]:
    url = f"/agents/{agent.pk}/files/"
    side_or_nothing = side or {"marks": {}, "spent": {}, "numbers": {}}
    marks = side_or_nothing["marks"]
    return {
        "side": side,
        "files": state["files"],
        "tree": tree.of(state["files"], url, marks),
        "tree_url": url,
        "runs": _runs(state, side_or_nothing["spent"], side_or_nothing["numbers"]),
    }


def _runs(state: State, spent: dict[str, str], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """Those that have begun, newest first, as everywhere. One without a number has just begun, and is the last unless
    the queue was put into another order. A steering prompt is no run for a reader: it has never begun."""
    before = state["runs_total"] - len(state["queue"]) - len(state["runs"])
    numbered = [(numbers.get(run["id"], before + at), run) for at, run in enumerate(state["runs"], 1)]
    runs = [(number, run) for number, run in numbered if not is_handed_over(run)][-RUNS_SHOWN:]
    return [
        {
            "id": run["id"],
            "number": number,
            "status": run["status"],
            "started_at": datetime.fromisoformat(run["started_at"]) if run["started_at"] else None,
            "duration": measures.run_duration(run),
            "spent": spent.get(run["id"], ""),
            "is_over": run["status"] in FINAL and run["finished_at"] is not None,
            "can_continue": can_continue(run, state),
        }
        for number, run in reversed(runs)
    ]
