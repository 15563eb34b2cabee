"""Clients of the dialects, that refuse what the protocols' own clients refuse (AI SDK 5's `processUIMessageStream`,
AG-UI 1.0's `verifyEvents`), and keep text as those do. The parts' fields are checked against the specifications' own:
the zod schemas of `ai` 5.0, and the models of `ag-ui-protocol` 1.0.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

Texts = dict[str, str]

# Shapes: the type, then what it must and what it may have ------------------------------------------------------------

TOOL = "toolCallId toolName"
TOOL_OPTIONS = "providerExecuted dynamic"
AI_SDK: dict[str, tuple[str, str]] = {
    "start": ("", "messageId messageMetadata"),
    "start-step": ("", ""),
    "finish-step": ("", ""),
    "finish": ("", "messageMetadata"),
    "abort": ("", ""),
    "error": ("errorText", ""),
    "tool-input-start": (TOOL, TOOL_OPTIONS),
    "tool-input-available": (f"{TOOL} input", f"{TOOL_OPTIONS} providerMetadata"),
    "tool-output-available": ("toolCallId output", f"{TOOL_OPTIONS} preliminary"),
    "tool-output-error": ("toolCallId errorText", TOOL_OPTIONS),
    "data-": ("data", "id transient"),
    **{f"{kind}-{step}": ("id", "") for kind in ("text", "reasoning") for step in ("start", "end")},
    **{f"{kind}-delta": ("id delta", "") for kind in ("text", "reasoning")},
}
AG_UI: dict[str, tuple[str, str]] = {
    "RUN_STARTED": ("threadId runId", ""),
    "RUN_FINISHED": ("threadId runId", "result outcome"),
    "RUN_ERROR": ("message", "code"),
    "TEXT_MESSAGE_START": ("messageId role", ""),
    "TEXT_MESSAGE_CONTENT": ("messageId delta", ""),
    "TEXT_MESSAGE_END": ("messageId", ""),
    "REASONING_START": ("messageId", ""),
    "REASONING_MESSAGE_START": ("messageId role", ""),
    "REASONING_MESSAGE_CONTENT": ("messageId delta", ""),
    "REASONING_MESSAGE_END": ("messageId", ""),
    "REASONING_END": ("messageId", ""),
    "TOOL_CALL_START": ("toolCallId toolCallName", "parentMessageId"),
    "TOOL_CALL_ARGS": ("toolCallId delta", ""),
    "TOOL_CALL_END": ("toolCallId", ""),
    "TOOL_CALL_RESULT": ("messageId toolCallId content role", ""),
    "STATE_SNAPSHOT": ("snapshot", ""),
    "MESSAGES_SNAPSHOT": ("messages", ""),
    "CUSTOM": ("name value", ""),
}


def has_shape(part: dict[str, Any], shapes: dict[str, tuple[str, str]], always: str = "") -> None:
    type_ = "data-" if part["type"].startswith("data-") else part["type"]
    must, may = (set(names.split()) for names in shapes[type_])
    fields = set(part) - {"type"} - set(always.split())
    assert must <= fields <= must | may, part
    for name in fields & {"id", "messageId", "toolCallId", "delta", "errorText", "runId", "content", "message"}:
        assert isinstance(part[name], str), part


# Clients --------------------------------------------------------------------------------------------------------------


@dataclass
class ChatClient:
    """The AI SDK's: one state a response, one message over all of a run's responses."""

    messages: dict[str, Texts] = field(default_factory=lambda: defaultdict(lambda: defaultdict(str)))
    thoughts: dict[str, Texts] = field(default_factory=lambda: defaultdict(lambda: defaultdict(str)))
    results: dict[tuple[str, str], Any] = field(default_factory=dict)
    finished: list[tuple[str, Any]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    id: str | None = None
    open: set[tuple[str, str]] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)

    def reconnect(self) -> None:
        self.id, self.open, self.calls = None, set(), set()

    def take(self, part: dict[str, Any]) -> None:
        has_shape(part, AI_SDK)
        type_ = part["type"]
        kind, _, step = type_.partition("-")
        if kind == "data":
            assert part.get("transient") or self.id is not None, "a part that stays needs a message"
            self.kept.append((type_, part["data"]))
        elif type_ == "start":
            assert self.id is None, "the message before is finished first"
            self.id = part["messageId"]
        else:
            assert self.id is not None, f"{type_} before start"
            if kind in ("text", "reasoning"):
                self._speak(kind, step, part)
            elif kind == "tool":
                self._use(step, part)
            elif type_ == "finish":
                assert not self.open, "what was opened is closed"
                self.finished.append((self.id, part["messageMetadata"]))
                self.reconnect()

    def _speak(self, kind: str, step: str, part: dict[str, Any]) -> None:
        place = (kind, part["id"])
        assert (place in self.open) == (step != "start"), part
        if step == "delta":
            spoken = self.messages if kind == "text" else self.thoughts
            spoken[str(self.id)][part["id"]] += part["delta"]
        self.open = self.open | {place} if step == "start" else self.open - {place} if step == "end" else self.open

    def _use(self, step: str, part: dict[str, Any]) -> None:
        if step == "input-available":
            self.calls.add(part["toolCallId"])
        elif step.startswith("output"):
            assert part["toolCallId"] in self.calls, "a result follows its call"
            self.results[str(self.id), part["toolCallId"]] = part.get("output", part.get("errorText"))

    def text_of(self, run_id: str, message_id: str) -> str:
        return self.messages[run_id][message_id]

    def thought_of(self, run_id: str, message_id: str) -> str:
        return self.thoughts[run_id][message_id]


@dataclass
class ThreadClient:
    """AG-UI's: verifies each response by itself; its messages stay."""

    messages: Texts = field(default_factory=dict)
    arguments: Texts = field(default_factory=dict)
    results: Texts = field(default_factory=dict)
    finished: list[tuple[str, Any]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    state: Any = None
    run: str | None = None
    open: set[tuple[str, str]] = field(default_factory=set)

    def reconnect(self) -> None:
        self.run, self.open = None, set()

    def take(self, part: dict[str, Any]) -> None:
        has_shape(part, AG_UI, always="timestamp")
        type_ = part["type"]
        if type_ == "RUN_STARTED":
            assert self.run is None, "the run before is finished first"
            self.run = part["runId"]
            return
        assert self.run is not None, f"{type_} outside a run"
        if type_ in ("RUN_FINISHED", "RUN_ERROR"):
            assert not self.open, "what was opened is closed"
            assert part.get("runId", self.run) == self.run
            self.finished.append((self.run, part))
            self.reconnect()
        elif type_ == "CUSTOM":
            self.kept.append((part["name"], part["value"]))
        elif type_ == "STATE_SNAPSHOT":
            self.state = part["snapshot"]
        elif type_ == "MESSAGES_SNAPSHOT":
            self.messages = {message["id"]: message["content"] for message in part["messages"]}
        elif type_ == "TOOL_CALL_RESULT":
            self.results[part["toolCallId"]] = part["content"]
        else:
            kind, _, step = type_.rpartition("_")
            self._stream(kind, step, part)

    def _stream(self, kind: str, step: str, part: dict[str, Any]) -> None:
        id_ = part.get("messageId") or part["toolCallId"]
        place = (kind, id_)
        assert (place in self.open) == (step != "START"), part
        if step == "START":
            self.open.add(place)
            if kind == "TOOL_CALL":
                self.arguments[id_] = ""
            else:
                self.messages.setdefault(id_, "")
        elif step == "END":
            self.open.remove(place)
        elif kind == "TOOL_CALL":
            self.arguments[id_] += part["delta"]
        else:
            self.messages[id_] += part["delta"]

    def text_of(self, run_id: str, message_id: str) -> str:
        return self.messages.get(f"{run_id}:{message_id}", "")

    def thought_of(self, run_id: str, message_id: str) -> str:
        return self.messages.get(f"{run_id}:{message_id}:thinking", "")


CLIENTS: dict[str, Any] = {"ai-sdk": ChatClient, "ag-ui": ThreadClient}
