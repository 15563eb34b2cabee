"""An export in the words of a new log: its agent and its runs have other ids, all else stays. Format 1 gets one epoch,
and places from 1 on.

What was written by another site, or by anybody, is held to the laws that our own writer keeps: each event is one of the
schema, a run has one `done` and nothing after it, and no two runs are active at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.log.run_summary import RunSummary
from agents.models.ids import new_id
from agents.programs.translator import user_message_id
from agents.transfer.lines import EventLine, ImportInvalid
from streaming.errors import EventInvalid
from streaming.model.conversation import Entry, State
from streaming.model.cursor import Cursor
from streaming.model.events import FINAL, Draft, Event, draft
from streaming.model.weight import weight

CUT_REASON = "exported before it ended"


class Replay:
    """`keeps_places`: events stay where they were. Else they are numbered anew."""

    def __init__(self, agent_id: str, *, keeps_places: bool) -> None:
        self.run_ids: dict[str, str] = {}
        """Of the export → of this site."""
        self._agent_id = agent_id
        self._keeps_places = keeps_places
        self._at = Cursor(1, 0)
        """The last event's place here."""
        self._last_seq = 0 if keeps_places else None
        """The last event's place in the export."""
        self._timestamp = ""
        self._open: dict[str, RunSummary] = {}
        self._ended: set[str] = set()
        self._active: str | None = None

    def know(self, run_id: str) -> str:
        """This site's id for a run of the export."""
        return self.run_ids.setdefault(run_id, str(new_id()))

    def begin(self, at: Cursor) -> None:
        """The log does behind that place."""
        self._at, self._last_seq = at, at.seq

    def state(self, state: State) -> State:
        """A state with this site's ids; of other lengths, perhaps."""
        messages = self.entries(state["messages"])
        renamed = {
            **state,
            "active_run": self._known(state["active_run"]),
            "queue": [
                {**one, **self._owner(one), "message_id": self._message_id(one["run_id"], one["message_id"])}
                for one in state["queue"]
            ],
            "messages": messages,
            "conversation_bytes": weight(messages),
            "left": [
                {**one, **self._owner(one), "id": self._message_id(one["run_id"], one["id"])} for one in state["left"]
            ],
            "approvals": [{**one, **self._owner(one)} for one in state["approvals"]],
            "runs": [{**run, "id": self._known(run["id"])} for run in state["runs"]],
        }
        return renamed | ({"plan": state["plan"] | self._owner(state["plan"])} if "plan" in state else {})

    def entries(self, entries: list[Entry]) -> list[Entry]:
        """The same for messages, of a state or a page."""
        return [
            {
                **one,
                **self._owner(one),
                "id": self._message_id(one["run_id"], one["id"]),
                **({"into": self._known(one["into"])} if "into" in one else {}),
                "parts": [self._part(part) for part in one["parts"]],
            }
            for one in entries
        ]

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        if "approvals" not in part:
            return part
        return {**part, "approvals": [{**one, **self._owner(one)} for one in part["approvals"]]}

    def _owner(self, one: dict[str, Any]) -> dict[str, Any]:
        return {"run_id": self._known(one["run_id"])}

    def _known(self, run_id: str | None) -> str | None:
        return None if run_id is None else self.know(run_id)

    def _message_id(self, run_id: str | None, message_id: str | None) -> str | None:
        """A run's prompt is named after it."""
        if run_id is None or message_id != user_message_id(run_id):
            return message_id
        return user_message_id(self.know(run_id))

    def take(self, number: int, line: EventLine) -> Event:
        """Raises ImportInvalid."""
        if self._last_seq is not None and line.seq != self._last_seq + 1:
            raise _wrong(number, f"seq: {line.seq} does not follow {self._last_seq}")
        if self._keeps_places and line.epoch < self._at.epoch:
            raise _wrong(number, f"epoch: {line.epoch} does not follow {self._at.epoch}")
        self._last_seq = line.seq
        self._timestamp = line.timestamp
        run_id = self._known(line.run_id)
        try:
            drafted = draft(line.type, run_id, **line.data)
        except EventInvalid as error:
            raise _wrong(number, str(error)) from None
        if "message_id" in drafted.data:
            drafted.data["message_id"] = self._message_id(line.run_id, drafted.data["message_id"])
        if drafted.type == "status" and "into" in drafted.data:
            drafted.data["into"] = self.know(drafted.data["into"])
        self._hold(number, drafted)
        return self._place(drafted, line.epoch if self._keeps_places else 1)

    def close(self) -> Iterator[Event]:
        """Ends what had not ended: there is no container here that could."""
        for run_id, tally in list(self._open.items()):
            for ending in (
                draft("status", run_id, status="cancelled", reason=CUT_REASON),
                tally.done("cancelled", None, 0),
            ):
                yield self._place(ending, self._at.epoch)

    def _hold(self, number: int, drafted: Draft) -> None:
        """To the laws of a log."""
        run_id = drafted.run_id
        if run_id is None:
            if drafted.type in ("status", "done", "error"):
                raise _wrong(number, f"run_id: {drafted.type} is of a run")
            return
        if run_id in self._ended:
            raise _wrong(number, "comes after the done of its run")
        status = drafted.data["status"] if drafted.type == "status" else None
        if status is not None and status not in FINAL and status != "queued":
            if self._active not in (None, run_id):
                raise _wrong(number, "two runs are active at once")
            self._active = run_id
        if drafted.type == "done":
            self._open.pop(run_id, None)
            self._ended.add(run_id)
            self._active = None if self._active == run_id else self._active
        else:
            self._open.setdefault(run_id, RunSummary(run_id)).add([drafted])

    def _place(self, drafted: Draft, epoch: int) -> Event:
        self._at = Cursor(epoch, self._at.seq + 1)
        return Event(drafted.type, self._agent_id, drafted.run_id, *self._at, self._timestamp, drafted.data)


def _wrong(number: int, what: str) -> ImportInvalid:
    return ImportInvalid(f"line {number}: {what}", line=number)
