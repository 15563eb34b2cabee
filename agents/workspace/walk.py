"""What is in a workspace: its regular files, without following anything."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from agents.errors import NotFound
from agents.workspace.paths import DEPTH_MOST, UPLOADING, directory, is_plain

_LATEST_S = 253_402_300_799.0  # the year 9999, the last that datetime knows


class Identity(NamedTuple):
    """Changes whenever the content does: unlike the modification time, the program can't set `ctime_ns` back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file. `path` is relative, with slashes; `size` in bytes."""

    path: str
    size: int
    modified_at: datetime
    identity: Identity


@dataclass(frozen=True, slots=True)
class Listing:
    """Sorted by path. Not `complete`: the workspace has more entries than anybody wanted to look at."""

    entries: list[Entry]
    complete: bool


def entry_of(path: str, status: os.stat_result) -> Entry:
    modified_at = datetime.fromtimestamp(min(max(status.st_mtime, 0.0), _LATEST_S), UTC)
    identity = Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return Entry(path, status.st_size, modified_at, identity)


def walk(root: int, most: int) -> Listing:
    """Breadth first, so that what lies on top is listed whatever lies deep below. Looks at `most` names at most.

    Names that are not printable UTF-8 are left out: they have no path that an event or a URL could carry.
    """
    found: list[Entry] = []
    waiting: deque[list[str]] = deque([[]])
    budget = _Budget(most)
    while waiting and budget.left:
        names = waiting.popleft()
        for name, status in _inside(root, names, budget):
            if stat.S_ISREG(status.st_mode):
                found.append(entry_of("/".join((*names, name)), status))
            elif stat.S_ISDIR(status.st_mode) and len(names) + 1 < DEPTH_MOST:
                waiting.append([*names, name])
    return Listing(sorted(found, key=lambda entry: entry.path), complete=not (waiting or budget.exhausted))


class _Budget:
    def __init__(self, most: int) -> None:
        self.left = most
        self.exhausted = False

    def take(self) -> bool:
        if not self.left:
            self.exhausted = True
            return False
        self.left -= 1
        return True


def _inside(root: int, names: list[str], budget: _Budget) -> Iterator[tuple[str, os.stat_result]]:
    """What may be listed of one directory. Whatever vanishes, or is swapped for something else, is not there."""
    with contextlib.suppress(OSError, NotFound), directory(root, names) as fd, os.scandir(fd) as scan:
        for found in scan:
            if not budget.take():
                return
            if is_plain(found.name) and not found.name.startswith(UPLOADING):
                with contextlib.suppress(OSError):
                    yield found.name, found.stat(follow_symlinks=False)
