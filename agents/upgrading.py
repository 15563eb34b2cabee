"""Logs whose stored state is of an older version of the fold (streaming.upgrade): stored anew, one at a time.

Nobody waits for it: until then such a state is made anew for each reader. Every log is its own step, under its lease, so
it may be ended at any time and goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from asgiref.sync import async_to_sync

from agents import lease as leases
from agents.moment import acquire_soon, owner_for_a_moment
from streaming import journal
from streaming.bus import Bus
from streaming.database import in_database
from streaming.errors import BusUnavailable, Fenced, LogMissing
from streaming.fold import FOLD
from streaming.models import Snapshot
from streaming.takeover import take_over

log = structlog.get_logger(__name__)
AT_ONCE = 50
"""Logs in one turn of the background."""


def left() -> int:
    """How many logs are to be upgraded."""
    return Snapshot.objects.exclude(fold=FOLD).count()


def upgrade(most: int = AT_ONCE, report: Callable[[int], None] = lambda _: None) -> int:
    """Upgrade up to `most` logs; answers how many were. `report` is told how many are left. Those that somebody writes
    just now are left for later: their writer stores the new state. Synchronous. Raises DatabaseError."""
    done = 0
    rows = Snapshot.objects.exclude(fold=FOLD).order_by("agent_id").values_list("agent_id", flat=True)
    for agent_id in list(rows[:most]):
        if async_to_sync(_upgrade)(str(agent_id)):
            done += 1
            report(left())
    if done:
        log.info("states upgraded", logs=done)
    return done


async def _upgrade(agent_id: str) -> bool:
    lease = await acquire_soon(agent_id, owner_for_a_moment())
    if lease is None:
        return False
    bus = Bus()
    try:
        opening = await take_over(bus, agent_id, lease.epoch)
        await in_database(journal.keep, agent_id, lease.epoch, journal.Kept.of(opening.folded))
        return True
    except (Fenced, LogMissing, BusUnavailable) as error:
        log.info("log not upgraded yet", agent_id=agent_id, error=str(error))
        return False
    finally:
        await in_database(leases.release, lease)
        await bus.close()
