"""An agent's state as people see it live: what is committed, and what so far only Redis has."""

from __future__ import annotations

from asgiref.sync import async_to_sync

from streaming.bus import Bus
from streaming.fold import State
from streaming.reader import Reader


async def _state(agent_id: str) -> State:
    bus = Bus()
    try:
        return (await Reader(bus).at_tip(agent_id))[1]
    finally:
        await bus.close()


state_at_tip = async_to_sync(_state)
"""Raises LogMissing, JournalUnavailable. Without Redis it is what is committed."""
