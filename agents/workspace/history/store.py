"""`History`: what one agent's workspace was before and after its runs.

    <HISTORY_DIR>/<agent id>/objects/<sha256>       contents of files, and manifests
    <HISTORY_DIR>/<agent id>/runs/<run id>.before   the SHA-256 of a manifest; .after likewise

A manifest is written once: whoever takes a run over finds that of the first worker, and one who comes late changes
nothing. All of it together stays under HISTORY_MIB and RUNS_MOST: the oldest runs go first. There is no lock, since a
worker that stands still would hold it: two at once, which takes a worker that has lost its lease, may drop what the
other has just kept, and then that is said to be not kept.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from collections import Counter
from pathlib import Path
from typing import Literal

import structlog
from django.conf import settings

from agents.workspace.directory import Workspace
from agents.workspace.history.manifest import Manifest, decode
from agents.workspace.history.objects import Objects, is_object
from agents.workspace.history.taking import take
from agents.workspace.removal import empty

log = structlog.get_logger(__name__)
Moment = Literal["before", "after"]
RUNS_MOST = 500
"""Runs of one agent whose manifests are kept."""
MADE_ROOM = 0.75
"""How full it may be when room has been made: so that not every run has to make some."""


class History:
    def __init__(self, agent_id: str | uuid.UUID) -> None:
        self.path = Path(settings.HISTORY_DIR) / str(uuid.UUID(str(agent_id)))
        self.objects = Objects(self.path / "objects")
        self._runs = self.path / "runs"

    def keep(self, run_id: str, moment: Moment, workspace: Workspace) -> None:
        """Keep what is there now as what was before or after that run, unless that is kept already. After a run of
        which nothing was kept before, nothing is. Raises OSError."""
        most_bytes = settings.HISTORY_MIB * 1024 * 1024
        if not most_bytes or self._file(run_id, moment).exists():
            return
        if moment == "after" and not self._file(run_id, "before").exists():
            return
        self._create()
        room = _Room(self, run_id, most_bytes)
        manifest = take(workspace, self.newest(run_id), room)
        encoded = manifest.encode()
        if not room.make(len(encoded)):
            log.warning("no room to keep which files there were", run_id=run_id, moment=moment, bytes=len(encoded))
            return
        self._note(run_id, moment, self.objects.put(encoded))

    def manifest(self, run_id: str, moment: Moment) -> Manifest | None:
        """None if it was never kept, or was dropped."""
        sha256 = self._noted(run_id, moment)
        encoded = self.objects.get(sha256) if sha256 else None
        return decode(encoded) if encoded is not None else None

    def forget(self, run_ids: set[str]) -> None:
        """Drop what is kept of these runs. Raises OSError."""
        if run_ids.intersection(self.runs()):
            self._collect(run_ids, most_bytes=None)

    def remove_all(self) -> None:
        """What the system does not let us remove is left, and logged."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                empty(fd)
            finally:
                os.close(fd)
            self.path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("history not removed", path=str(self.path), error=str(error))

    def runs(self) -> list[str]:
        """Those of which anything is kept, the oldest first (ids are in the order in which they were made)."""
        with contextlib.suppress(FileNotFoundError):
            return sorted({path.stem for path in self._runs.iterdir() if path.suffix in (".before", ".after")})
        return []

    def make_room(self, run_id: str, fresh: set[str], most_bytes: int) -> int:
        """Drop the oldest runs but this one, and what nobody needs then; answers how many bytes are left in use. What
        is `fresh` will be needed by a manifest that is being made."""
        return self._collect(set(), int(most_bytes * MADE_ROOM), spare=run_id, fresh=fresh)

    def _collect(
        self, gone: set[str], most_bytes: int | None, *, spare: str = "", fresh: set[str] | frozenset[str] = frozenset()
    ) -> int:
        sizes = self.objects.sizes()
        needs = {run_id: self._needs(run_id) for run_id in self.runs()}
        users = Counter(sha256 for needed in needs.values() for sha256 in needed)
        users.update(fresh)
        used = sum(sizes.get(sha256, 0) for sha256 in users)
        left = len(needs)
        for run_id, needed in needs.items():
            too_much = most_bytes is not None and (used > most_bytes or left > RUNS_MOST * MADE_ROOM)
            if run_id == spare or not (run_id in gone or too_much):
                continue
            for moment in ("before", "after"):
                self._file(run_id, moment).unlink(missing_ok=True)
            users.subtract(needed)
            used -= sum(sizes.get(sha256, 0) for sha256 in needed if not users[sha256])
            left -= 1
        self.objects.drop(name for name in sizes if not is_object(name) or users[name] <= 0)
        return used

    def _needs(self, run_id: str) -> set[str]:
        needed: set[str] = set()
        for moment in ("before", "after"):
            sha256 = self._noted(run_id, moment)
            manifest = self.manifest(run_id, moment)
            if sha256 and manifest:
                needed |= {sha256, *manifest.contents()}
        return needed

    def newest(self, run_id: str | None = None) -> Manifest | None:
        """Of this run, else of the newest that has one."""
        for other in (*([run_id] if run_id else []), *reversed(self.runs()[-2:])):
            manifest = self.manifest(other, "after") or self.manifest(other, "before")
            if manifest is not None:
                return manifest
        return None

    def _create(self) -> None:
        for directory in (self.path.parent, self.path, self._runs, self.path / "objects"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self, run_id: str, moment: Moment) -> Path:
        return self._runs / f"{uuid.UUID(run_id)}.{moment}"

    def _noted(self, run_id: str, moment: Moment) -> str | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            noted = self._file(run_id, moment).read_text()
            return noted if is_object(noted) else None
        return None

    def _note(self, run_id: str, moment: Moment, sha256: str) -> None:
        """The first one stays: a link, unlike a rename, replaces nothing."""
        temporary = self._runs / f"{secrets.token_hex(8)}.part"
        try:
            temporary.write_text(sha256)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self._file(run_id, moment))
        finally:
            temporary.unlink(missing_ok=True)


class _Room:
    """The room for one manifest and its contents. Makes some at most once."""

    def __init__(self, history: History, run_id: str, most_bytes: int) -> None:
        self._history = history
        self._run_id = run_id
        self._most_bytes = most_bytes
        self._sizes = history.objects.sizes()
        self._used = sum(self._sizes.values())
        self._fresh: set[str] = set()
        self._made = False
        if len(history.runs()) > RUNS_MOST:
            self._make()

    def has(self, sha256: str) -> bool:
        if sha256 not in self._history.objects:
            return False
        self._fresh.add(sha256)
        return True

    def keep(self, content: bytes, sha256: str) -> bool:
        if not self.make(len(content)):
            return False
        try:
            self._history.objects.put(content)
        except OSError as error:
            log.warning("content not kept", run_id=self._run_id, error=str(error))
            return False
        self._fresh.add(sha256)
        self._used += len(content)
        return True

    def make(self, size: int) -> bool:
        if self._used + size > self._most_bytes and not self._made:
            self._make()
        return self._used + size <= self._most_bytes

    def _make(self) -> None:
        self._made = True
        self._used = self._history.make_room(self._run_id, self._fresh, self._most_bytes)
