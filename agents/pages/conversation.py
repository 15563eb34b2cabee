"""The folded state as a template wants it: turns of messages of parts. The same views as static/agents/conversation.js.

Messages are grouped by run, in the order in which the runs first spoke: a prompt that waits in the queue would else
stand in the middle of the answer that is being written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from agents.pages import markdown, measures, terminal
from streaming.fold import State

SHOWN_PARTS = 400
"""Parts of a conversation that are in the page at first. Older ones are cut off in steps of `STEP_PARTS`, so that the
beginning of what is shown does not move with every new part."""
STEP_PARTS = 200
KEPT_TEXT = 20_000
FINAL_WORDS = {"failed": "The run failed.", "cancelled": "Stopped."}
STATE_WORDS = {"running": "running", "completed": "done", "failed": "failed", "interrupted": "interrupted"}


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    html: SafeString | None = None
    text: str = ""
    call: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    state_word: str = ""
    arguments: list[tuple[str, str, bool]] = field(default_factory=list)
    """(name, value, whether it needs lines of its own)"""
    output: SafeString | None = None
    output_cut: int = 0
    result: str | None = None
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
    approvals: list[dict[str, Any]]
    is_queued: bool
    status: str
    error: dict[str, Any] | None
    final_word: str
    meta: str


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: list[Turn]
    left_out_parts: int


def of(state: State, files_url: str, *, everything: bool = False) -> Conversation:
    total = sum(len(message["parts"]) for message in state["messages"])
    excess = 0 if everything else max(0, total - SHOWN_PARTS)
    left_out = -(-excess // STEP_PARTS) * STEP_PARTS
    runs = {run["id"]: run for run in state["runs"]}
    turns = []
    skip = left_out
    for run_id, messages in _by_run(state).items():
        shown = []
        for message in messages:
            parts = message["parts"]
            dropped = min(skip, len(parts))
            skip -= dropped
            if dropped < len(parts) or not parts:
                key = f"{run_id}/{message['id']}"
                views = [_part(part, message["role"], files_url) for part in parts[dropped:]]
                shown.append(Message(key, message["role"], views))
        if shown:
            turns.append(_turn(run_id, shown, runs.get(run_id), state))
    return Conversation(turns, left_out)


def _by_run(state: State) -> dict[str | None, list[dict[str, Any]]]:
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for message in state["messages"]:
        groups.setdefault(message["run_id"], []).append(message)
    return groups


def _turn(run_id: str | None, messages: list[Message], run: dict[str, Any] | None, state: State) -> Turn:
    status = run["status"] if run else ""
    return Turn(
        run_id=run_id,
        messages=messages,
        approvals=[approval for approval in state["approvals"] if approval["run_id"] == run_id],
        is_queued=run_id in state["queue"],
        status=status,
        error=run["error"] if run else None,
        final_word=FINAL_WORDS.get(status, ""),
        meta=measures.run_duration(run) if run and run["finished_at"] else "",
    )


def _part(part: dict[str, Any], role: str, files_url: str) -> Part:
    if part["type"] == "text":
        if role == "assistant":
            return Part("markdown", html=markdown.render(part["text"], files_url))
        return Part("plain", text=part["text"])
    if part["type"] == "thinking":
        return Part("thinking", text=part["text"])
    return _tool(part)


def _tool(call: dict[str, Any]) -> Part:
    cut, output = terminal.tail(call["output"])
    return Part(
        "tool",
        call=call,
        summary=call["title"] or _gist(call["arguments"]),
        state_word=measures.duration(call["duration_ms"])
        if call["state"] == "completed" and call["duration_ms"] is not None
        else STATE_WORDS[call["state"]],
        arguments=list(_arguments(call["arguments"])),
        output=terminal.to_html(output) if output else None,
        output_cut=cut,
        result=_readable(call["result"]),
        is_open=call["state"] != "completed",
    )


def _gist(arguments: dict[str, Any]) -> str:
    """What a closed card says about a call without a title: the first line of its first argument that is text."""
    first = next((value for value in arguments.values() if isinstance(value, str) and value.strip()), "")
    return first.strip().split("\n", 1)[0][:100]


def _arguments(arguments: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for name, value in arguments.items():
        text = _clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2))
        yield name, text, "\n" in text or len(text) > 80


def _readable(result: Any) -> str | None:
    if result is None or result == "":
        return None
    return _clip(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2))


def _clip(text: str) -> str:
    return text if len(text) <= KEPT_TEXT else text[:KEPT_TEXT] + f"\n… {len(text) - KEPT_TEXT} more characters"
