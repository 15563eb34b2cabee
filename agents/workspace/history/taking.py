"""A manifest of what is on disk now. Bounded: a run must not wait for its workspace to be read."""

from __future__ import annotations

from time import monotonic, time_ns
from typing import Protocol

from django.conf import settings

from agents.errors import NotFound
from agents.workspace.digests import DIGESTS, RACY_NS
from agents.workspace.directory import Workspace
from agents.workspace.errors import PathInvalid
from agents.workspace.history.manifest import Manifest, Record, is_untouched, record_of
from agents.workspace.history.objects import sha256_of
from agents.workspace.text import read_text
from agents.workspace.walk import Entry

TAKE_S = 1.0
"""Reading ends then; what is left has no content this time, and has it the next."""


class Keeper(Protocol):
    """Where contents go."""

    def has(self, sha256: str) -> bool: ...

    def keep(self, content: bytes, sha256: str) -> bool:
        """False if there is no room for it."""


def take(workspace: Workspace, known: Manifest | None, keeper: Keeper) -> Manifest:
    """What is untouched since `known` is not read again."""
    taken_at_ns = time_ns()
    listing = workspace.entries()
    taking = _Taking(workspace, known, keeper)
    # The small ones first: most of them fit.
    records = {entry.path: taking.record(entry) for entry in sorted(listing.entries, key=lambda entry: entry.size)}
    there = {path: record for path, record in sorted(records.items()) if record is not None}
    return Manifest(there, listing.complete, taken_at_ns)


class _Taking:
    def __init__(self, workspace: Workspace, known: Manifest | None, keeper: Keeper) -> None:
        self._workspace = workspace
        self._known = known
        self._keeper = keeper
        self._deadline = monotonic() + TAKE_S
        self._most_bytes = settings.HISTORY_FILE_KIB * 1024
        self._files_left = settings.HISTORY_FILES

    def record(self, entry: Entry) -> Record | None:
        """None if it is not there any more."""
        if entry.size > self._most_bytes:
            digest = DIGESTS.known(entry.identity)
            return record_of(entry, digest.sha256 if digest else None, "too-large")
        record = self._again(entry) or self._read(entry)
        if record is not None and record.reason is None:
            self._files_left -= 1
        return record

    def _again(self, entry: Entry) -> Record | None:
        """What was found the last time, if that still holds. Not for what was written just before we looked: it may
        have been written once more in the same tick of the kernel's clock."""
        known = self._known.records.get(entry.path) if self._known else None
        if self._known is None or known is None or known.sha256 is None:
            return None
        same = is_untouched(known, record_of(entry, None, None)) and self._known.taken_at_ns - known.ctime_ns > RACY_NS
        if not same or known.reason not in (None, "binary"):
            return None
        if known.reason is None and (self._files_left <= 0 or not self._keeper.has(known.sha256)):
            return None
        return known

    def _read(self, entry: Entry) -> Record | None:
        if self._files_left <= 0 or monotonic() > self._deadline:
            return record_of(entry, None, "not-kept")
        try:
            opened = self._workspace.open_file(entry.path)
        except (NotFound, PathInvalid):
            return None
        with opened.file:
            content = opened.file.read(self._most_bytes + 1)
        entry = opened.entry
        if len(content) > self._most_bytes:
            return record_of(entry, None, "too-large")
        sha256 = sha256_of(content)
        if read_text(content) is None:
            return record_of(entry, sha256, "binary")
        kept = self._keeper.has(sha256) or self._keeper.keep(content, sha256)
        return record_of(entry, sha256, None if kept else "not-kept")
