"""Being the writer for a moment: one append by the web process while no run is active (agents.log.brief_writer).

Whoever finds the lease taken by somebody who is about to give it back waits for that, instead of going away: a worker
that went away would come back only when the reaper asks again, and what was posted would not show until then.
"""

from __future__ import annotations

import asyncio
import uuid
from time import monotonic

from agents.log import lease as leases
from agents.log.lease import Lease
from agents.models import Run
from streaming.models import Log
from streaming.store.database import in_database

BRIEF_LEASE_S = 2.0
"""Longer than any append takes. Who holds the lease after that has died with it, or is a worker with a run."""
PAUSE_S = 0.02
_OWNER = "moment-"


def brief_owner() -> str:
    return _OWNER + str(uuid.uuid4())


async def acquire_brief(agent_id: str, owner: str) -> Lease | None:
    """As agents.log.lease.acquire, but waits for who is the writer for a moment only."""
    deadline = monotonic() + BRIEF_LEASE_S
    while True:
        lease = await in_database(leases.acquire, agent_id, owner)
        if lease is not None or monotonic() >= deadline or not await in_database(_is_free_soon, agent_id):
            return lease
        await asyncio.sleep(PAUSE_S)


def _is_free_soon(agent_id: str) -> bool:
    """Somebody of our own kind holds it; or a worker without a run, which has had its last look."""
    owner = Log.objects.filter(agent_id=agent_id).values_list("owner").first()
    if owner is None:
        return False
    if owner[0] is None or owner[0].startswith(_OWNER):
        return True
    return not Run.objects.filter(agent_id=agent_id, finished_at=None).exists()
