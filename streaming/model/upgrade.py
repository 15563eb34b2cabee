"""A state of version 1 (streaming.model.fold before there were pages) made into one of version 2.

For a log whose first events are not there any more. Where all are there the log is folded anew instead, since a state
of version 1 does not say in which order the parts of different messages came.
"""

from __future__ import annotations

from typing import Any

from streaming.model import conversation
from streaming.model.bounds import Page, bound
from streaming.model.cursor import Cursor
from streaming.model.events import Event
from streaming.model.fold import State, initial
from streaming.model.folded import Folded

EPOCH = 0
"""Of the cursors that name these pages: no event has it."""


def from_version_1(old: dict[str, Any], at: Cursor) -> Folded:
    """`old` is the state at `at`. Nothing of its conversation is lost."""
    waiting = set(old["queue"])
    state = initial() | {key: old[key] for key in ("status", "title", "active_run", "approvals", "usage")}
    if "plan" in old:
        state["plan"] = old["plan"]
    state["files"] = {path: {**file, "seq": 0} for path, file in old["files"].items()}
    state["files_total"] = len(old["files"])
    state["runs"] = [run for run in old["runs"] if run["id"] not in waiting]
    state["runs_total"] = len(old["runs"])
    state["queue"] = [_queued(run_id, old["messages"]) for run_id in old["queue"]]
    pages: list[Page] = []
    for message in old["messages"]:
        if message["run_id"] not in waiting:
            for part in message["parts"]:
                state = _bounded(state, _with_part(state, message, part), pages)
    return Folded(at, _bounded(initial(), state, pages), old["files"], pages)


def _queued(run_id: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    prompt = next((one for one in messages if one["run_id"] == run_id and one["role"] == "user"), None)
    if prompt is None:
        return {"run_id": run_id, "message_id": None, "prompt": None}
    return {"run_id": run_id, "message_id": prompt["id"], "prompt": "".join(part["text"] for part in prompt["parts"])}


def _with_part(state: State, message: dict[str, Any], part: dict[str, Any]) -> State:
    run_id, message_id = message["run_id"], message["id"]
    if part["type"] == "tool-call":
        state = conversation.add_call(state, run_id, {**part, "arguments": {}})
        return conversation.put_call(state, run_id, part)
    if message["role"] == "assistant":
        return conversation.add_text(state, run_id, message_id, part["type"], part["text"])
    return conversation.add_message(state, run_id, message_id, message["role"], part["text"])


def _bounded(before: State, state: State, pages: list[Page]) -> State:
    """Pages are named by their number: there may be more of them than events.

    The event is a tool call, because that is the type after which all limits are looked at."""
    place = Event("tool-call", "", None, EPOCH, len(pages) + 1, "", {})
    state, page = bound(before, state, place)
    if page is not None:
        pages.append(page)
    return state
