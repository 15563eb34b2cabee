"""The agent page's panels of files and runs, from the folded state and from what `side` adds to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.models import Agent
from agents.pages import measures, tree
from agents.pages.conversation import can_continue
from agents.pages.side import RUNS_SHOWN
from streaming.events import FINAL
from streaming.fold import State


def of(agent: Agent, state: State, side: dict[str, Any] | None) -> dict[str, Any]:
    url = f"/agents/{agent.pk}/files/"
    marks, spent = (side["marks"], side["spent"]) if side else ({}, {})
    return {
        "side": side,
        "files": state["files"],
        "tree": tree.of(state["files"], url, marks),
        "tree_url": url,
        "runs": _runs(state, spent),
    }


def _runs(state: State, spent: dict[str, str]) -> list[dict[str, Any]]:
    """Newest first, as everywhere."""
    runs = list(enumerate(state["runs"], 1))[-RUNS_SHOWN:]
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
