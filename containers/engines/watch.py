"""Being told when files in a directory change: one inotify instance for all directories (a user may have only 128)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL_S = 0.025
"""Where there is no inotify (or its limits are reached), every directory is looked at this often."""
RECHECK_S = 1.0
"""Changes are looked for this often even if none was told."""

_MODIFY, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x2, 0x80, 0x100, 0x200, 0x400, 0x800
_MASK = _MODIFY | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_EVENT = struct.Struct("iIII")
_BUFFER_BYTES = 65536


class Changes:
    """Changes of one directory, for one watcher. `forget`, then look, then `wait`: no change between is missed."""

    def __init__(self, recheck_s: float) -> None:
        self._recheck_s = recheck_s
        self.happened = asyncio.Event()

    def forget(self) -> None:
        self.happened.clear()

    async def wait(self) -> bool:
        """False if nothing was told, but it is time to look."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._recheck_s):
                await self.happened.wait()
                return True
        return False


class Watcher:
    """Bound to the event loop that first uses it."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._watched: dict[int, set[Changes]] = {}

    @contextmanager
    def watch(self, directory: Path) -> Iterator[Changes]:
        number = self._add(directory)
        changes = Changes(POLL_S if number is None else RECHECK_S)
        if number is None:
            yield changes
            return
        self._watched.setdefault(number, set()).add(changes)
        try:
            yield changes
        finally:
            self._release(number, changes)

    def close(self) -> None:
        if self._fd is not None and self._fd >= 0:
            with suppress(RuntimeError):  # no loop any more: it has forgotten the reader with itself
                asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
        self._fd = None
        self._watched.clear()

    def _add(self, directory: Path) -> int | None:
        if self._fd is None:
            self._fd = _libc("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
            if self._fd >= 0:
                asyncio.get_running_loop().add_reader(self._fd, self._read)
        if self._fd < 0:
            return None
        number = _libc("inotify_add_watch", self._fd, os.fsencode(directory), _MASK)
        return number if number >= 0 else None

    def _release(self, number: int, changes: Changes) -> None:
        watching = self._watched.get(number, set())
        watching.discard(changes)
        if not watching and self._watched.pop(number, None) is not None and self._fd is not None:
            _libc("inotify_rm_watch", self._fd, number)

    def _read(self) -> None:
        if self._fd is None:
            return
        try:
            events = os.read(self._fd, _BUFFER_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            number, _, _, name_bytes = _EVENT.unpack_from(events, at)
            at += _EVENT.size + name_bytes
            # -1: the kernel's queue was full, and anything may have changed.
            told = self._watched.get(number, set()) if number >= 0 else set().union(*self._watched.values())
            for changes in told:
                changes.happened.set()


def _libc(function: str, *arguments: object) -> int:
    """-1 on any error, also where there is no such function."""
    try:
        return int(getattr(ctypes.CDLL(None), function)(*arguments))
    except AttributeError:
        return -1
