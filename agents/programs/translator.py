"""From what a container prints to events: the meaning of container protocol v1 (docs/container-protocol.md).

A container says only type and data. What only the site may say (a user's message, a file change, an answer to an
approval, the end of a run, another's id or seq) stays words of the program: it becomes a `log` event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from time import monotonic
from typing import Any

from agents.gateway.budgets.guard import is_ours
from containers.protocols.jsonl import Line
from streaming.errors import EventInvalid
from streaming.model.events import NAME_CHARS, SCHEMA, Draft, draft

SAYABLE = frozenset(
    (
        "text",
        "thinking",
        "message",
        "tool-call",
        "tool-output",
        "tool-result",
        "plan",
        "approval-request",
        "usage",
        "log",
        "error",
    )
)
DELTAS = {"text": "message_id", "thinking": "message_id", "tool-output": "call_id"}
"""With the field that says whose they are."""
ENDS_OF_DELTAS = ("tool-result", "message")
DEFAULT_MESSAGE_ID = "m1"
_NEEDS_MESSAGE_ID = frozenset(("text", "thinking", "message"))
NEWLINE = "\n"
_PROMPT_ID = re.compile(r"u-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Translator:
    """Of one attempt. `done` holds the program's own `done` line once it has come; the run ends with the program.
    `counted_here`: the run's model calls pass the gateway, which counts them; the program's own count is its word."""

    def __init__(self, run_id: str, clock: Callable[[], float] = monotonic, *, counted_here: bool = False) -> None:
        self.run_id = run_id
        self.done: Draft | None = None
        self._clock = clock
        self._counted_here = counted_here
        self._calls: dict[str, float] = {}
        self._asked: set[str] = set()
        self._usage = {"input_tokens": 0, "output_tokens": 0, "cost_usd": None}

    def translate(self, line: Line) -> list[Draft]:
        if line.cut:
            return [*self.as_log(line), self._error("line-too-long", "a line over 1 MiB was cut")]
        if not isinstance(line.value, dict):
            return self.as_log(line)
        said = dict(line.value)
        type_ = said.pop("type")
        if (delta := self._delta(type_, said)) is not None:
            return [delta]
        try:
            if type_ == "done":
                self.done = self._final(said)
                return []
            if type_ not in SAYABLE or self._is_anothers(type_, said):
                return self.as_log(line)
            made = draft(type_, self.run_id, **self._completed(type_, said))
            if type_ == "approval-request":
                self._asked.add(made.data["approval_id"])
            return [made]
        except EventInvalid:
            return self.as_log(line)

    def rehearse(self, line: Line) -> list[Draft]:
        """Of a line whose events are in the log: deltas, and what ends them. Changes nothing that `resume` has set."""
        if not isinstance(line.value, dict) or line.value["type"] not in (*DELTAS, *ENDS_OF_DELTAS):
            return []
        return self.translate(line)

    def _delta(self, type_: str, said: dict[str, Any]) -> Draft | None:
        """What programs say most, without the checks that the parser has made: a token a line is a delta a line."""
        target = DELTAS.get(type_)
        if target is None:
            return None
        whose, content = said.get(target, DEFAULT_MESSAGE_ID if target == "message_id" else None), said.get("content")
        if not (isinstance(whose, str) and 0 < len(whose) <= NAME_CHARS and isinstance(content, str)):
            return None
        return None if _is_users(whose) else Draft(type_, self.run_id, {target: whose, "content": content})

    def _is_anothers(self, type_: str, said: dict[str, Any]) -> bool:
        """What would be taken for something else: a user's words, our own, an answer to another question. Calls count
        too: the fold gives a message that begins with a call that call's id."""
        if type_ == "message" and said.get("role", "assistant") == "user":
            return True
        if type_ == "approval-request":
            approval_id = said.get("approval_id")
            return isinstance(approval_id, str) and (approval_id in self._asked or is_ours(approval_id))
        if type_ == "log":
            return said.get("stream") == "egress"
        if type_ == "usage" and self._counted_here:
            return True
        return any(_is_users(said.get(name)) for name in ("message_id", "call_id"))

    def _completed(self, type_: str, said: dict[str, Any]) -> dict[str, Any]:
        """What a program may leave out."""
        data = {key: value for key, value in said.items() if key in SCHEMA[type_].model_fields}
        if type_ in _NEEDS_MESSAGE_ID:
            data.setdefault("message_id", DEFAULT_MESSAGE_ID)
        if type_ == "message":
            data.setdefault("role", "assistant")
        if type_ == "tool-call":
            self._calls[str(data.get("call_id"))] = self._clock()
        if type_ == "tool-result" and data.get("duration_ms") is None:
            started = self._calls.pop(str(data.get("call_id")), None)
            data["duration_ms"] = None if started is None else round((self._clock() - started) * 1000)
        if type_ == "approval-request" and data.get("options") == []:
            del data["options"]  # nobody could answer
        if type_ == "error":
            data.setdefault("code", "program-error")
        if type_ == "usage":
            data["total"] = self._add_usage(data)
        return data

    def _add_usage(self, step: dict[str, Any]) -> dict[str, Any]:
        checked = draft("usage", self.run_id, **{**step, "total": {}}).data
        total = dict(self._usage)
        for key in ("input_tokens", "output_tokens"):
            total[key] += checked[key]
        if checked["cost_usd"] is not None:
            total["cost_usd"] = (total["cost_usd"] or 0) + checked["cost_usd"]
        draft("usage", self.run_id, **{**step, "total": total})  # a sum beyond what can be counted is not kept
        self._usage = total
        return dict(total)

    def resume(self, usage: dict[str, Any], asked: set[str]) -> None:
        """Go on after a takeover: from a run's usage so far, and the approvals that it has asked for."""
        self._usage, self._asked = dict(usage), set(asked)

    def _final(self, said: dict[str, Any]) -> Draft:
        status = said.get("status", "completed")
        return draft("done", self.run_id, status=status, result=said.get("result"))

    def as_log(self, line: Line) -> list[Draft]:
        if isinstance(line.value, str):
            # Not through `draft`: the parser lets through only what can be stored, and a program may print millions.
            return [Draft("log", self.run_id, {"stream": line.stream, "content": line.value + NEWLINE})]
        return [draft("log", self.run_id, stream=line.stream, content=_as_said(line.value) + NEWLINE)]

    def _error(self, code: str, message: str) -> Draft:
        return draft("error", self.run_id, code=code, message=message, retryable=False)


def user_message_id(run_id: str) -> str:
    """The id of a run's prompt in the conversation."""
    return f"u-{run_id}"


def _is_users(name: Any) -> bool:
    """Whether it is the id of a prompt, also of another run: some clients keep the messages of all runs by id alone."""
    return isinstance(name, str) and _PROMPT_ID.fullmatch(name) is not None


def _as_said(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
