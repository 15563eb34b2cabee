"""One tool call whole, as the log has it: the state and its pages leave out what is large. Synchronous."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from agents import retention, run_events, tip
from agents.errors import EventsTrimmed, NotFound
from agents.models import Run
from streaming import journal
from streaming.events import Event, decode, encode

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


class _Search:
    """Events of one call, in order. `output` is kept in pieces: a long one comes in many."""

    def __init__(self, run_id: str, call_id: str) -> None:
        self._run_id = run_id
        self._call_id = call_id
        self._needle = f'"call_id":{encode(call_id)}'
        self._call: ToolCall | None = None
        self._output: list[str] = []

    def take(self, payload: str) -> None:
        if self._needle in payload:  # most events are of other calls, and need not be decoded
            self._take(decode(payload))

    def _take(self, event: Event) -> None:
        data = event.data
        if event.type not in _TYPES or event.run_id != self._run_id or data["call_id"] != self._call_id:
            return
        if event.type == "tool-call":
            self._call = ToolCall(data["call_id"], data["name"], data.get("title"), data["arguments"])
            self._output = []
        elif self._call is None:
            return
        elif event.type == "tool-output":
            self._output.append(data["content"])
        else:
            said = {name: data[name] for name in ("result", "is_error", "duration_ms")}
            self._call = replace(self._call, **said, state="failed" if data["is_error"] else "completed")

    def found(self, has_ended: bool) -> ToolCall | None:
        if self._call is None:
            return None
        call = replace(self._call, output="".join(self._output))
        return replace(call, state="interrupted") if has_ended and call.state == "running" else call


def load_call(run: Run, call_id: str) -> ToolCall:
    """Reads the run's stretch of the log: a page in memory at a time, and the events that so far only Redis has.

    Raises NotFound, EventsTrimmed where retention has removed its events, LogMissing.
    """
    search = _Search(str(run.pk), call_id)
    at = None
    for stored in run_events.stretch(run):
        at = stored.cursor
        search.take(stored.payload)
    if not run.is_finished:
        agent_id = str(run.agent_id)
        for payload in tip.uncommitted(agent_id, at or journal.head(agent_id).tip):
            search.take(payload)
    call = search.found(run.is_finished)
    if call is not None:
        return call
    if retention.is_trimmed(run):
        raise EventsTrimmed("the run's oldest events are not stored any more, and this call is not among the others")
    raise NotFound("no such call in this run")
