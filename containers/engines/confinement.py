"""What a recorder puts round a program that is confined: control groups, mounts that only root can make, and its user.

Loaded by recorder.py, beside which it lies, and like it made of few imports and nothing of this package. What is to be
done stands in spec.json; see bwrap.py and cgroups.py, which write it:

    cgroups   directory → {file: value}: made by the recorder before the program, removed after it
    stage     [kind, what, name]: what the program's user could not reach (bind, path) or mount (tmpfs, options), put
              beneath STAGE in a mount namespace of its own; only root has one
    user      uid, gid: who the program is; only root can give it
"""

# ruff: noqa: PTH102, PTH103, PTH106, PTH110, PTH118, PTH123
from __future__ import annotations

import ctypes
import errno
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STAGE = "/tmp"
"""Covered in the mount namespace of one program. Every machine has it, and everybody may go through it."""
IF_THERE = ("memory.swap.max", "memory.memsw.limit_in_bytes")
"""Kernels that do not account for swap have no such files."""
REMOVED_WITHIN_S, PAUSE_S = 2.0, 0.01
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000


def make_groups(groups: dict[str, dict[str, str]]) -> None:
    """Raises OSError if one cannot be had as it is wanted: a program never runs with fewer limits than were said."""
    for path, values in groups.items():
        os.makedirs(path, exist_ok=True)
        for name, value in values.items():
            file = os.path.join(path, name)
            if name in IF_THERE and not os.path.exists(file):
                continue
            try:
                _write(file, value)
            except OSError as error:
                reason = f"{error.strerror} (writing {value} to {name} of its control group)"
                raise OSError(error.errno, reason) from None


def join_groups(groups: dict[str, dict[str, str]]) -> None:
    for path in groups:
        _write(os.path.join(path, "cgroup.procs"), "0")


def was_out_of_memory(groups: dict[str, dict[str, str]]) -> bool:
    """Whether the kernel has killed anything in them for memory."""
    for path in groups:
        for name in ("memory.events", "memory.oom_control"):
            for line in _lines(os.path.join(path, name)):
                if line.startswith("oom_kill ") and int(line.split()[1]):
                    return True
    return False


def remove_groups(groups: dict[str, dict[str, str]]) -> None:
    """Nothing is left running in them, but what was just killed may take a moment to be gone."""
    end = time.monotonic() + REMOVED_WITHIN_S
    for path in groups:
        while True:
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno == errno.EBUSY and time.monotonic() < end:
                    time.sleep(PAUSE_S)
                    continue
            break


def build_stage(places: list[list[str]]) -> None:
    """In the forked child: its mounts are nobody else's, and end with it."""
    _call("unshare", CLONE_NEWNS)
    _mount("none", "/", None, MS_REC | MS_PRIVATE, None)
    # Opened before the stage covers what they may lie beneath.
    sources = [os.open(what, os.O_PATH | os.O_CLOEXEC) if kind == "bind" else -1 for kind, what, _ in places]
    _mount("tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for (kind, what, name), source in zip(places, sources, strict=True):
        target = os.path.join(STAGE, name)
        if kind == "bind":
            _make_like(source, target)
            _mount(f"/proc/self/fd/{source}", target, None, MS_BIND | MS_REC, None)
            os.close(source)
        else:
            os.mkdir(target)
            _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, what)


def _make_like(source: int, target: str) -> None:
    """Something to mount on: a directory on a directory, a file on a file."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _mount(what: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (what, target, kind, options)]
    _call("mount", *words[:3], ctypes.c_ulong(flags), words[3])


def _call(function: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().splitlines()
    except OSError:
        return []
