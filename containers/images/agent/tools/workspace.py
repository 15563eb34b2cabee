"""Where the files are."""

from __future__ import annotations

import os
from pathlib import Path

from .tool import ToolFailed


def root() -> Path:
    return Path(os.environ.get("WORKSPACE") or "/workspace")


def place(path: str) -> Path:
    """Relative paths are the workspace's. The container, not this, says what can be reached."""
    if "\0" in path:
        raise ToolFailed("A path has no zero bytes.")
    return root() / path
