"""session/update to what a program of container protocol v1 would have said.

A call of a tool is said once, when its arguments are complete. OpenCode announces a call with empty arguments and
completes it when it goes on; Gemini CLI announces none before it asks for permission, and the request carries it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from containers.protocols.acp.content import cut, diffs_of, output_of, text_of

Said = dict[str, Any]
NAME_CHARS = 200
MODE_UPDATE = "[MODE_UPDATE]"
"""Gemini CLI says changes of its mode in the text."""
SILENT = (
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
    "user_message_chunk",
)
"""About the session, not the prompt. Numbers of tokens are counted where they pass: agents say zero."""
FINISHED = ("completed", "failed")
"""Tuples: what an agent says may be a list, which no set can be asked for."""
_PLAN_PRIORITIES, _PLAN_STATUSES = ("high", "medium", "low"), ("pending", "in_progress", "completed")


@dataclass(slots=True)
class Call:
    """What is known of a call so far. Each update brings some of it, and takes the place of what was there."""

    fields: dict[str, Any] = field(default_factory=dict)
    is_said: bool = False
    is_finished: bool = False
    output: str = ""
    """What was said of its output."""


class Updates:
    """Of one prompt."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._message = 1
        self._has_called = False

    def renewed(self) -> Updates:
        """For another session of the same run: what it says is no part of an earlier message."""
        fresh = Updates()
        fresh._message, fresh._has_called = self._message, self._has_called
        return fresh

    def take(self, update: dict[str, Any]) -> list[Said] | None:
        """None: it has no meaning here."""
        kind = update.get("sessionUpdate")
        if kind == "agent_message_chunk":
            return self._say("text", text_of(update.get("content")))
        if kind == "agent_thought_chunk":
            return self._say("thinking", text_of(update.get("content")))
        if kind in ("tool_call", "tool_call_update"):
            return self._take_call(update)
        if kind == "plan":
            return [{"type": "plan", "entries": _entries(update.get("entries"))}]
        return [] if kind in SILENT else None

    def announce(self, described: dict[str, Any]) -> list[Said]:
        """A call that is asked about: its arguments are as complete as they get."""
        call_id = _call_id(described)
        if call_id is None:
            return []
        return self._announced(call_id, self._merge(call_id, described))

    def close(self) -> list[Said]:
        """The prompt is answered: what was not said of its calls is said now."""
        return [one for call_id, call in self._calls.items() for one in self._announced(call_id, call)]

    def _say(self, type_: str, text: str) -> list[Said]:
        """What is said after a call of a tool is another message: the last one is a run's result."""
        if not text:
            return []
        if text.startswith(MODE_UPDATE):
            return [{"type": "log", "stream": "stdout", "content": f"{text.rstrip()}\n"}]
        self._message += self._has_called
        self._has_called = False
        return [{"type": type_, "message_id": f"m{self._message}", "content": text}]

    def _take_call(self, update: dict[str, Any]) -> list[Said] | None:
        call_id = _call_id(update)
        if call_id is None:
            return None
        call = self._merge(call_id, update)
        if call.is_finished:
            return []
        status = call.fields.get("status", "pending")
        said = self._announced(call_id, call) if status != "pending" else []
        if status in FINISHED:
            call.is_finished = True
            result = {"call_id": call_id, "result": _result(call.fields), "is_error": status == "failed"}
            return [*said, {"type": "tool-result", **result}]
        return [*said, *_more_output(call_id, call)] if call.is_said else said

    def _merge(self, call_id: str, update: dict[str, Any]) -> Call:
        call = self._calls.setdefault(call_id, Call())
        call.fields.update({key: value for key, value in update.items() if value is not None})
        return call

    def _announced(self, call_id: str, call: Call) -> list[Said]:
        if call.is_said:
            return []
        call.is_said = self._has_called = True
        name, title = call.fields.get("kind"), call.fields.get("title")
        return [
            {
                "type": "tool-call",
                "call_id": call_id,
                "name": name if isinstance(name, str) and 0 < len(name) <= NAME_CHARS else "other",
                "title": title if isinstance(title, str) else None,
                "arguments": _arguments(call.fields),
            }
        ]


def _call_id(described: dict[str, Any]) -> str | None:
    call_id = described.get("toolCallId")
    return call_id if isinstance(call_id, str) and 0 < len(call_id) <= NAME_CHARS else None


def _arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """Agents that say none (Gemini CLI) still say which files a call is about."""
    given = fields.get("rawInput")
    if isinstance(given, dict) and given:
        return given
    if given not in (None, {}, "", []):
        return {"input": given}
    locations = fields.get("locations")
    paths = (
        [one["path"] for one in locations if isinstance(one, dict) and isinstance(one.get("path"), str)]
        if (isinstance(locations, list))
        else []
    )
    return {"paths": paths} if paths else {}


def _result(fields: dict[str, Any]) -> Any:
    """Its text; with the diffs where there are some; else what the tool itself gave."""
    output, diffs = cut(output_of(fields.get("content"))), diffs_of(fields.get("content"))
    if diffs:
        return {"text": output, "diffs": diffs}
    raw = fields.get("rawOutput")
    return output if output or raw is None else (cut(raw) if isinstance(raw, str) else raw)


def _more_output(call_id: str, call: Call) -> list[Said]:
    """Updates carry all the output so far; events carry what is new. What was changed is in the result. Half a
    character at the end comes again, whole, with the next update."""
    output = cut(output_of(call.fields.get("content")))
    if "\ud800" <= output[-1:] <= "\udbff":
        output = output[:-1]
    if not output.startswith(call.output) or output == call.output:
        return []
    new, call.output = output[len(call.output) :], output
    return [{"type": "tool-output", "call_id": call_id, "content": new}]


def _entries(entries: Any) -> list[dict[str, str]]:
    return [
        {
            "content": entry["content"],
            "priority": entry["priority"] if entry.get("priority") in _PLAN_PRIORITIES else "medium",
            "status": entry["status"] if entry.get("status") in _PLAN_STATUSES else "pending",
        }
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("content"), str)
    ]
