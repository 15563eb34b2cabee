"""The conversation in the state of a log: messages, their parts, and how parts leave it for pages.

Each part has an ordinal `n` over the agent's life, and stands in the order of `n`. A new part goes to the end; if other
parts have come after its message, the message goes on in a second entry with the same id. So an entry of `messages` is
a stretch of one message, and whoever joins pages and state sorts the parts by `n`.

What the state holds is bounded (streaming.model.bounds). A text goes on in a new part after TEXT_BYTES. Where a call's
arguments, output or result are large they are null, and `omitted_bytes` says how large. `conversation_bytes` is the
weight of `messages`, kept up to date here because weighing all of it at each event would cost too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streaming.model.weight import cut, pieces, size, text_weight, weight

State = dict[str, Any]
Part = dict[str, Any]
Entry = dict[str, Any]

TEXT_BYTES = 32 * 1024
"""Of UTF-8, in one part."""
CALL_FIELD_BYTES = 16 * 1024
"""Weight of one call's arguments, output or result."""
CALL_TITLE_BYTES = 512
CALL_FIELDS = ("arguments", "output", "result")


# Text ---------------------------------------------------------------------------------------------------------------


def add_text(state: State, run_id: str | None, message_id: str, kind: str, content: str) -> State:
    """More of a text or of thinking: into the message's last part if that is of the kind and has room."""
    at = _stretch(state, run_id, message_id)
    entry = None if at is None else state["messages"][at]
    rest, continued = content, entry is None and left_bytes(state, run_id, message_id) is not None
    if entry is not None and at is not None:
        last = entry["parts"][-1]
        continued = last["type"] == kind
        if continued:
            more, rest = cut(content, TEXT_BYTES - size(last["text"]))
            state = _put_part(state, at, len(entry["parts"]) - 1, {**last, "text": last["text"] + more})
            if not rest:
                return state
    elif any(_is_of(one, run_id, message_id) for one in state["messages"]):
        continued = True  # a steering prompt stands between
    return _add_texts(state, _Place(run_id, message_id, "assistant"), kind, rest, continued)


def add_message(state: State, run_id: str | None, message_id: str, role: str, content: str) -> State:
    """A whole message. Of one that came in deltas before it takes the place of what has not left."""
    place = _Place(run_id, message_id, role)
    left = left_bytes(state, run_id, message_id)
    stretches = [one for one in state["messages"] if _is_of(one, run_id, message_id)]
    if left is None and not stretches:
        return _add_texts(state, place, "text", content, False)
    _, rest = cut(content, left or 0)
    said = "".join(part["text"] for one in stretches for part in one["parts"] if part["type"] == "text")
    if rest == said and all(one["role"] == role for one in stretches):
        return state
    messages = [_without_text(one, role) if one in stretches else one for one in state["messages"]]
    state = _weighed({**state, "messages": [one for one in messages if one["parts"]]})
    return _add_texts(state, place, "text", rest, bool(left)) if rest else state


def add_prompt(state: State, run_id: str, message_id: str, content: str, omitted: int, into: str | None) -> State:
    """What somebody asked, where its run begins; `into`: where that run's program took it. `omitted`: bytes that the
    queue did not hold."""
    extra: Part = {"omitted_bytes": omitted} if omitted else {}
    place = _Place(run_id, message_id, "user", into)
    return _add_texts(state, place, "text", content, False, extra)


class _Place:
    """Whose part it is."""

    def __init__(self, run_id: str | None, message_id: str, role: str, into: str | None = None) -> None:
        self.entry: Entry = {"id": message_id, "run_id": run_id, "role": role, "parts": []}
        if into is not None:
            self.entry["into"] = into


def _add_texts(
    state: State, place: _Place, kind: str, content: str, continued: bool, extra: Part | None = None
) -> State:
    for piece in pieces(content, TEXT_BYTES):
        part = {"type": kind, "text": piece, **(extra or {}), **({"continued": True} if continued else {})}
        state, continued = _add_part(state, place, part), True
    return state


def _without_text(entry: Entry, role: str) -> Entry:
    return {**entry, "role": role, "parts": [part for part in entry["parts"] if part["type"] != "text"]}


# Calls --------------------------------------------------------------------------------------------------------------


def add_call(state: State, run_id: str | None, data: dict[str, Any]) -> State:
    """A call belongs to the run's latest message if that is an answer; else it opens one that is named after it."""
    latest = next((one for one in reversed(state["messages"]) if one["run_id"] == run_id), None)
    message_id = data["call_id"]
    if latest is not None and latest["role"] == "assistant":
        message_id = latest["id"]
    elif latest is None:
        message_id = next((one["id"] for one in reversed(state["left"]) if one["run_id"] == run_id), message_id)
    title = data.get("title")
    part = {
        "type": "tool-call",
        "call_id": data["call_id"],
        "name": data["name"],
        "title": None if title is None else cut(title, CALL_TITLE_BYTES)[0],
        "arguments": data["arguments"],
        "output": "",
        "result": None,
        "is_error": False,
        "duration_ms": None,
        "state": "running",
    }
    return _add_part(state, _Place(run_id, message_id, "assistant"), _bounded(part))


def add_output(state: State, run_id: str | None, call_id: str, content: str) -> State:
    def change(part: Part) -> Part:
        if part["output"] is not None:
            return _bounded({**part, "output": part["output"] + content})
        omitted = part["omitted_bytes"]
        return {**part, "omitted_bytes": {**omitted, "output": omitted["output"] + text_weight(content)}}

    return _change_call(state, run_id, call_id, change)


def end_call(state: State, run_id: str | None, data: dict[str, Any]) -> State:
    def change(part: Part) -> Part:
        ended = "failed" if data["is_error"] else "completed"
        said = {"result": data["result"], "is_error": data["is_error"], "duration_ms": data["duration_ms"]}
        omitted = {name: of for name, of in part.get("omitted_bytes", {}).items() if name != "result"}
        kept = {key: value for key, value in part.items() if key != "omitted_bytes"}
        return _bounded({**kept, **said, "state": ended, **({"omitted_bytes": omitted} if omitted else {})})

    return _change_call(state, run_id, data["call_id"], change)


def put_call(state: State, run_id: str | None, call: Part) -> State:
    """The call as it is given, in the place of the part that is there."""
    return _change_call(state, run_id, call["call_id"], lambda part: _bounded({**part, **call}))


def interrupt_calls(state: State, run_id: str | None) -> State:
    """Those that nobody will end: their run has."""
    for at, entry in enumerate(state["messages"]):
        if entry["run_id"] == run_id:
            for i, part in enumerate(entry["parts"]):
                if is_open(part):
                    state = _put_part(state, at, i, {**part, "state": "interrupted"})
    return state


def is_open(part: Part) -> bool:
    """Does something of it still come? Such a part stays."""
    return bool(part["type"] == "tool-call" and part["state"] == "running")


def _change_call(state: State, run_id: str | None, call_id: str, change: Callable[[Part], Part]) -> State:
    """Output or result of a call that is not there changes nothing: it is in the log."""
    messages = state["messages"]
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["run_id"] == run_id:
            parts = messages[at]["parts"]
            for i in range(len(parts) - 1, -1, -1):
                if parts[i]["type"] == "tool-call" and parts[i]["call_id"] == call_id:
                    return _put_part(state, at, i, change(parts[i]))
    return state


def _bounded(part: Part, most_bytes: int = CALL_FIELD_BYTES) -> Part:
    """With null in place of what is larger, and its weight under its name in `omitted_bytes`."""
    omitted = dict(part.get("omitted_bytes", {}))
    for name in CALL_FIELDS:
        if name not in omitted and part[name] is not None and (of := weight(part[name])) > most_bytes:
            omitted[name] = of - 2 if name == "output" else of
            part = {**part, name: None}
    return {**part, "omitted_bytes": omitted} if omitted else part


# Leaving ------------------------------------------------------------------------------------------------------------


def take_out(state: State, goes: Callable[[Part], bool], enough: Callable[[State], bool]) -> tuple[State, list[Entry]]:
    """The oldest parts that may go leave until it is `enough`: the state without them, and their messages."""
    kept_entries: list[Entry] = []
    gone: list[Entry] = []
    for entry in state["messages"]:
        kept, leaving = [], []
        for part in entry["parts"]:
            if goes(part) and not enough(state):
                leaving.append(part)
                state = _lighter(state, part)
            else:
                kept.append(part)
        if not leaving:
            kept_entries.append(entry)
            continue
        state, leaving = _with_their_approvals(state, entry, leaving)
        state = _remember(state, entry, leaving)
        gone.append({**entry, "parts": leaving})
        rest = {**entry, "parts": kept}
        if kept:
            kept_entries.append(rest)
        else:
            state = _lighter(state, rest)
    return {**state, "messages": kept_entries}, gone


def in_order(entries: list[Entry]) -> list[Entry]:
    """The same parts in the order of `n`, those of one message that follow each other in one entry."""
    ordered: list[Entry] = []
    for entry, part in sorted(((one, part) for one in entries for part in one["parts"]), key=lambda both: both[1]["n"]):
        head = {**entry, "parts": []}
        if ordered and {**ordered[-1], "parts": []} == head:
            ordered[-1]["parts"].append(part)
        else:
            ordered.append({**head, "parts": [part]})
    return ordered


def shrink_open_calls(state: State, enough: Callable[[State], bool]) -> State:
    """What is left when only open calls are: they lose what is large of them, the oldest first."""
    for at, entry in enumerate(state["messages"]):
        for i, part in enumerate(entry["parts"]):
            if enough(state):
                return state
            if is_open(part):
                state = _put_part(state, at, i, _bounded(part, 0))
    return state


def left_bytes(state: State, run_id: str | None, message_id: str) -> int | None:
    """How much text of a message has left while its run goes on; None if nothing of it has."""
    found = (one["text_bytes"] for one in state["left"] if one["run_id"] == run_id and one["id"] == message_id)
    return next(found, None)


def _remember(state: State, entry: Entry, parts: list[Part]) -> State:
    """That parts of it have left: more of the same message may come."""
    if entry["run_id"] != state["active_run"] or entry["role"] == "user":
        return state
    said = sum(size(part["text"]) for part in parts if part["type"] == "text")
    before = left_bytes(state, entry["run_id"], entry["id"]) or 0
    others = [one for one in state["left"] if (one["run_id"], one["id"]) != (entry["run_id"], entry["id"])]
    left = {"run_id": entry["run_id"], "id": entry["id"], "text_bytes": before + said}
    return {**state, "left": [*others, left]}


def give_approval(state: State, approval: dict[str, Any]) -> State:
    """To the part of the call that it was about, if that is here."""

    def change(part: Part) -> Part:
        return {**part, "approvals": [*part.get("approvals", []), approval]}

    return _change_call(state, approval["run_id"], approval["call_id"], change)


def _with_their_approvals(state: State, entry: Entry, parts: list[Part]) -> tuple[State, list[Part]]:
    """Questions about a call that can't be answered any more leave with it."""
    over = [
        one
        for one in state["approvals"]
        if one["run_id"] == entry["run_id"] and (one["decision"] is not None or one["run_id"] != state["active_run"])
    ]
    taken: list[dict[str, Any]] = []
    for at, part in enumerate(parts):
        if part["type"] == "tool-call":
            own = [one for one in over if one["call_id"] == part["call_id"] and one not in taken]
            if own:
                parts = [*parts[:at], {**part, "approvals": [*part.get("approvals", []), *own]}, *parts[at + 1 :]]
                taken += own
    if not taken:
        return state, parts
    return {**state, "approvals": [one for one in state["approvals"] if one not in taken]}, parts


# Places -------------------------------------------------------------------------------------------------------------


def _is_of(entry: Entry, run_id: str | None, message_id: str) -> bool:
    return bool(entry["id"] == message_id and entry["run_id"] == run_id)


def _stretch(state: State, run_id: str | None, message_id: str) -> int | None:
    """Where a message goes on: its last entry, unless its program has taken a prompt since."""
    messages = state["messages"]
    for at in range(len(messages) - 1, -1, -1):
        if run_id is not None and messages[at].get("into") == run_id:
            return None
        if _is_of(messages[at], run_id, message_id):
            return at
    return None


def _add_part(state: State, place: _Place, part: Part) -> State:
    messages, n = state["messages"], state["parts_total"] + 1
    part = {"n": n, **part}
    last = messages[-1] if messages else None
    added = weight(part) + 1
    if last is not None and all(last.get(key) == place.entry.get(key) for key in ("id", "run_id", "role", "into")):
        messages = [*messages[:-1], {**last, "parts": [*last["parts"], part]}]
    else:
        added += weight(place.entry) + 1
        messages = [*messages, {**place.entry, "parts": [part]}]
    return {
        **state,
        "messages": messages,
        "parts_total": n,
        "conversation_bytes": state["conversation_bytes"] + added,
    }


def _put_part(state: State, at: int, i: int, part: Part) -> State:
    messages = state["messages"]
    entry = messages[at]
    grown = weight(part) - weight(entry["parts"][i])
    changed = {**entry, "parts": [*entry["parts"][:i], part, *entry["parts"][i + 1 :]]}
    return {
        **state,
        "messages": [*messages[:at], changed, *messages[at + 1 :]],
        "conversation_bytes": state["conversation_bytes"] + grown,
    }


def _lighter(state: State, item: Part | Entry) -> State:
    return {**state, "conversation_bytes": state["conversation_bytes"] - weight(item) - 1}


def _weighed(state: State) -> State:
    return {**state, "conversation_bytes": weight(state["messages"])}
