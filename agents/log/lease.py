"""The lease: who may write an agent's log, until when. On the database's clock only, so skewed machines change nothing.

Becoming the writer is one compare-and-set that grows the epoch, the fencing token. Synchronous; see
streaming.store.database.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from streaming.models import Log

MARGIN_S = 2.0
"""A holder stops this long before its lease runs out: a write on its way must land while the lease still holds."""


def clock() -> float:
    """Seconds, never set back. Not `monotonic`: on Linux that stands still while the machine sleeps, and the database's
    clock does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(slots=True)
class Lease:
    """A held lease. `deadline` is on this process's `clock`, counted from before the database was asked, so it is never
    later than the database's own; it also passes while the process is stopped (SIGSTOP, a sleeping laptop)."""

    agent_id: str
    owner: str
    epoch: int
    deadline: float

    def held(self) -> bool:
        return clock() < self.deadline


@transaction.atomic
def acquire(agent_id: str, owner: str) -> Lease | None:
    """Become the writer; None if somebody else is. Raises nothing if the agent is gone: that is None, too.

    The row is locked between reading and writing, so the epoch we answer is the one we made and nobody else's.
    """
    asked_at = clock()
    free = Q(owner=None) | Q(lease_until__lt=Now())
    log = Log.objects.select_for_update().filter(free, agent_id=agent_id).first()
    if log is None:
        return None
    epoch = log.epoch + 1
    Log.objects.filter(agent_id=agent_id).update(epoch=epoch, owner=owner, lease_until=_until())
    return Lease(agent_id, owner, epoch, _deadline(asked_at))


def renew(leases: Collection[Lease]) -> list[Lease]:
    """Renew all of them in one statement, and answer those that were lost. All must have the same owner."""
    if not leases:
        return []
    asked_at = clock()
    owner = next(iter(leases)).owner
    mine = Log.objects.filter(owner=owner, agent_id__in=[lease.agent_id for lease in leases])
    mine.update(lease_until=_until())
    epochs = {str(agent_id): epoch for agent_id, epoch in mine.values_list("agent_id", "epoch")}
    lost = []
    for lease in leases:
        if epochs.get(lease.agent_id) == lease.epoch:
            lease.deadline = _deadline(asked_at)
        else:
            lost.append(lease)
    return lost


def release(lease: Lease) -> bool:
    """Give it back, so that another takes over at once. False if it was no longer ours."""
    mine = Log.objects.filter(agent_id=lease.agent_id, owner=lease.owner, epoch=lease.epoch)
    return mine.update(owner=None, lease_until=None) == 1


def expire(agent_id: str, owner: str) -> bool:
    """Let the lease of a holder that is taken for dead run out now. False if it is not its lease (any more).

    It is as if its time had passed, and no more: whoever acquires it next grows the epoch, which fences the old holder
    off in the database and in Redis before the new one writes. Should it live after all, it has the lease again with
    its next heartbeat, unless somebody was faster.
    """
    held = Log.objects.filter(agent_id=agent_id, owner=owner, lease_until__gte=Now())
    return held.update(lease_until=Now() - timedelta(seconds=1)) == 1


def _until() -> object:
    return Now() + timedelta(seconds=settings.LEASE_S)


def _deadline(asked_at: float) -> float:
    return asked_at + max(settings.LEASE_S - MARGIN_S, settings.LEASE_S / 2)
