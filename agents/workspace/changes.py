"""What is different between a workspace and what its agent's log knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from agents.errors import NotFound
from agents.workspace.digests import Digest, Digests
from agents.workspace.errors import PathInvalid
from agents.workspace.walk import Entry, Identity, Listing, OpenFile

HASHED_FILES_WORTH = 4
"""Files of HASH_MAX_BYTES that one comparison reads at most."""


@dataclass(frozen=True, slots=True)
class Change:
    """As in a `files` event: `size` in bytes, `sha256` None for a deleted or a very large file."""

    path: str
    change: Literal["added", "modified", "deleted"]
    size: int = 0
    sha256: str | None = None


class Comparison:
    """One comparison. `seen` is kept from one to the next: it tells when a file too large to be hashed has changed."""

    def __init__(
        self,
        known: Mapping[str, Mapping[str, Any]],
        listing: Listing,
        seen: dict[str, Identity],
        open_file: Callable[[str], OpenFile],
        digests: Digests,
    ) -> None:
        self._known = known
        self._listing = listing
        self._seen = seen
        self._open_file = open_file
        self._digests = digests
        self._left_bytes = settings.HASH_MAX_BYTES * HASHED_FILES_WORTH

    def changes(self) -> list[Change]:
        found = [change for entry in self._listing.entries if (change := self._compare(entry)) is not None]
        found += [Change(path, "deleted") for path in self._gone()]
        return sorted(found, key=lambda change: change.path)

    def _compare(self, entry: Entry) -> Change | None:
        known = self._known.get(entry.path)
        before, self._seen[entry.path] = self._seen.get(entry.path), entry.identity
        if entry.size > settings.HASH_MAX_BYTES:
            same = known is not None and known["size"] == entry.size and before in (None, entry.identity)
            return None if same else _change(known, entry.path, entry.size, None)
        digest = self._digest(entry)
        if digest is None or known == {"size": digest.size, "sha256": digest.sha256}:
            return None
        return _change(known, entry.path, digest.size, digest.sha256)

    def _digest(self, entry: Entry) -> Digest | None:
        """None: not now. The file has gone, is growing beyond the limit, or enough has been read for one time."""
        digest = self._digests.known(entry.identity)
        if digest is not None or entry.size > self._left_bytes:
            return digest
        self._left_bytes -= entry.size
        try:
            opened = self._open_file(entry.path)
        except (NotFound, PathInvalid):
            return None
        with opened.file:
            return self._digests.read(opened.file, settings.HASH_MAX_BYTES)

    def _gone(self) -> list[str]:
        """Known paths that are no files any more. What a cut-off listing does not have is looked at by itself."""
        there = {entry.path for entry in self._listing.entries}
        missing = [path for path in self._known if path not in there]
        if not self._listing.complete:
            missing = [path for path in missing if not self._exists(path)]
        for path in missing:
            self._seen.pop(path, None)
        return missing

    def _exists(self, path: str) -> bool:
        try:
            self._open_file(path).file.close()
        except (NotFound, PathInvalid):
            return False
        return True


def _change(known: Mapping[str, Any] | None, path: str, size: int, sha256: str | None) -> Change:
    return Change(path, "added" if known is None else "modified", size, sha256)
