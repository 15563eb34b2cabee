"""A run's events as lines that a person reads: deltas joined, bodies clipped, a page at a time.

Everything here is text. What it says was written by an agent, and the template escapes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from agents.log import run_events
from agents.log.run_events import is_trimmed
from agents.models import Run
from streaming.model.cursor import Cursor
from streaming.model.events import Event

LINES_MOST = 500
BODY_MOST = 4000
_DELTAS = {"text": "message_id", "thinking": "message_id", "tool-output": "call_id", "log": "stream"}


@dataclass(slots=True)
class Line:
    """`seq` to `last_seq`: one event, or neighbouring deltas of the same thing."""

    type: str
    seq: int
    last_seq: int
    timestamp: datetime
    title: str
    body: str

    @property
    def clipped(self) -> str:
        left_out = len(self.body) - BODY_MOST
        return self.body if left_out <= 0 else f"{self.body[:BODY_MOST]}\n… {left_out} more characters"


@dataclass(frozen=True, slots=True)
class Page:
    """`next`: cursor to go on from; None when the run's end, or the log's, is here. `missing`: it has no events (any
    more). `trimmed`: its oldest events are not stored any more."""

    lines: list[Line]
    next: str | None
    trimmed: bool = False

    @property
    def missing(self) -> bool:
        return not self.lines and self.next is None


def of(run: Run, after: Cursor | None = None) -> Page:
    lines: list[Line] = []
    trimmed = after is None and is_trimmed(run)
    events = run_events.Part(run, after, with_wait=True)
    for event in events:
        _add(lines, event)
        if len(lines) >= LINES_MOST and event.type != "done":
            return Page(lines, str(Cursor(event.epoch, event.seq)), trimmed)
    return Page(lines, None if events.next is None else str(events.next), trimmed)


def _add(lines: list[Line], event: Event) -> None:
    title, body = _describe(event)
    if lines and event.type in _DELTAS and (lines[-1].type, lines[-1].title) == (event.type, title):
        lines[-1].last_seq = event.seq
        lines[-1].body += body if len(lines[-1].body) < BODY_MOST * 10 else ""
        return
    lines.append(Line(event.type, event.seq, event.seq, datetime.fromisoformat(event.timestamp), title, body))


def _describe(event: Event) -> tuple[str, str]:
    """(what it is about, what it says)."""
    data = event.data
    if event.type in _DELTAS:
        return str(data[_DELTAS[event.type]]), data["content"]
    match event.type:
        case "status":
            return data["status"], data.get("reason") or ""
        case "message":
            return data["role"], data["content"]
        case "tool-call":
            return data["name"], _pretty(data["arguments"])
        case "tool-result":
            return "error" if data["is_error"] else "ok", _pretty(data["result"])
        case "approval-request":
            return data["approval_id"], f"{data['question']}\n{' / '.join(data['options'])}"
        case "approval-response":
            return data["approval_id"], f"{data['decision']} by {data['by']}"
        case "files":
            return "", "\n".join(f"{file['change']} {file['path']} ({file['size']} bytes)" for file in data["changes"])
        case "error":
            return data["code"], data["message"]
        case "done":
            return data["status"], f"{data['duration_ms']} ms, {data['tool_calls']} tool calls"
        case _:
            return "", _pretty(data)


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
