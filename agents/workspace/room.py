"""Room for more: the free space of the disk, and a lock by which uploads measure a workspace one after another."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from agents.workspace.errors import DiskFull
from containers.spec import MIB

LOCKS = 256
"""Lock files of all agents together: with one for each they would have to be removed with their agents."""


def refuse_low_disk(more_bytes: int = 0) -> None:
    """Raises DiskFull if the workspaces' disk would have less than MIN_FREE_MIB left with `more_bytes` on it.

    A full disk stops the database and everybody's runs, so uploads and new runs end before that.
    """
    place = Path(settings.WORKSPACES_DIR)
    while not place.exists():
        place = place.parent
    free_bytes = shutil.disk_usage(place).free
    if free_bytes - more_bytes < settings.MIN_FREE_MIB * MIB:
        raise DiskFull(
            f"the site's disk is almost full: {free_bytes // MIB:,} MiB are free, "
            f"and {settings.MIN_FREE_MIB:,} MiB are kept back (AGENTSITE_MIN_FREE_MIB)"
        )


@contextlib.contextmanager
def one_at_a_time(agent_id: str) -> Iterator[None]:
    """Hold the lock for uploads to this agent's workspace, against every thread and process on this disk.

    Not a lock on the workspace itself: its program could hold that for ever.
    """
    locks = Path(settings.WORKSPACES_DIR).parent / "upload-locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    with (locks / f"{int(agent_id[-8:], 16) % LOCKS}").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
