"""The bundled agent on a site: its definition, and what it said."""

from __future__ import annotations

from typing import Any

from streaming.model.events import Event
from tests.agents.site import Site
from tests.images.agent_driving import settled

PATIENCE_S = 120.0
"""It imports for seconds before it says anything."""
KEY = "sk-canary-of-this-test"
ITS_OWN = ("text", "thinking", "tool-call", "tool-output", "tool-result", "error")


def define(site: Site, image: str, model: str, **fields: Any) -> str:
    limits = {"memory_mib": 1024, "pids": 256, "cpus": 2.0, "wall_s": 300}
    return site.define("agent", image=image, command=[], trusted=False, model=model, limits=limits, **fields)


def said(events: list[Event]) -> list[dict[str, Any]]:
    """What the program said, as the golden log of the same conversation has it."""
    own = [{"type": event.type, **event.data} for event in events if event.type in ITS_OWN]
    return settled([{name: value for name, value in one.items() if name != "message_id"} for one in own])
