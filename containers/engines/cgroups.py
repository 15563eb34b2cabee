"""Control groups for programs without a container engine: where they can be had, and what is written to them.

The nearest group at or above our own in which we may make one, for each controller by itself: version 2 where it is
delegated to us (systemd's `Delegate=yes`) or we are root, version 1 where we are root. There is none in many places;
what is not limited then is said by the engine's `check`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from containers.spec import Limits

CONTROLLERS = {"memory": "memory", "pids": "processes", "cpu": "CPUs"}
"""Names for people."""
CPU_PERIOD_US = 100_000
MONITOR_PIDS = 1
"""bwrap's process outside of the namespaces: in the group, and not the program's."""


class Mount(NamedTuple):
    version: int
    root: str
    """The group that is mounted here."""
    at: Path


class Home(NamedTuple):
    """Where groups of one controller are made."""

    version: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Groups:
    homes: Mapping[str, Home]

    @property
    def missing(self) -> list[str]:
        """What is not limited here, for people."""
        return [said for controller, said in CONTROLLERS.items() if controller not in self.homes]

    def of(self, name: str, limits: Limits) -> dict[str, dict[str, str]]:
        """The groups of one program, as confinement.py makes them: directory → {file: value}."""
        found: dict[str, dict[str, str]] = {}
        for controller, home in self.homes.items():
            found.setdefault(str(home.directory / name), {}).update(_values(controller, home, limits))
        return found


def find_groups(process: Path = Path("/proc/self")) -> Groups:
    """`process`: whose groups and mounts are looked at."""
    mounts, ours = _mounts(process), _groups_of(process)
    homes = {}
    for controller in CONTROLLERS:
        for name in (controller, ""):  # version 2 has all controllers in one hierarchy, without a name
            if name in mounts and name in ours and (home := _home(controller, mounts[name], ours[name])):
                homes[controller] = home
                break
    return Groups(homes)


def _home(controller: str, mount: Mount, ours: str) -> Home | None:
    for directory in _upwards(mount, ours):
        ours_to_use = os.access(directory, os.W_OK | os.X_OK) and os.access(directory / "cgroup.procs", os.W_OK)
        if ours_to_use and (mount.version == 1 or _is_enabled(controller, directory)):
            return Home(mount.version, directory)
    return None


def _upwards(mount: Mount, ours: str) -> Iterator[Path]:
    """Our own group and those above it, as far as they are mounted."""
    path = mount.at / os.path.relpath(ours, mount.root)
    if not path.is_relative_to(mount.at) or ".." in path.parts or not path.is_dir():
        path = mount.at  # mounted from outside of our namespace
    while path != mount.at:
        yield path
        path = path.parent
    yield path


def _is_enabled(controller: str, directory: Path) -> bool:
    """For groups made in `directory`. The kernel refuses it where processes are in the group itself."""
    control = directory / "cgroup.subtree_control"
    try:
        if controller not in (directory / "cgroup.controllers").read_text().split():
            return False
        if controller not in control.read_text().split():
            control.write_text(f"+{controller}")
    except OSError:
        return False
    return True


def _values(controller: str, home: Home, limits: Limits) -> dict[str, str]:
    """In the order in which they have to be written."""
    quota_us = str(int(limits.cpus * CPU_PERIOD_US))
    memory, pids = str(limits.memory_bytes), str(limits.pids + MONITOR_PIDS)
    if controller == "pids":
        return {"pids.max": pids}
    if home.version == 2:
        if controller == "cpu":
            return {"cpu.max": f"{quota_us} {CPU_PERIOD_US}"}
        return {"memory.max": memory, "memory.swap.max": "0"}
    if controller == "cpu":
        return {"cpu.cfs_period_us": str(CPU_PERIOD_US), "cpu.cfs_quota_us": quota_us}
    return {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}


def _mounts(process: Path) -> dict[str, Mount]:
    """By controller; version 2 by an empty name. See proc_pid_mountinfo(5)."""
    found = {}
    for line in _lines(process / "mountinfo"):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, at = fields.split()[3:5]
        if kind == "cgroup2":
            found[""] = Mount(2, root, Path(at))
        elif kind == "cgroup":
            for option in options.split(","):
                if option in CONTROLLERS:
                    found[option] = Mount(1, root, Path(at))
    return found


def _groups_of(process: Path) -> dict[str, str]:
    """Likewise. See cgroups(7)."""
    found: dict[str, str] = {}
    for line in _lines(process / "cgroup"):
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
