"""The folded state as a template wants it: turns of messages of parts. The same turns as static/agents/turns.js.

Entries of the conversation are grouped by run. A steering prompt stands in the turn of the run that took it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from django.utils.safestring import SafeString

from agents.pages import approvals, asjson, calls, markdown, measures, plan, terminal
from agents.pages.advice import ADVICE
from streaming.fold import State

SHOWN_PARTS = 400
"""Parts of the state that are in the page at first. Older ones are cut off in steps of `STEP_PARTS`, so that the
beginning does not move with every new part."""
STEP_PARTS = 200
KEPT_TEXT = 20_000
FINAL_WORDS = {"failed": "The run failed.", "cancelled": "Stopped."}
WITHDRAWN = "Withdrawn."
REPORTED = "Reported an error."
STATE_WORDS = {
    "waiting": "waiting for you",
    "running": "running",
    "completed": "done",
    "failed": "failed",
    "interrupted": "interrupted",
}


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    html: SafeString | None = None
    text: str = ""
    call: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    state: str = ""
    """Of a call: the log's, or waiting, while its approval does."""
    state_word: str = ""
    about: list[calls.Section] = field(default_factory=list)
    output: SafeString | None = None
    output_cut: str = ""
    result: str | None = None
    result_cut: str = ""
    diffs: list[calls.Section] = field(default_factory=list)
    is_open: bool = False
    omitted: list[str] = field(default_factory=list)
    """What of it the state does not hold, in words."""


@dataclass(frozen=True, slots=True)
class Message:
    key: str
    run_id: str | None
    role: str
    is_steering: bool
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Turn:
    run_id: str | None
    first_n: float
    """The ordinal of its first part that is shown."""
    messages: list[Message]
    plan: plan.Plan | None
    questions: approvals.Questions
    status: str
    budget: list[str]
    error: dict[str, Any] | None
    advice: str
    final_word: str
    meta: str
    again: list[str]
    """What its owner can do with it now: resume, retry."""
    is_old: bool
    """Has its run left the state?"""
    begins_anew: bool = False
    """Is everything before it from before the conversation was cleared?"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A prompt that waits for its turn."""

    run_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """`earlier`: the query of the address that shows what is before it, or empty. `is_cleared`: it ends where the
    conversation was cleared. `is_past`: it is an earlier page, not the end."""

    turns: list[Turn]
    queued: list[Queued]
    earlier: str
    is_cleared: bool = False
    is_past: bool = False


@dataclass(slots=True)
class _Stretch:
    """Entries of one message that follow each other: shown together under one speaker. `drawn`: parts that are one
    text, or a single one."""

    entry: dict[str, Any]
    drawn: list[list[dict[str, Any]]]


def of(state: State, files_url: str, *, everything: bool = False, page: dict[str, Any] | None = None) -> Conversation:
    """`everything`: all parts of the state. `page`: an earlier page of the conversation, which is shown instead."""
    entries = state["messages"] if page is None else page["messages"]
    first = 1 if everything or page is not None else _window_start(state["parts_total"])
    groups = _by_turn(state, entries)
    if page is None and state["active_run"] is not None:
        # One that works shows so, and what it asks, even when all that it said is on an earlier page.
        groups.setdefault(state["active_run"], [])
    turns = []
    for run_id, own in groups.items():
        stretches = _stretches(own, first)
        if stretches or (page is None and run_id == state["active_run"]):
            turns.append(_turn(run_id, stretches, own, state, files_url, everything=everything))
    earlier = (state if page is None else page)["earlier"]
    query = f"before={earlier['before']}" if earlier else ""
    if any(part["n"] < first for part in _parts(entries)):
        query = "all"
    queued = [] if page is not None else [_queued(entry) for entry in state["queue"]]
    return _divided(Conversation(turns, queued, query, is_past=page is not None), state["cleared"])


def _window_start(parts_total: int) -> int:
    """The ordinal of the first part that is shown."""
    return -(-max(0, parts_total - SHOWN_PARTS) // STEP_PARTS) * STEP_PARTS + 1


def _divided(shown: Conversation, cleared: int) -> Conversation:
    if not any(turn.first_n <= cleared for turn in shown.turns):
        return shown
    at = next((at for at, turn in enumerate(shown.turns) if turn.first_n > cleared), None)
    if at is None:
        return replace(shown, is_cleared=True)
    turns = [*shown.turns[:at], replace(shown.turns[at], begins_anew=True), *shown.turns[at + 1 :]]
    return replace(shown, turns=turns)


def _is_waiting(approval: dict[str, Any], run: dict[str, Any] | None) -> bool:
    return approval["call_id"] is not None and approvals.is_waiting(approval, run)


def _by_turn(state: State, entries: list[dict[str, Any]]) -> dict[str | None, list[dict[str, Any]]]:
    runs = {run["id"]: run for run in state["runs"]}
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for entry in entries:
        turn = entry.get("into") or _host(runs.get(entry["run_id"]), state) or entry["run_id"]
        groups.setdefault(turn, []).append(entry)
    return groups


def _host(run: dict[str, Any] | None, state: State) -> str | None:
    """The run that was at work when this one was handed to it, in a log that does not say so with `into`."""
    if run is None or not is_handed_over(run):
        return None
    at = run["finished_at"]
    for one in state["runs"]:
        if one["started_at"] and one["started_at"] <= at and (one["finished_at"] is None or one["finished_at"] >= at):
            found: str = one["id"]
            return found
    return None


def is_handed_over(run: dict[str, Any]) -> bool:
    """A steering prompt has a run of its own, which never begins."""
    return bool(run["status"] == "completed" and run["started_at"] is None)


def _stretches(entries: list[dict[str, Any]], first: int) -> list[_Stretch]:
    """A text that goes on in another part is one text again, unless a prompt stands between."""
    stretches: list[_Stretch] = []
    latest: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        if entry["role"] == "user":
            latest.clear()
        message = (entry["run_id"], entry["id"])
        for part in entry["parts"]:
            if part["n"] < first:
                continue
            before = latest.get(message)
            if part.get("continued") and before and before[0]["type"] == part["type"]:
                before.append(part)
                continue
            latest[message] = [part]
            if not stretches or _head(stretches[-1].entry) != _head(entry):
                stretches.append(_Stretch(entry, []))
            stretches[-1].drawn.append(latest[message])
    return stretches


def _head(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["id"], entry["run_id"], entry["role"]


def _parts(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for entry in entries for part in entry["parts"]]


def _queued(entry: dict[str, Any]) -> Queued:
    return Queued(entry["run_id"], (entry["prompt"] or "") + ("…" if entry.get("omitted_bytes") else ""))


def _turn(
    run_id: str | None,
    stretches: list[_Stretch],
    entries: list[dict[str, Any]],
    state: State,
    files_url: str,
    *,
    everything: bool,
) -> Turn:
    run = next((run for run in state["runs"] if run["id"] == run_id), None)
    left = [approval for part in _parts(entries) for approval in part.get("approvals", [])]
    asked = [*left, *(approval for approval in state["approvals"] if approval["run_id"] == run_id)]
    waiting = {one["call_id"] for one in asked if _is_waiting(one, run)}
    error = run["error"] if run else None
    return Turn(
        run_id=run_id,
        first_n=stretches[0].drawn[0][0]["n"] if stretches else inf,
        messages=[_message(stretch, run_id, files_url, waiting) for stretch in stretches],
        plan=plan.of(state.get("plan"), run),
        questions=approvals.of(asked, run, _calls(entries) if asked else {}, everything=everything),
        status=run["status"] if run else "",
        budget=[measures.budget(share) for share in run.get("budget", [])] if run else [],
        error=error,
        advice=ADVICE.get(error["code"], "") if error else "",
        final_word=_final_word(run) if run else "",
        meta=measures.run_duration(run) if run and run["finished_at"] else "",
        again=_again(run, state),
        is_old=run is None and run_id is not None and state["runs_total"] > len(state["runs"]) + len(state["queue"]),
    )


def _message(stretch: _Stretch, turn: str | None, files_url: str, waiting: set[str | None]) -> Message:
    entry = stretch.entry
    parts = [
        _part(drawn, entry["role"], files_url, is_asked=drawn[0].get("call_id") in waiting) for drawn in stretch.drawn
    ]
    is_steering = entry["role"] == "user" and entry["run_id"] != turn
    return Message(f"{entry['run_id']}/{entry['id']}", entry["run_id"], entry["role"], is_steering, parts)


def _final_word(run: dict[str, Any]) -> str:
    if run["status"] == "cancelled" and run["started_at"] is None:
        return WITHDRAWN
    if run["status"] == "completed" and run["error"]:
        return REPORTED
    return FINAL_WORDS.get(run["status"], "")


def _calls(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part["call_id"]: part for part in _parts(entries) if part["type"] == "tool-call"}


def _again(run: dict[str, Any] | None, state: State) -> list[str]:
    """Only behind the last run, and while nothing else is to be done: otherwise it is not clear what comes first."""
    if run is None or not _is_last(run, state) or state["active_run"] is not None:
        return []
    if run["finished_at"] is None or run["status"] not in FINAL_WORDS:
        return []
    return ["resume", "retry"] if can_continue(run, state) else ["retry"]


def can_continue(run: dict[str, Any], state: State) -> bool:
    """Whether there is something to go on from: it is the latest run, it did not complete, and its program has said
    something."""
    if not _is_last(run, state) or run["finished_at"] is None or run["status"] not in FINAL_WORDS:
        return False
    return any(message["run_id"] == run["id"] and message["role"] != "user" for message in state["messages"])


def _is_last(run: dict[str, Any], state: State) -> bool:
    begun = [one for one in state["runs"] if not is_handed_over(one)]
    return not state["queue"] and bool(begun) and run is begun[-1]


def _part(drawn: list[dict[str, Any]], role: str, files_url: str, *, is_asked: bool) -> Part:
    part = drawn[0]
    if part["type"] == "tool-call":
        return _tool(part, is_asked=is_asked)
    text = "".join(one["text"] for one in drawn)
    if part["type"] == "thinking":
        return Part("thinking", text=text)
    if role == "assistant":
        return Part("markdown", html=markdown.render(text, files_url))
    if omitted := part.get("omitted_bytes"):
        return Part("plain", text=f"{text}…", omitted=[_not_shown(omitted, "the prompt")])
    return Part("plain", text=text)


def _tool(call: dict[str, Any], *, is_asked: bool) -> Part:
    state = "waiting" if call["state"] == "running" and is_asked else call["state"]
    cut, output = terminal.tail(call["output"] or "")
    result, result_cut = _result(call["result"])
    return Part(
        "tool",
        call=call,
        summary=calls.plainly(call["title"] or _gist(call["arguments"] or {})),
        state=state,
        state_word=measures.duration(call["duration_ms"])
        if state == "completed" and call["duration_ms"] is not None
        else STATE_WORDS[state],
        about=calls.sections(call["arguments"] or {}),
        output=terminal.to_html(output) if output else None,
        output_cut=f"{cut:,} earlier characters are in the log." if cut else "",
        result=result,
        result_cut=result_cut,
        diffs=calls.diffs(call["result"]),
        is_open=state not in ("completed", "waiting"),  # what waits stands in the question as well
        omitted=[_not_shown(size, _field(name, call)) for name, size in _omitted(call)],
    )


def _omitted(call: dict[str, Any]) -> list[tuple[str, int]]:
    """(argument, output or result, its bytes); a call that is not done has no result yet."""
    has_result = call["state"] in ("completed", "failed")
    omitted = call.get("omitted_bytes", {})
    names = ("arguments", "output", "result") if has_result else ("arguments", "output")
    return [(name, omitted[name]) for name in names if omitted.get(name)]


def _field(name: str, call: dict[str, Any]) -> str:
    return "the error" if name == "result" and call["is_error"] else f"the {name}"


def _not_shown(size: int, what: str) -> str:
    return f"{measures.size(size)} of {what} not shown"


def _gist(arguments: dict[str, Any]) -> str:
    """What a closed card says about a call without a title: the first line of its first argument that is text."""
    values = (arguments[name] for name in asjson.names(arguments))
    first = next((value for value in values if isinstance(value, str) and value.strip()), "")
    return first.strip().split("\n", 1)[0][:100]


def _result(result: Any) -> tuple[str | None, str]:
    """(text, what is left out of it). The diffs of a result over ACP are shown as such."""
    if isinstance(result, dict) and calls.diffs(result, 0):
        result = result.get("text")
    if result is None or result == "":
        return None, ""
    return calls.clip(calls.readable(result))
