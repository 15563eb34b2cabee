"""The writer's way into the database, under a test's control."""

from __future__ import annotations

from streaming.errors import JournalUnavailable
from streaming.store import journal
from streaming.store.journal import Commit


class Commits:
    """Counts commits, and lets them fail."""

    def __init__(self) -> None:
        self.tried: list[Commit] = []
        self.failing = False
        self._commit = journal.commit

    def __call__(self, write: Commit) -> None:
        self.tried.append(write)
        if self.failing:
            raise JournalUnavailable("away")
        self._commit(write)
