"""What one run adds up to: the numbers of its `done`, and what to say if it fails."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from streaming.model.events import Draft, Event, draft, now

RESULT_CHARS = 256 * 1024
"""The text of the last message becomes the run's result up to this length; all of it stands in the log."""
EMPTY_USAGE: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0, "cost_usd": None}


class RunSummary:
    """A fold over the events of one run; a worker that takes the run over folds them again from the log."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.started_at: str | None = None
        self.tool_calls = 0
        self.files: set[str] = set()
        self.usage: dict[str, Any] = dict(EMPTY_USAGE)
        self.answer: list[str] = []
        self._answer_id: str | None = None
        self._room = RESULT_CHARS

    def add(self, events: Iterable[Event | Draft]) -> None:
        """Events of the log, or drafts that are about to be."""
        for event in events:
            if event.run_id == self.run_id:
                self._add(event)

    def done(self, status: str, result: Any, duration_ms: int | None = None) -> Draft:
        """`result`: the program's own, else the text of its last message. `duration_ms`: for who knows better than the
        timestamps, which may be of two machines whose clocks differ."""
        ended_at = now()
        answer = "".join(self.answer) or None
        return draft(
            "done",
            self.run_id,
            status=status,
            result=answer if result is None else result,
            duration_ms=_milliseconds(self.started_at or ended_at, ended_at) if duration_ms is None else duration_ms,
            tool_calls=self.tool_calls,
            files_changed=len(self.files),
            usage=self.usage,
        )

    def _add(self, event: Event | Draft) -> None:
        data = event.data
        if event.type == "status" and data["status"] == "running" and self.started_at is None:
            self.started_at = event.timestamp if isinstance(event, Event) else now()
        elif event.type == "tool-call":
            self.tool_calls += 1
        elif event.type == "files":
            self.files.update(change["path"] for change in data["changes"])
        elif event.type == "usage":
            self.usage = data["total"]
        elif event.type in ("text", "message"):
            self._say(event)

    def _say(self, event: Event | Draft) -> None:
        data = event.data
        if event.type == "message":
            if data["role"] == "assistant":
                self._begin_answer(data["message_id"])
                self._keep(data["content"])
        else:
            if data["message_id"] != self._answer_id:
                self._begin_answer(data["message_id"])
            self._keep(data["content"])

    def _begin_answer(self, message_id: str) -> None:
        self._answer_id, self.answer, self._room = message_id, [], RESULT_CHARS

    def _keep(self, content: str) -> None:
        if self._room > 0:
            self.answer.append(content[: self._room])
            self._room -= len(content)


def _milliseconds(start: str, end: str) -> int:
    elapsed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(0, round(elapsed.total_seconds() * 1000))
