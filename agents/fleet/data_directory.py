"""Whether this process has the data directory that the database knows, and not an empty one or another host's.

A file in the data directory holds a random id, and so does a row of the database. The first process to look makes both.
A process that starts with another data directory is refused: it would see workspaces without files. Synchronous.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from django.conf import settings

from agents.fleet.hosts import read_or_make
from agents.models import DataDirectory

MARKER_FILE = "data-dir-id"


class WrongDataDirectory(Exception):
    """The message says what to do."""


def verify() -> None:
    """Raises WrongDataDirectory; OSError; DatabaseError."""
    path = Path(settings.DATA_DIR) / MARKER_FILE
    known = DataDirectory.objects.filter(pk=DataDirectory.ONLY).first()
    if known is None:
        known, _ = DataDirectory.objects.get_or_create(pk=DataDirectory.ONLY, defaults={"marker": read_or_make(path)})
    found = None
    with contextlib.suppress(FileNotFoundError):
        found = path.read_text().strip()
    if found == known.marker:
        return
    problem = f"has no {MARKER_FILE}" if found is None else f"is another one ({MARKER_FILE} says {found})"
    raise WrongDataDirectory(
        f"{settings.DATA_DIR} is not the data directory of this database: it {problem}. All hosts of a site share one: "
        f"mount it here, or set AGENTSITE_DATA_DIR. If its files were restored here, write {known.marker} into {path}"
    )
