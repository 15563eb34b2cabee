"""A run of a program that does it wrong, and after it one of a sane program: the worker goes on."""

from __future__ import annotations

from typing import Any

from agents.runs import commands
from streaming.model.events import Event
from tests.agents.site import Site, text


def run_bad(site: Site, code: str, patience_s: float = 40, **fields: Any) -> list[Event]:
    """The events of a run of `code`; after it, another run of the same agent, with a sane program, works."""
    if not site.workers:
        site.worker()
    name = site.define("bad", code, **fields)
    agent = site.agent(name)
    events = site.end(commands.submit_run(agent, "go"), patience_s)
    site.define("bad", 'say("text", content="fine")')
    again = site.end(commands.submit_run(agent, "again"))
    assert (again[-1].data["status"], text(again)) == ("completed", "fine")
    return events


def logged(events: list[Event], stream: str = "stdout") -> str:
    return "".join(one.data["content"] for one in events if one.type == "log" and one.data["stream"] == stream)
