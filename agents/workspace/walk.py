"""What is in a workspace: its regular files, without following anything."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

from agents.errors import NotFound
from agents.workspace.paths import DEPTH_MOST, PATH_MOST_BYTES, UPLOADING, directory, escape

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
    """A regular file. `path` is relative, with slashes, its names as agents.workspace.paths writes them; `size` in
    bytes."""

    path: str
    size: int
    modified_at: datetime
    identity: Identity


@dataclass(frozen=True, slots=True)
class Listing:
    """Sorted by path. Not `complete`: the workspace has more entries than anybody wanted to look at, or files that no
    path leads to."""

    entries: list[Entry]
    complete: bool


def entry_of(path: str, status: os.stat_result) -> Entry:
    modified_at = datetime.fromtimestamp(min(max(status.st_mtime, 0.0), _LATEST_S), UTC)
    identity = Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return Entry(path, status.st_size, modified_at, identity)


def walk(root: int, most: int) -> Listing:
    """Breadth first, so that what lies on top is listed whatever lies deep below. Looks at `most` names at most, and
    not at what is deeper, or has a longer path, than `components` allows."""
    found: list[Entry] = []
    waiting: deque[list[str]] = deque([[]])
    budget = _Budget(most)
    reached_all = True
    while waiting and budget.left:
        above = waiting.popleft()
        for name, status in _inside(root, above, budget):
            names = [*above, name]
            is_directory = stat.S_ISDIR(status.st_mode)
            if not (is_directory or stat.S_ISREG(status.st_mode)):
                continue
            if len(names) + is_directory > DEPTH_MOST or _length(names) > PATH_MOST_BYTES:
                reached_all = False
            elif is_directory:
                waiting.append(names)
            else:
                found.append(entry_of("/".join(map(escape, names)), status))
    complete = reached_all and not (waiting or budget.exhausted)
    return Listing(sorted(found, key=lambda entry: entry.path), complete)


def _length(names: Sequence[str]) -> int:
    return sum(len(os.fsencode(name)) for name in names) + len(names)


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
            if not found.name.startswith(UPLOADING):
                with contextlib.suppress(OSError):
                    yield found.name, found.stat(follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open regular file. Whoever gets it closes it."""

    file: BinaryIO
    entry: Entry
