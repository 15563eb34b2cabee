"""The plan of a run as a checklist. The same as static/agents/plan.js."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SHOWN_ENTRIES = 100
MARKS = {"pending": "☐", "in_progress": "▸", "completed": "☑"}
WORDS = {"pending": "to do", "in_progress": "at it", "completed": "done"}


@dataclass(frozen=True, slots=True)
class Entry:
    content: str
    status: str
    mark: str
    word: str
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class Plan:
    entries: list[Entry]
    summary: str
    left_out: int
    is_open: bool


def of(plan: dict[str, Any] | None, run: dict[str, Any] | None) -> Plan | None:
    """`plan` of the folded state, where it is of `run`; open while that goes on."""
    if not plan or run is None or plan["run_id"] != run["id"] or not plan["entries"]:
        return None
    entries = plan["entries"]
    done = sum(entry["status"] == "completed" for entry in entries)
    shown = [
        Entry(one["content"], one["status"], MARKS[one["status"]], WORDS[one["status"]], one["priority"] == "high")
        for one in entries[:SHOWN_ENTRIES]
    ]
    omitted = plan.get("omitted_entries", 0)
    summary = f"Plan: {done} of {'the first ' if omitted else ''}{len(entries)} done"
    return Plan(shown, summary, len(entries) - len(shown) + omitted, run["finished_at"] is None)
