"""States that an older version of the fold has stored (streaming.model.upgrade), stored anew, log by log.

Nobody waits for it: until then such a state is made anew for each reader, and a writer stores its own. Each log is a
step of its own, so this may be ended at any time and goes on with the next one. Synchronous.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from streaming.errors import StreamingError
from streaming.model.fold import FOLD
from streaming.models import Snapshot
from streaming.store import journal

log = structlog.get_logger(__name__)
AT_ONCE = 50
"""Logs in one turn of the background."""
_OLD = Snapshot.objects.filter(fold__lt=FOLD)


def count_old() -> int:
    """How many logs are to be upgraded."""
    return _OLD.count()


def upgrade(most: int | None = AT_ONCE) -> Iterator[str]:
    """Upgrades up to `most` logs while it is iterated over; yields the agent of each. One that can't be upgraded is
    reported and left out, so that the other logs do not wait for it. Raises DatabaseError."""
    done = 0
    for agent_id in _old_logs():
        if done == most:
            return
        try:
            if not journal.refresh_snapshot(agent_id):
                continue
        except StreamingError as error:
            log.error("state not upgraded", agent_id=agent_id, error=str(error))
            continue
        done += 1
        yield agent_id


def _old_logs() -> Iterator[str]:
    ids = list(_OLD.order_by("agent_id").values_list("agent_id", flat=True)[:AT_ONCE])
    while ids:
        yield from map(str, ids)
        ids = list(_OLD.filter(agent_id__gt=ids[-1]).order_by("agent_id").values_list("agent_id", flat=True)[:AT_ONCE])
