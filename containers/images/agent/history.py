"""The conversation before this run, from the start line, as messages of the model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from .names import safe_name
from .protocol import text_of
from .tools.terminal import as_left

NO_RESULT = "It was broken off: there is no result."
STOPPED = "[This was stopped before it was finished.]"
"""Closes a round of tools without an answer. Anthropic takes an open one only with the signed thinking before it."""


def messages_of(history: object) -> list[ModelMessage]:
    """What cannot be understood is left out. Thinking is, too: only the model that thought it could take it back."""
    found: list[ModelMessage] = []
    for message in history if isinstance(history, list) else []:
        if isinstance(message, dict) and message.get("role") == "user":
            if (content := text_of(message.get("content"))).strip():
                _close(found)
                _add(found, [UserPromptPart(content)])
        elif isinstance(message, dict) and message.get("role") == "assistant":
            for one in _steps(message):
                _add(found, one.parts) if isinstance(one, ModelRequest) else found.append(one)
    _close(found)
    return found


def _close(found: list[ModelMessage]) -> None:
    """Before what the user says next: a round of tools that no answer follows is complete, too."""
    last = found[-1] if found else None
    if isinstance(last, ModelRequest) and any(isinstance(part, ToolReturnPart) for part in last.parts):
        found.append(ModelResponse([TextPart(STOPPED)]))


def _add(found: list[ModelMessage], parts: Iterable[ModelRequestPart]) -> None:
    """Providers want questions and answers to take turns."""
    last = found[-1] if found else None
    if isinstance(last, ModelRequest):
        last.parts = [*last.parts, *parts]
    else:
        found.append(ModelRequest(list(parts)))


def _steps(message: dict[str, Any]) -> Iterable[ModelMessage]:
    """A run is one message in the log; the model answered once for each round of tools."""
    said: list[ModelResponsePart] = []
    results: list[ToolReturnPart] = []
    parts = message.get("parts") or [{"type": "text", "text": text_of(message.get("content"))}]
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and str(part.get("text") or "").strip():  # providers refuse blank text
            if results:
                yield from (ModelResponse(said), ModelRequest(list(results)))
                said, results = [], []
            said.append(TextPart(part["text"]))
        elif kind == "tool-call":
            call_id = str(part.get("call_id"))
            arguments = part.get("arguments")
            name = safe_name(str(part.get("name")))
            said.append(ToolCallPart(name, arguments if isinstance(arguments, dict) else {}, call_id))
            results.append(ToolReturnPart(name, _result(part), call_id))
    if said:
        yield ModelResponse(said)
    if results:
        yield ModelRequest(list(results))


def _result(part: dict[str, Any]) -> str:
    """As the model saw it: a tool's output, then its result."""
    result = part.get("result")
    shown = result if isinstance(result, str) else "" if result is None else json.dumps(result)
    return "\n".join(filter(None, (as_left(part.get("output") or ""), shown))) or NO_RESULT
