"""A workspace as a manifest has it, copied into a new one: from the contents that were kept, and from the files on disk
that have not changed since. Their modes are not kept, nor are directories without files, or links."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from agents.errors import NotFound
from agents.workspace.directory import Workspace
from agents.workspace.errors import FileTooLarge, PathInvalid, WorkspaceNotKept
from agents.workspace.history.manifest import Manifest, Record, is_untouched, record_of
from agents.workspace.history.store import History
from agents.workspace.room import refuse_low_disk
from agents.workspace.walk import Entry

PIECE_BYTES = 1024 * 1024
NAMED_MOST = 20
"""Paths that an error names."""


def copy_as_it_was(
    manifest: Manifest, history: History, source: Workspace, target: Workspace
) -> dict[str, dict[str, Any]]:
    """All files of `manifest` into `target`, which is empty; answers their size and SHA-256 as a log knows them.

    Raises WorkspaceNotKept before anything is written where some of them are not there as they were, and while they are
    copied if one changes meanwhile; DiskFull; WorkspaceMissing for the source.
    """
    source.check()
    refuse_low_disk(sum(record.size for record in manifest.records.values()))
    copying = _Copying(history, source)
    lost = [path for path, record in manifest.records.items() if not copying.can(path, record)]
    if lost or not manifest.complete:
        raise _not_kept(lost)
    return {path: copying.copy(path, record, target) for path, record in manifest.records.items()}


class _Copying:
    def __init__(self, history: History, source: Workspace) -> None:
        self._history = history
        self._source = source

    def can(self, path: str, record: Record) -> bool:
        """By what is cheap to know: contents are looked at when they are copied."""
        if record.sha256 is not None and record.sha256 in self._history.objects:
            return True
        entry = self._entry(path)
        if entry is None or entry.size != record.size:
            return False
        return record.sha256 is not None or is_untouched(record, record_of(entry, None, None))

    def copy(self, path: str, record: Record, target: Workspace) -> dict[str, Any]:
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for piece in self._content(path, record):
                digest.update(piece)
                yield piece
            if record.sha256 not in (None, digest.hexdigest()):
                raise _not_kept([path])

        try:
            entry = target.write_file(path, hashed(), record.size)
        except FileTooLarge:
            raise _not_kept([path]) from None
        if entry.size != record.size:
            raise _not_kept([path])
        sha256 = digest.hexdigest() if entry.size <= settings.HASH_MAX_BYTES else None
        return {"size": entry.size, "sha256": sha256}

    def _content(self, path: str, record: Record) -> Iterator[bytes]:
        if record.sha256 is not None and (content := self._history.objects.get(record.sha256)) is not None:
            yield content
            return
        try:
            opened = self._source.open_file(path)
        except (NotFound, PathInvalid):
            raise _not_kept([path]) from None
        with opened.file:
            while piece := opened.file.read(PIECE_BYTES):
                yield piece
        entry = self._entry(path)
        if record.sha256 is None and not (entry and is_untouched(record, record_of(entry, None, None))):
            raise _not_kept([path])

    def _entry(self, path: str) -> Entry | None:
        """What is on disk now."""
        try:
            opened = self._source.open_file(path)
        except (NotFound, PathInvalid):
            return None
        opened.file.close()
        return opened.entry


def _not_kept(paths: list[str]) -> WorkspaceNotKept:
    named = ", ".join(paths[:NAMED_MOST]) + (" …" if len(paths) > NAMED_MOST else "")
    problem = f"the workspace was not kept as it was then: {named or 'it had too many files'}"
    return WorkspaceNotKept(problem, **({"paths": paths[:NAMED_MOST]} if paths else {}))
