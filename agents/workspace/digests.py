"""SHA-256 of files, once per content: remembered by what the kernel says of a file (`Identity`)."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from threading import Lock
from time import time_ns
from typing import BinaryIO, NamedTuple

from agents.workspace.walk import Identity, entry_of

READ_BYTES = 1024 * 1024
REMEMBERED = 50_000
RACY_NS = 100_000_000
"""A file written so shortly before may be written again in the same tick of the kernel's clock, and look the same."""


class Digest(NamedTuple):
    """`size` is the number of bytes behind `sha256`: a file may grow while it is read."""

    sha256: str
    size: int


class Digests:
    """Shared by all workspaces of a process; the oldest are forgotten first. Safe to use from threads."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[Identity, str] = OrderedDict()
        self._lock = Lock()

    def known(self, identity: Identity) -> Digest | None:
        with self._lock:
            sha256 = self._known.get(identity)
            if sha256 is None:
                return None
            self._known.move_to_end(identity)
            return Digest(sha256, identity.size)

    def read(self, file: BinaryIO, max_bytes: int) -> Digest | None:
        """Hash an open file; None if it turns out larger than `max_bytes`."""
        before = entry_of("", os.fstat(file.fileno())).identity
        sha256, size = hashlib.sha256(), 0
        while chunk := file.read(READ_BYTES):
            sha256.update(chunk)
            size += len(chunk)
            if size > max_bytes:
                return None
        digest = Digest(sha256.hexdigest(), size)
        if entry_of("", os.fstat(file.fileno())).identity == before and time_ns() - before.ctime_ns > RACY_NS:
            self._remember(before, digest.sha256)
        return digest

    def _remember(self, identity: Identity, sha256: str) -> None:
        with self._lock:
            self._known[identity] = sha256
            while len(self._known) > self._most:
                self._known.popitem(last=False)


DIGESTS = Digests()
