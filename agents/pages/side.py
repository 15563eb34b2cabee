"""What the agent page's side says that is not in the folded state: which files the latest run changed, what runs used.

The page asks for it again when files or runs have changed, until `seq` is not before that (static/agents/side.js).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.models import Agent, Run
from agents.pages import measures
from agents.workspace.history import History
from agents.workspace.history.manifest import Manifest
from agents.workspace.history.past import status_of

RUNS_SHOWN = 20
"""Of the latest runs; the others are on a page of their own."""
MARKS_MOST = 2000
NUMBERS_MOST = 100
"""Runs whose numbers are told: more than are shown, since those in the queue may be the latest."""


def of(agent: Agent, seq: int, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`marks`: path → added or modified, by the run that began last; `run` is which. `spent`: run id → tokens, cost.
    `numbers`: run id → number, of the latest runs.
    `seq`: of the last event that this takes into account; `files` are those of the state after it."""
    latest = agent.runs.exclude(started_at=None).order_by("-number").only("id", "number", "finished_at").first()
    marks = {} if latest is None else _marks(agent, latest, files)
    return {
        "seq": seq,
        "marks": dict(list(marks.items())[:MARKS_MOST]),
        "run": None if latest is None else {"id": str(latest.pk), "number": latest.number},
        **_of_runs(agent),
    }


def _marks(agent: Agent, run: Run, files: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    history = History(agent.pk)
    before = history.manifest(str(run.pk), "before")
    if before is None:
        return {}
    after = history.manifest(str(run.pk), "after") if run.is_finished else None
    found = {path: _status(before, after, path, file) for path, file in files.items()}
    return {path: status for path, status in sorted(found.items()) if status}


def _status(before: Manifest, after: Manifest | None, path: str, file: Mapping[str, Any]) -> str | None:
    """While the run goes on: between what was there before and what the log knows."""
    if after is not None:
        return status_of(before, after, path)
    record = before.records.get(path)
    if record is None:
        return "added" if before.complete else None
    same = record.sha256 == file["sha256"] if record.sha256 and file["sha256"] else record.size == file["size"]
    return None if same else "modified"


def _of_runs(agent: Agent) -> dict[str, Any]:
    rows = agent.runs.order_by("-number").values_list("id", "number", "usage")[:NUMBERS_MOST]
    return {
        "spent": {str(pk): words for pk, _, usage in rows[:RUNS_SHOWN] if usage and (words := measures.usage(usage))},
        "numbers": {str(pk): number for pk, number, _ in rows},
    }
