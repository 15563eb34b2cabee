"""The folded state as a template wants it: turns of messages of parts. The same views as static/agents/conversation.js.

Messages are grouped by run, in the order in which the runs were at work: a prompt that waits in the queue would else
stand in the middle of the answer that is being written. One that was handed to a run at work stands in that run's turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from agents.pages import approvals, asjson, calls, markdown, measures, plan, terminal
from agents.pages.advice import ADVICE
from streaming.fold import State

SHOWN_PARTS = 400
"""Parts of a conversation that are in the page at first. Older ones are cut off in steps of `STEP_PARTS`, so that the
beginning of what is shown does not move with every new part."""
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


@dataclass(frozen=True, slots=True)
class Message:
    key: str
    role: str
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Turn:
    run_id: str | None
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


@dataclass(frozen=True, slots=True)
class Queued:
    """A prompt that waits for its turn."""

    run_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: list[Turn]
    queued: list[Queued]
    left_out_parts: int


def of(state: State, files_url: str, *, everything: bool = False) -> Conversation:
    total = sum(len(message["parts"]) for message in state["messages"])
    excess = 0 if everything else max(0, total - SHOWN_PARTS)
    left_out = -(-excess // STEP_PARTS) * STEP_PARTS
    runs = {run["id"]: run for run in state["runs"]}
    asked = {(one["run_id"], one["call_id"]) for one in state["approvals"] if _is_waiting(one, runs)}
    turns = []
    skip = left_out
    groups = _by_turn(state)
    for run_id, messages in groups.items():
        shown = []
        for message in messages:
            parts = message["parts"]
            dropped = min(skip, len(parts))
            skip -= dropped
            if dropped < len(parts) or not parts:
                key = f"{run_id}/{message['id']}"
                views = [
                    _part(part, message["role"], files_url, is_asked=(run_id, part.get("call_id")) in asked)
                    for part in parts[dropped:]
                ]
                shown.append(Message(key, message["role"], views))
        if shown and run_id not in state["queue"]:
            turns.append(_turn(run_id, shown, messages, runs.get(run_id), state, everything))
    queued = [Queued(run_id, _prompt(groups.get(run_id, []))) for run_id in state["queue"]]
    return Conversation(turns, queued, left_out)


def _is_waiting(approval: dict[str, Any], runs: dict[str, dict[str, Any]]) -> bool:
    return approval["call_id"] is not None and approvals.is_waiting(approval, runs.get(approval["run_id"]))


def _by_turn(state: State) -> dict[str | None, list[dict[str, Any]]]:
    """In the order of the log, not of clocks, which may differ from worker to worker: turns in which something was said
    are in the order of their first words; the others stay where they were asked for."""
    runs = {run["id"]: run for run in state["runs"]}
    groups: dict[str | None, list[dict[str, Any]]] = {}
    spoken: dict[str | None, None] = {}
    for message in state["messages"]:
        turn = _host(runs.get(message["run_id"]), state) or message["run_id"]
        groups.setdefault(turn, []).append(message)
        if message["role"] != "user":
            spoken.setdefault(turn)
    heard = iter(spoken)
    return {turn: groups[turn] for turn in [next(heard) if turn in spoken else turn for turn in groups]}


def _host(run: dict[str, Any] | None, state: State) -> str | None:
    """The run that was at work when this one was handed to it; None for any that was not."""
    if run is None or run["status"] != "completed" or run["started_at"] is not None:
        return None
    at = run["finished_at"]
    for one in state["runs"]:
        if one["started_at"] and one["started_at"] <= at and (one["finished_at"] is None or one["finished_at"] >= at):
            found: str = one["id"]
            return found
    return None


def _prompt(messages: list[dict[str, Any]]) -> str:
    return next((part["text"] for message in messages for part in message["parts"] if part["type"] == "text"), "")


def _turn(
    run_id: str | None,
    shown: list[Message],
    messages: list[dict[str, Any]],
    run: dict[str, Any] | None,
    state: State,
    everything: bool,
) -> Turn:
    status = run["status"] if run else ""
    asked = [approval for approval in state["approvals"] if approval["run_id"] == run_id]
    error = run["error"] if run else None
    return Turn(
        run_id=run_id,
        messages=shown,
        plan=plan.of(state.get("plan"), run),
        questions=approvals.of(asked, run, _calls(messages) if asked else {}, everything=everything),
        status=status,
        budget=[measures.budget(share) for share in run.get("budget", [])] if run else [],
        error=error,
        advice=ADVICE.get(error["code"], "") if error else "",
        final_word=_final_word(run) if run else "",
        meta=measures.run_duration(run) if run and run["finished_at"] else "",
        again=_again(run, state),
    )


def _final_word(run: dict[str, Any]) -> str:
    if run["status"] == "cancelled" and run["started_at"] is None:
        return WITHDRAWN
    if run["status"] == "completed" and run["error"]:
        return REPORTED
    return FINAL_WORDS.get(run["status"], "")


def _calls(messages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    parts = (part for message in messages for part in message["parts"])
    return {part["call_id"]: part for part in parts if part["type"] == "tool-call"}


def _again(run: dict[str, Any] | None, state: State) -> list[str]:
    """Only behind the last run, and while nothing else is to be done: else it is not clear what comes first."""
    if run is None or run is not state["runs"][-1] or state["active_run"] is not None or state["queue"]:
        return []
    if run["finished_at"] is None or run["status"] not in FINAL_WORDS:
        return []
    return ["resume", "retry"] if can_continue(run, state) else ["retry"]


def can_continue(run: dict[str, Any], state: State) -> bool:
    """Whether there is something to go on from: it is the latest run, it did not complete, and its program has said
    something."""
    if run is not state["runs"][-1] or run["finished_at"] is None or run["status"] not in FINAL_WORDS:
        return False
    return any(message["run_id"] == run["id"] and message["role"] != "user" for message in state["messages"])


def _part(part: dict[str, Any], role: str, files_url: str, *, is_asked: bool) -> Part:
    if part["type"] == "text":
        if role == "assistant":
            return Part("markdown", html=markdown.render(part["text"], files_url))
        return Part("plain", text=part["text"])
    if part["type"] == "thinking":
        return Part("thinking", text=part["text"])
    return _tool(part, is_asked=is_asked)


def _tool(call: dict[str, Any], *, is_asked: bool) -> Part:
    state = "waiting" if call["state"] == "running" and is_asked else call["state"]
    cut, output = terminal.tail(call["output"])
    result, result_cut = _result(call["result"])
    return Part(
        "tool",
        call=call,
        summary=calls.plainly(call["title"] or _gist(call["arguments"])),
        state=state,
        state_word=measures.duration(call["duration_ms"])
        if state == "completed" and call["duration_ms"] is not None
        else STATE_WORDS[state],
        about=calls.sections(call["arguments"]),
        output=terminal.to_html(output) if output else None,
        output_cut=f"{cut:,} earlier characters are in the log." if cut else "",
        result=result,
        result_cut=result_cut,
        diffs=calls.diffs(call["result"]),
        is_open=state not in ("completed", "waiting"),  # what waits stands in the question as well
    )


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
