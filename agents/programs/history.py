"""What a program is told of the conversation before its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from agents.models import Run
from streaming.model.events import encode
from streaming.model.folded import Folded
from streaming.store import journal

Message = dict[str, Any]
StatusOf = Callable[[str | None], str | None]
"""Of a run by its id; None if the program is told nothing of it."""
UNFINISHED = {
    "cancelled": "[This run was stopped before it was finished.]",
    "failed": "[This run failed before it was finished.]",
}
"""Stands at the end of what such a run said, so that its turn is complete: some providers refuse an open one."""
MOST_CHARS = 1024 * 1024
"""A start line of any length would have to be held whole by every program; the oldest messages are left out first."""


def history(agent_id: str, folded: Folded, run_id: str) -> list[Message]:
    """What the program of that run is told, from where the conversation last began anew. Reads no more pages than that.
    Synchronous."""
    cleared = folded.state["cleared"]
    newest_first = journal.conversation_before(agent_id, folded)
    since = takewhile(lambda one: one["parts"][-1]["n"] > cleared, newest_first)
    return told_of(since, _Runs(run_id).status)


def told_of(newest_first: Iterable[Message], status_of: StatusOf) -> list[Message]:
    """Messages of earlier runs in the order in which they came: role, content, and the parts as in the state. Pure.

    A prompt that was cancelled in the queue is no part of the past; one that was handed to a program at work is.
    """
    told: list[Message] = []
    left = MOST_CHARS
    for message in _closed(_joined(newest_first), status_of):
        shown = _told(message)
        left -= len(encode(shown))
        if left < 0:
            break
        told.append(shown)
    return told[::-1]


class _Runs:
    """Of the runs that are met, looked up one by one: there may be thousands before them."""

    def __init__(self, own_id: str) -> None:
        self._statuses: dict[str | None, str | None] = {own_id: None}

    def status(self, run_id: str | None) -> str | None:
        if run_id is None:
            return None
        if run_id not in self._statuses:
            run = Run.objects.filter(pk=run_id).values("status", "started_at").first()
            was_told = run is not None and (run["started_at"] is not None or run["status"] == "completed")
            self._statuses[run_id] = run["status"] if run is not None and was_told else None
        return self._statuses[run_id]


def _joined(newest_first: Iterable[Message]) -> Iterator[Message]:
    """With the parts of a message in one, where it goes on from a page to the next."""
    later: Message | None = None
    for one in newest_first:
        if later is not None and all(one.get(key) == later.get(key) for key in ("id", "run_id", "role", "into")):
            later = {**later, "parts": [*one["parts"], *later["parts"]]}
            continue
        if later is not None:
            yield later
        later = one
    if later is not None:
        yield later


def _closed(newest_first: Iterable[Message], status_of: StatusOf) -> Iterator[Message]:
    """With a word behind the last message of each run that did not come to its end."""
    ended: set[str | None] = set()
    for message in newest_first:
        status = status_of(message["run_id"])
        if status is None:
            continue
        word = UNFINISHED.get(status) if message["run_id"] not in ended else None
        ended.add(message["run_id"])
        if word and message["role"] == "assistant":
            apart = "\n\n" if any(part["type"] == "text" for part in message["parts"]) else ""
            message = {**message, "parts": [*message["parts"], {"type": "text", "text": f"{apart}{word}"}]}
        elif word:
            yield {"role": "assistant", "parts": [{"type": "text", "text": word}]}
        yield message


def _told(message: Mapping[str, Any]) -> Message:
    parts = [_part(part) for part in message["parts"]]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    return {"role": message["role"], "content": text, "parts": parts}


def _part(part: Message) -> Message:
    """Without what only the state needs, and with a word for what it does not hold."""
    shown = {key: value for key, value in part.items() if key not in ("n", "continued", "omitted_bytes", "approvals")}
    omitted = part.get("omitted_bytes", {})
    for field in ("output", "result") if isinstance(omitted, dict) else ():
        if field in omitted:
            shown[field] = f"[{omitted[field]} bytes that are not shown again]"
    if shown["type"] == "tool-call" and shown["arguments"] is None:
        shown["arguments"] = {"omitted": f"{omitted['arguments']} bytes that are not shown again"}
    return shown
