"""The process table, by the kernel's word (Linux): what belongs to a data directory, and who started whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ZOMBIE = "Z"


def of(data: Path) -> list[int]:
    """All that were started for this data directory: its children, what those started, and programs of agents."""
    return [pid for pid in _all() if _belongs(pid, str(data))]


def children_of(parent: int) -> dict[str, int]:
    """Name of the child → process id: `web` of `… -m agentsite web`, `redis` of redis-server."""
    return {_name(pid): pid for pid in _all() if _parent(pid) == parent}


def environment_of(pid: int) -> dict[str, str]:
    """As the process was started."""
    pairs = _read(pid, "environ").decode(errors="replace").rstrip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _all() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _belongs(pid: int, data: str) -> bool:
    """By its environment, its command line or its directory: Redis overwrites its environment, and setsid leads out of
    every process group."""
    if (stat := _stat(pid)) is None or stat[0] == ZOMBIE:
        return False
    said = _read(pid, "cmdline").split(b"\0") + _read(pid, "environ").split(b"\0")
    with suppress(OSError):
        said.append(os.fsencode(Path(f"/proc/{pid}/cwd").readlink()))
    return any(data.encode() in part for part in said)


def _name(pid: int) -> str:
    words = _read(pid, "cmdline").decode(errors="replace").rstrip("\0").split("\0")
    return "redis" if "redis-server" in words[0] else words[-1]


def _parent(pid: int) -> int | None:
    stat = _stat(pid)
    return int(stat[1]) if stat and stat[0] != ZOMBIE else None


def _stat(pid: int) -> list[str] | None:
    """Its state, its parent and what follows (proc(5)); the name before may hold anything."""
    text = _read(pid, "stat").decode(errors="replace")
    return text.rpartition(")")[2].split() or None


def _read(pid: int, what: str) -> bytes:
    """Empty if it has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""
