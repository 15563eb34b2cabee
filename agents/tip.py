"""An agent's state as people see it live: what is committed, and what so far only Redis has. Synchronous."""

from __future__ import annotations

from asgiref.sync import async_to_sync

from streaming.bus import Bus
from streaming.fold import State
from streaming.reader import Reader


def state_at_tip(agent_id: str) -> State:
    """Without Redis what is committed. Raises LogMissing, JournalUnavailable."""
    return async_to_sync(_read)(agent_id)


async def _read(agent_id: str) -> State:
    bus = Bus()
    try:
        return (await Reader(bus).at_tip(agent_id))[1]
    finally:
        await bus.close()
