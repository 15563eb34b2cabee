"""In which runs a file changed: from the manifests, without reading any content."""

from __future__ import annotations

import uuid
from time import monotonic
from typing import Literal, NamedTuple

from agents.workspace.history.manifest import Manifest, is_same
from agents.workspace.history.store import History

RUNS_MOST = 20
"""Runs that are looked at, the newest first."""
LOOK_S = 0.5
"""Looking ends then: manifests of large workspaces take a while to read."""
Status = Literal["added", "modified", "deleted"]


class Change(NamedTuple):
    run_id: str
    status: Status


def changes_of(agent_id: str | uuid.UUID, path: str) -> list[Change]:
    """The newest first. Raises OSError."""
    history = History(agent_id)
    deadline = monotonic() + LOOK_S
    found = []
    for run_id in reversed(history.runs()[-RUNS_MOST:]):
        before, after = history.manifest(run_id, "before"), history.manifest(run_id, "after")
        if before and after and (status := status_of(before, after, path)):
            found.append(Change(run_id, status))
        if monotonic() > deadline:
            break
    return found


def status_of(before: Manifest, after: Manifest, path: str) -> Status | None:
    old, new = before.records.get(path), after.records.get(path)
    if old is None or new is None:
        if old is new or not (before.complete and after.complete):
            return None
        return "added" if old is None else "deleted"
    return None if is_same(old, new) else "modified"
