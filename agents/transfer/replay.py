"""The events of an export in the words of a new log: its agent, its runs, one epoch, places from 1 on.

What was written by another site, or by anybody, is held to the laws that our own writer keeps: each event is one of the
schema, a run has one `done` and nothing after it, and no two runs are active at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from agents.models.ids import new_id
from agents.tally import Tally
from agents.transfer.lines import EventLine, ImportInvalid
from agents.translate import user_message_id
from streaming.errors import EventInvalid
from streaming.events import FINAL, Draft, Event, draft

EPOCH = 1
CUT_REASON = "exported before it ended"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Replay:
    def __init__(self, agent_id: str) -> None:
        self.seq = 0
        self.run_ids: dict[str, str] = {}
        """Of the export → of this site."""
        self._agent_id = agent_id
        self._last_seq: int | None = None
        self._timestamp = ""
        self._open: dict[str, Tally] = {}
        self._ended: set[str] = set()
        self._active: str | None = None

    def know(self, run_id: str) -> str:
        """This site's id for a run of the export."""
        return self.run_ids.setdefault(run_id, str(new_id()))

    def take(self, number: int, line: EventLine) -> Event:
        """Raises ImportInvalid."""
        if self._last_seq is not None and line.seq != self._last_seq + 1:
            raise _wrong(number, f"seq: {line.seq} does not follow {self._last_seq}")
        self._last_seq = line.seq
        self._timestamp = _checked(number, line.timestamp)
        run_id = None if line.run_id is None else self.know(line.run_id)
        try:
            drafted = draft(line.type, run_id, **line.data)
        except EventInvalid as error:
            raise _wrong(number, str(error)) from None
        if drafted.data.get("message_id") == user_message_id(str(line.run_id)):
            drafted.data["message_id"] = user_message_id(str(run_id))
        if drafted.type == "status" and "into" in drafted.data:
            drafted.data["into"] = self.know(drafted.data["into"])
        self._hold(number, drafted)
        return self._place(drafted)

    def close(self) -> Iterator[Event]:
        """Ends what had not ended: there is no container here that could."""
        for run_id, tally in list(self._open.items()):
            yield self._place(draft("status", run_id, status="cancelled", reason=CUT_REASON))
            yield self._place(tally.done("cancelled", None, 0))

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
            self._open.setdefault(run_id, Tally(run_id)).add([drafted])

    def _place(self, drafted: Draft) -> Event:
        self.seq += 1
        return Event(drafted.type, self._agent_id, drafted.run_id, EPOCH, self.seq, self._timestamp, drafted.data)


def _checked(number: int, timestamp: str) -> str:
    try:
        if _TIMESTAMP.fullmatch(timestamp) and datetime.fromisoformat(timestamp).utcoffset() == timedelta(0):
            return timestamp
    except ValueError:
        pass
    raise _wrong(number, "timestamp: is not UTC with microseconds, as in 2026-11-20T12:00:00.123456Z")


def _wrong(number: int, what: str) -> ImportInvalid:
    return ImportInvalid(f"line {number}: {what}", line=number)
