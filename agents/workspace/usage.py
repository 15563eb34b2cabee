"""How much room a workspace takes, as the disk counts it: blocks, not lengths, so that holes cost nothing.

Every entry counts as one block at least, which bounds their number too. However deep the tree, one descriptor is open:
back up it goes by `..`, and by names from the top where the program has moved a directory meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field

from agents.errors import NotFound
from agents.workspace.paths import DIRECTORY, directory

ENTRY_BYTES = 4096
_STAT_BLOCK_BYTES = 512


@dataclass(slots=True)
class _Level:
    name: str
    identity: tuple[int, int]
    waiting: list[str] = field(default_factory=list)
    """Directories in it that were not looked into yet."""


def measure(root: int, enough_bytes: int) -> int:
    """Bytes of all that is beneath `root`. Stops looking when there are more than `enough_bytes`."""
    return _Walk(root, enough_bytes).total()


def taken_bytes(status: os.stat_result) -> int:
    """By one entry."""
    return max(ENTRY_BYTES, status.st_blocks * _STAT_BLOCK_BYTES)


class _Walk:
    def __init__(self, root: int, enough_bytes: int) -> None:
        self._root = root
        self._enough_bytes = enough_bytes
        self._bytes = 0
        self._linked: set[int] = set()
        """Files with several names, counted once."""
        self._levels: list[_Level] = []

    def total(self) -> int:
        fd = os.dup(self._root)
        try:
            self._enter(fd, "")
            while self._levels and self._bytes <= self._enough_bytes:
                waiting = self._levels[-1].waiting
                fd = self._down(fd, waiting.pop()) if waiting else self._up(fd)
        finally:
            os.close(fd)
        return self._bytes

    def _down(self, fd: int, name: str) -> int:
        try:
            below = os.open(name, DIRECTORY, dir_fd=fd)
        except OSError:  # gone, or not a directory any more
            return fd
        os.close(fd)
        self._enter(below, name)
        return below

    def _up(self, fd: int) -> int:
        self._levels.pop()
        if not self._levels:
            return fd
        with contextlib.suppress(OSError):
            above = os.open("..", DIRECTORY, dir_fd=fd)
            if _identity(os.fstat(above)) == self._levels[-1].identity:
                os.close(fd)
                return above
            os.close(above)
        return self._back_by_names(fd)

    def _back_by_names(self, fd: int) -> int:
        while len(self._levels) > 1:
            try:
                with directory(self._root, [level.name for level in self._levels[1:]]) as found:
                    above = os.dup(found)
            except NotFound:
                self._levels.pop()
                continue
            os.close(fd)
            return above
        os.close(fd)
        return os.dup(self._root)

    def _enter(self, fd: int, name: str) -> None:
        level = _Level(name, _identity(os.fstat(fd)))
        self._levels.append(level)
        with contextlib.suppress(OSError), os.scandir(fd) as scan:
            for found in scan:
                with contextlib.suppress(OSError):
                    self._count(found.stat(follow_symlinks=False))
                    if found.is_dir(follow_symlinks=False):
                        level.waiting.append(found.name)
                if self._bytes > self._enough_bytes:
                    return

    def _count(self, status: os.stat_result) -> None:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._linked:
                return
            self._linked.add(status.st_ino)
        self._bytes += taken_bytes(status)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
