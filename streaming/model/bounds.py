"""How large the state of a log may get, and what leaves it when it would get larger. Pure, and alike in JavaScript.

    messages    the oldest parts that are closed go into a page: CONVERSATION_BYTES → PAGE_DOWN_TO_BYTES
    queue       the newest prompts are cut, since the first is about to begin; their runs' rows have them whole
    files       the files that changed longest ago; the site's own manifest has them all
    approvals   answered ones go to their call, or away where that has left; then questions are cut, options left out
    runs        the runs that ended first; their rows stay
    plan        its last entries
    left        the messages that began to leave first

Each limit is a weight (streaming.model.weight), so the state's JSON is never larger than their sum and 4 KiB for the
rest: 512 KiB.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from streaming.model import conversation
from streaming.model.conversation import Entry, State, is_open
from streaming.model.cursor import Cursor
from streaming.model.events import Event
from streaming.model.weight import cut, size, weight

KIB = 1024
CONVERSATION_BYTES = 240 * KIB
PAGE_DOWN_TO_BYTES = 176 * KIB
"""What stays when a page is made: so a page has about 64 KiB, and not one part each."""
QUEUE_BYTES = 64 * KIB
PROMPT_PREVIEW_BYTES = 160
FILES_BYTES = 96 * KIB
APPROVALS_BYTES = 48 * KIB
QUESTION_PREVIEW_BYTES = 160
RUNS_BYTES = 32 * KIB
ERROR_BYTES = 2 * KIB
PLAN_BYTES = 16 * KIB
LEFT_BYTES = 8 * KIB
OPEN_CALLS = 64


def bounded_error(error: dict[str, Any]) -> dict[str, Any]:
    """Of a run, with its message cut; its row has it whole."""
    message, rest = cut(error["message"], ERROR_BYTES)
    return {**error, "message": message, "omitted_bytes": size(rest)} if rest else error


class Page(NamedTuple):
    """A stretch of the conversation that has left the state at one event, whose cursor names it.

    `messages` have their parts in the order of `n`. `earlier` is what the state said of the page before it. `clears`:
    the conversation began anew behind it.
    """

    before: Cursor
    messages: list[Entry]
    earlier: dict[str, str] | None
    clears: bool = False


def bound(before: State, state: State, event: Event) -> tuple[State, Page | None]:
    """`state`, which came from `before` by `event`, within its limits; and what of the conversation has left it."""
    for part, shorten in _SHORTEN.items():
        if state.get(part) is not before.get(part):
            state = shorten(state)
    if state["messages"] is before["messages"] and event.type != "clear":
        return state, None
    gone: list[Entry] = []
    if event.type == "tool-call":
        state, gone = _limit_open_calls(state)
    if state["conversation_bytes"] > CONVERSATION_BYTES:
        state, more = _shorten_conversation(state)
        gone = conversation.in_order(gone + more)
    if event.type == "clear":
        state, rest = conversation.take_out(state, lambda _: True, lambda _: False)
        gone += rest
    if state["left"] is not before["left"]:
        state = _shorten_left(state)
    return _turn_page(state, gone, event)


def within_limits(state: State) -> State:
    """A state that was put together from elsewhere, but for its conversation."""
    for shorten in _SHORTEN.values():
        state = shorten(state)
    return state


def _turn_page(state: State, gone: list[Entry], event: Event) -> tuple[State, Page | None]:
    if not gone:
        return state, None
    page = Page(Cursor(event.epoch, event.seq), gone, state["earlier"], event.type == "clear")
    return {**state, "earlier": {"before": str(page.before)}}, page


def _limit_open_calls(state: State) -> tuple[State, list[Entry]]:
    open_calls = [part for entry in state["messages"] for part in entry["parts"] if is_open(part)]
    if len(open_calls) <= OPEN_CALLS:
        return state, []
    return conversation.take_out(state, lambda part: part is open_calls[0], lambda _: False)


def _shorten_conversation(state: State) -> tuple[State, list[Entry]]:
    def fits(state: State) -> bool:
        return bool(state["conversation_bytes"] <= PAGE_DOWN_TO_BYTES)

    state, gone = conversation.take_out(state, lambda part: not is_open(part), fits)
    return conversation.shrink_open_calls(state, fits), gone


def _shorten_left(state: State) -> State:
    left = state["left"]
    while weight(left) > LEFT_BYTES:
        left = left[1:]
    return {**state, "left": left}


def _shorten_queue(state: State) -> State:
    queue = list(state["queue"])
    over = weight(queue) - QUEUE_BYTES
    for at in range(len(queue) - 1, -1, -1):
        if over <= 0:
            break
        entry = queue[at]
        if entry["prompt"] is not None and size(entry["prompt"]) > PROMPT_PREVIEW_BYTES:
            preview, rest = cut(entry["prompt"], PROMPT_PREVIEW_BYTES)
            omitted = entry.get("omitted_bytes", 0) + size(rest)
            queue[at] = {**entry, "prompt": preview, "omitted_bytes": omitted}
            over -= weight(entry) - weight(queue[at])
    return {**state, "queue": queue}


def _shorten_files(state: State) -> State:
    """By the place of their change in the log: objects in JavaScript have an order of their own."""
    files = state["files"]
    over = weight(files) - FILES_BYTES
    if over <= 0:
        return state
    files = dict(files)
    for path in sorted(files, key=lambda path: (files[path]["seq"], path)):
        if over <= 0:
            break
        over -= weight(path) + weight(files.pop(path)) + 2
    return {**state, "files": files}


def _shorten_approvals(state: State) -> State:
    over = weight(state["approvals"]) - APPROVALS_BYTES
    if over <= 0:
        return state
    approvals: list[dict[str, Any]] = []
    for one in state["approvals"]:
        if over > 0 and (one["decision"] is not None or one["run_id"] != state["active_run"]):
            over -= weight(one) + 1
            state = conversation.give_approval(state, one)
        else:
            approvals.append(one)
    for at, one in enumerate(approvals):
        if over > 0 and size(one["question"]) > QUESTION_PREVIEW_BYTES:
            preview, rest = cut(one["question"], QUESTION_PREVIEW_BYTES)
            approvals[at] = {**one, "question": preview, "omitted_bytes": one.get("omitted_bytes", 0) + size(rest)}
            over -= weight(one) - weight(approvals[at])
    for at, one in enumerate(approvals):
        if over > 0 and one["options"]:
            omitted = one.get("omitted_bytes", 0) + weight(one["options"])
            approvals[at] = {**one, "options": [], "omitted_bytes": omitted}
            over -= weight(one) - weight(approvals[at])
    return {**state, "approvals": approvals}


def _shorten_runs(state: State) -> State:
    over = weight(state["runs"]) - RUNS_BYTES
    if over <= 0:
        return state
    runs = []
    for run in state["runs"]:
        if over > 0 and run["id"] != state["active_run"]:
            over -= weight(run) + 1
        else:
            runs.append(run)
    return {**state, "runs": runs}


def _shorten_plan(state: State) -> State:
    plan = state.get("plan")
    if plan is None:
        return state
    entries, room = [], PLAN_BYTES - weight({**plan, "entries": [], "omitted_entries": 0})
    for entry in plan["entries"]:
        room -= weight(entry) + 1
        if room < 0:
            break
        entries.append(entry)
    omitted = len(plan["entries"]) - len(entries)
    return {**state, "plan": {**plan, "entries": entries, "omitted_entries": omitted}} if omitted else state


_SHORTEN = {
    "queue": _shorten_queue,
    "files": _shorten_files,
    "approvals": _shorten_approvals,
    "runs": _shorten_runs,
    "plan": _shorten_plan,
}
