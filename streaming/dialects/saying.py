"""What a dialect says of one event, and what it has to know of a run for that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from streaming.events import Event
from streaming.fold import State

Part = dict[str, Any]


class Saying(NamedTuple):
    """`parts`: the last of them carries the event's cursor. So it is the one that a client must not take twice: cut
    before it, the event comes again; cut behind it, what is in `closing` is lost, which says nothing new."""

    parts: Sequence[Part]
    closing: Sequence[Part] = ()


@dataclass
class RunSoFar:
    """What the log has said of one run. `texts`: messages whose text has begun. `calls`: by id, those without a result.
    `answer`: the message that the next tool call belongs to, by the fold's rule."""

    has_begun: bool = False
    messages: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    answer: str | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: State, run_id: str) -> Self:
        """At a snapshot in which that run is the active one."""
        run = next((run for run in state["runs"] if run["id"] == run_id), None)
        so_far = cls(has_begun=True, error=run and run["error"])
        for message in state["messages"]:
            if message["run_id"] == run_id:
                so_far._add(message["id"], message["role"])
                so_far.texts |= {message["id"] for part in message["parts"] if part["type"] == "text"}
                so_far.calls |= {part["call_id"]: part for part in message["parts"] if part.get("state") == "running"}
        return so_far

    def note(self, event: Event) -> None:
        data = event.data
        self.has_begun = self.has_begun or begins(event)
        if event.type in ("text", "thinking", "message"):
            self._add(data["message_id"], data.get("role", "assistant"))
            if event.type != "thinking":
                self.texts.add(data["message_id"])
        elif event.type == "tool-call":
            self.answer = self.answer or data["call_id"]
            self.messages.add(self.answer)
            self.calls[data["call_id"]] = data
        elif event.type == "tool-result":
            self.calls.pop(data["call_id"], None)
        elif event.type == "error":
            self.error = data

    def _add(self, message_id: str, role: str) -> None:
        if message_id not in self.messages:
            self.answer = message_id if role == "assistant" else None
            self.messages.add(message_id)


def begins(event: Event) -> bool:
    """Does this say that its run is at work? One in the queue has a prompt and a status too, and may end there."""
    if event.run_id is None or event.type in ("title", "error", "done"):
        return False
    if event.type == "message":
        return bool(event.data["role"] == "assistant")
    return event.type != "status" or event.data["status"] in ("running", "waiting")


def takes_over(event: Event) -> bool:
    """Does its run take the place of one that is open? That one's end is not in this log, as behind a reset."""
    return event.type == "status" and begins(event)


def with_run(event: Event) -> dict[str, Any]:
    """An event's data, for parts of our own: with the run that it belongs to."""
    return {"run_id": event.run_id, **event.data}
