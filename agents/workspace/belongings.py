"""What an agent has on disk: its workspace, and the history of it. Synchronous."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from agents.workspace.directory import Workspace
from agents.workspace.history import History


def roots() -> Iterator[Path]:
    """Where they are; in each a directory is named by its agent's id."""
    yield Path(settings.WORKSPACES_DIR)
    yield Path(settings.HISTORY_DIR)


def remove(agent_id: str) -> bool:
    """Of an agent that was deleted. False if something is left: the sweep comes by again."""
    workspace, history = Workspace(agent_id), History(agent_id)
    workspace.remove_all()
    history.remove_all()
    return not (workspace.path.exists() or history.path.exists())
