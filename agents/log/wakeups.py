"""Pokes: "look at this agent now", over Redis, to whichever worker supervises it. At most once, never truth."""

from __future__ import annotations

from streaming.store.bus import Bus

CHANNEL = "agentsite:pokes"


async def wake_supervisor(bus: Bus, agent_id: str) -> None:
    """Raises BusUnavailable."""
    await bus.say(CHANNEL, agent_id)
