"""Workspaces, and histories of them, whose agent is not there any more: its container was still writing when it was
deleted, the disk did not let us, or the database was restored from before it was made.

What is there of such an agent is first noted, and removed when it has been without an agent for WORKSPACE_GRACE_H: a
note is a file beside the workspaces, so the time goes on over restarts and is the same for all workers. Synchronous.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import structlog
from django.conf import settings

from agents.models import Agent
from agents.workspace import belongings

log = structlog.get_logger(__name__)
NOTES = ".unowned"
WORKSPACES_A_TURN = 20
"""Removed at once at most; the rest is for the next turn."""
ASKED_AT_ONCE = 1000


def sweep() -> int:
    """Note workspaces without an agent, remove those noted for long enough; answers how many. Raises DatabaseError,
    and then nothing was removed that should not be."""
    # Listed first, asked for after: an agent's row is there before its workspace is made.
    there = sorted(set(_there()))
    unowned = set(there) - _living(there)
    _forget(set(_noted()) - unowned)
    due = [agent_id for agent_id in sorted(unowned) if _is_due(agent_id)]
    removed = 0
    for agent_id in due[:WORKSPACES_A_TURN]:
        if _living([agent_id]):  # somebody has made it meanwhile, under an id that was there before
            continue
        if belongings.remove(agent_id):
            log.info("workspace without an agent removed", agent_id=agent_id)
            _forget({agent_id})
            removed += 1
    return removed


def _there() -> Iterator[str]:
    """Directories that are named as workspaces are; anything else in there is somebody else's."""
    for root in belongings.roots():
        with contextlib.suppress(FileNotFoundError):
            for path in root.iterdir():
                if _is_id(path.name) and path.is_dir() and not path.is_symlink():
                    yield path.name


def _living(agent_ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(agent_ids), ASKED_AT_ONCE):
        rows = Agent.objects.filter(pk__in=agent_ids[start : start + ASKED_AT_ONCE])
        found.update(str(pk) for pk in rows.values_list("pk", flat=True))
    return found


def _is_due(agent_id: str) -> bool:
    """Notes it when it is seen for the first time. By the clock of the disk: it is the same for all who look."""
    note = _notes() / agent_id
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        note.touch(exist_ok=False)
    with contextlib.suppress(FileNotFoundError):
        return time.time() - note.stat().st_mtime >= settings.WORKSPACE_GRACE_H * 3600
    return False


def _noted() -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [path.name for path in _notes().iterdir()]
    return []


def _forget(agent_ids: set[str]) -> None:
    for agent_id in agent_ids:
        (_notes() / agent_id).unlink(missing_ok=True)


def _notes() -> Path:
    return Path(settings.WORKSPACES_DIR) / NOTES


def _is_id(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return str(uuid.UUID(name)) == name
    return False
