"""One tool call whole, as the log has it: the state and its pages leave out what is large. Synchronous."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from agents.errors import EventsTrimmed, NotFound
from agents.log import live_state, run_events
from agents.log.run_events import is_trimmed
from agents.models import Run
from streaming.model.cursor import START
from streaming.model.events import Event, decode, encode
from streaming.store import journal

_TYPES = frozenset(("tool-call", "tool-output", "tool-result"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """By the fold's rules: of several calls with one id it is the latest."""

    call_id: str
    name: str
    title: str | None
    arguments: dict[str, Any]
    output: str = ""
    result: Any = None
    is_error: bool = False
    duration_ms: int | None = None
    state: Literal["running", "completed", "failed", "interrupted"] = "running"


def load_call(run: Run, call_id: str) -> ToolCall:
    """Reads the run's stretch of the log from its end back to the call: some events in memory at a time, those of the
    call, and what so far only Redis has.

    Raises NotFound, EventsTrimmed where retention has removed its events, LogMissing.
    """
    events = _events(run, call_id)
    if call := fold_call(events, run.is_finished):
        return call
    if is_trimmed(run):
        raise EventsTrimmed("the run's oldest events are not stored any more, and this call is not among the others")
    raise NotFound("no such call in this run")


def fold_call(events: Iterable[Event], has_ended: bool) -> ToolCall | None:
    """`events`: of one call, or of several that have one id. `has_ended`: their run has."""
    call: ToolCall | None = None
    output: list[str] = []
    for event in events:
        data = event.data
        if event.type == "tool-call":
            call, output = ToolCall(data["call_id"], data["name"], data.get("title"), data["arguments"]), []
        elif event.type == "tool-output":
            output.append(data["content"])
        elif call is not None:
            said = {name: data[name] for name in ("result", "is_error", "duration_ms")}
            call = replace(call, **said, state="failed" if data["is_error"] else "completed")
    if call is None:
        return None
    call = replace(call, output="".join(output))
    return replace(call, state="interrupted") if has_ended and call.state == "running" else call


def _events(run: Run, call_id: str) -> list[Event]:
    """Those of the call, in order, at least from the latest `tool-call` on."""
    agent_id = str(run.agent_id)
    found: list[Event] = []
    last = START
    for window in run_events.windows(run):
        older = []
        for stored in window:
            older += own_event(stored.payload, str(run.pk), call_id)
            last = max(last, stored.cursor)
        found = [*older, *found]
        if any(event.type == "tool-call" for event in older):
            break
    if not run.is_finished:
        for payload in live_state.uncommitted(agent_id, journal.head(agent_id).tip if last == START else last):
            found += own_event(payload, str(run.pk), call_id)
    return found


def own_event(payload: str, run_id: str, call_id: str) -> list[Event]:
    """The event, if it is of that call. Most are not, and need not be decoded to see that."""
    if f'"call_id":{encode(call_id)}' not in payload:
        return []
    event = decode(payload)
    is_own = event.type in _TYPES and event.run_id == run_id and event.data["call_id"] == call_id
    return [event] if is_own else []
