"""Which run a response tells of, and what the log has said of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from streaming.model.events import Event
from streaming.model.fold import State


@dataclass
class RunSoFar:
    """What the log has said of one run. `kinds`: message id → kind of its last part. `texts`: messages whose text has
    begun. `calls`: by id, those without a result. `answer`: the message that the next tool call belongs to, by the
    fold's rule: the one that got the latest part."""

    has_begun: bool = False
    kinds: dict[str, str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    answer: str | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: State, run_id: str) -> Self:
        """At a snapshot in which that run is the active one. Of parts that have left, the state knows the messages."""
        run = next((run for run in state["runs"] if run["id"] == run_id), None)
        so_far = cls(has_begun=True, error=run and run["error"])
        for left in state["left"]:
            if left["run_id"] == run_id:
                so_far._add(left["id"], "assistant", "")
                so_far.texts |= {left["id"]} if left["text_bytes"] else set()
        for stretch in state["messages"]:
            if stretch["run_id"] == run_id:
                for part in stretch["parts"]:
                    so_far._add(stretch["id"], stretch["role"], part["type"])
                so_far.texts |= {stretch["id"] for part in stretch["parts"] if part["type"] == "text"}
                so_far.calls |= {part["call_id"]: part for part in stretch["parts"] if part.get("state") == "running"}
        return so_far

    def note(self, event: Event) -> None:
        data = event.data
        self.has_begun = self.has_begun or _begins(event)
        if event.type in ("text", "thinking", "message"):
            kind = "thinking" if event.type == "thinking" else "text"
            self._add(data["message_id"], data.get("role", "assistant"), kind)
            if event.type != "thinking":
                self.texts.add(data["message_id"])
        elif event.type == "tool-call":
            self._add(self.answer or data["call_id"], "assistant", "tool-call")
            self.calls[data["call_id"]] = data
        elif event.type == "tool-result":
            self.calls.pop(data["call_id"], None)
        elif event.type == "error":
            self.error = data

    def _add(self, message_id: str, role: str, kind: str) -> None:
        """More of the same kind goes into the part that is there, which stays where it is."""
        if self.kinds.get(message_id) != kind:
            self.answer = message_id if role == "assistant" else None
            self.kinds[message_id] = kind


class Runs:
    """`only`: the run that the response is for, if it is for one. `open`: the one that is open in it."""

    def __init__(self, only: str | None) -> None:
        self.only = only
        self.open: str | None = None
        self._so_far: dict[str | None, RunSoFar] = {}

    def known(self, run_id: str | None) -> RunSoFar:
        return self._so_far.setdefault(run_id, RunSoFar())

    def note(self, event: Event) -> None:
        """It has been said, in this response or in an earlier one."""
        if event.type == "done":
            self._so_far.pop(event.run_id, None)
        else:
            self.known(event.run_id).note(event)

    def are_as_in(self, state: State) -> None:
        """At a snapshot."""
        active = state["active_run"]
        self._so_far = {} if active is None else {active: RunSoFar.of(state, active)}

    def opened_by(self, event: Event) -> str | None:
        """Its run, if that is not open yet, and to be opened for it; not for what comes beside a run that is."""
        if event.run_id == self.open or not self._is_at_work(event):
            return None
        return event.run_id if self.open is None or _takes_over(event) else None

    def _is_at_work(self, event: Event) -> bool:
        """Or it ended in the queue, and this response is for it."""
        if _begins(event) or self.known(event.run_id).has_begun:
            return True
        return event.type in ("error", "done") and event.run_id == self.only


def _begins(event: Event) -> bool:
    """Does this say that its run is at work? One in the queue has a prompt and a status too, and may end there."""
    if event.run_id is None or event.type in ("title", "error", "done"):
        return False
    if event.type == "message":
        return bool(event.data["role"] == "assistant")
    return event.type != "status" or event.data["status"] in ("running", "waiting")


def _takes_over(event: Event) -> bool:
    """Does its run take the place of one that is open? That one's end is not in this log, as behind a reset."""
    return event.type == "status" and _begins(event)
