"""What a program is told of the conversation before its run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streaming.events import encode
from streaming.fold import State

UNFINISHED = {
    "cancelled": "[This run was stopped before it was finished.]",
    "failed": "[This run failed before it was finished.]",
}
"""Stands at the end of what such a run said, so that its turn is complete: some providers refuse an open one."""
MOST_CHARS = 1024 * 1024
"""A start line of any length would have to be held whole by every program; the oldest messages are left out first."""


def history(state: State, run_id: str) -> list[dict[str, Any]]:
    """Messages of earlier runs, as these came one after another: role, content, and the parts as they are in the state.

    A prompt stands in the log when it was posted, which may be before an earlier run has answered; and one that is
    still queued, or was cancelled there, is no part of this run's past. One that was handed to a program at work is.
    """
    told = {run["id"] for run in state["runs"] if _was_told(run) and run["id"] != run_id}
    earlier = [message for message in state["messages"] if message["run_id"] in told and message["parts"]]
    order = _first_spoke(earlier)
    earlier.sort(key=lambda message: order[message["run_id"]])
    earlier = _closed(earlier, {run["id"]: run["status"] for run in state["runs"]})
    kept: list[dict[str, Any]] = []
    left = MOST_CHARS
    for message in reversed(earlier):
        shown = _told(message)
        left -= len(encode(shown))
        if left < 0:
            break
        kept.insert(0, shown)
    return kept


def _closed(messages: Sequence[Mapping[str, Any]], statuses: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """With a word behind the last message of each run that did not come to its end."""
    last = {message["run_id"]: at for at, message in enumerate(messages)}
    closed: list[Mapping[str, Any]] = []
    for at, message in enumerate(messages):
        word = UNFINISHED.get(statuses[message["run_id"]]) if at == last[message["run_id"]] else None
        if word and message["role"] == "assistant":
            apart = "\n\n" if any(part["type"] == "text" for part in message["parts"]) else ""
            message = {**message, "parts": [*message["parts"], {"type": "text", "text": f"{apart}{word}"}]}
        closed.append(message)
        if word and message["role"] != "assistant":
            closed.append({"role": "assistant", "parts": [{"type": "text", "text": word}]})
    return closed


def _first_spoke(messages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Where among `messages` each run said its first; its prompt, where it said nothing. Runs may have been moved in
    the queue, so they need not have come in the order in which they were posted."""
    prompts = {message["run_id"]: at for at, message in enumerate(messages) if message["role"] == "user"}
    answers = {
        message["run_id"]: at for at, message in reversed(list(enumerate(messages))) if message["role"] != "user"
    }
    return {**prompts, **answers}


def _was_told(run: Mapping[str, Any]) -> bool:
    return bool(run["started_at"]) or run["status"] == "completed"


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    text = "".join(part["text"] for part in message["parts"] if part["type"] == "text")
    return {"role": message["role"], "content": text, "parts": message["parts"]}
