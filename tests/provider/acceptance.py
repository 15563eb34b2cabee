"""What the providers themselves refuse of a conversation, in their words: a mock that takes anything proves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Json = dict[str, Any]
SIGNATURE = "bW9jaw=="
OWN_ID = "toolu_"
"""Calls of the mock itself: it may make one without thinking first, and then has to take it back like that."""


def problem_of(format_: str, body: Json) -> str | None:
    check = _CHECKS.get(format_)
    return next(iter(check(body)), None) if check else None


def _anthropic(body: Json) -> Iterable[str]:
    yield from _names((tool["name"] for tool in body.get("tools") or []), r"[a-zA-Z0-9_-]{1,128}")
    messages = [(message["role"], _blocks(message["content"])) for message in body.get("messages", [])]
    if messages and messages[0][0] != "user":
        yield "messages: first message must use the user role"
    called: set[str] = set()
    for role, blocks in messages:
        kinds = [block["type"] for block in blocks]
        if not blocks:
            yield "messages: all messages must have non-empty content"
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            yield "messages: text content blocks must contain non-whitespace text"
        if any(block["type"] == "thinking" and block.get("signature") != SIGNATURE for block in blocks):
            yield "messages: Invalid `signature` in `thinking` block"
        if role == "assistant" and set(kinds) <= {"thinking", "redacted_thinking"}:
            yield "messages: an assistant message cannot be thinking alone"
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if called - answered:
            yield "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
        if answered - called:
            yield "messages: unexpected `tool_use_id` found in `tool_result` blocks"
        uses = [block for block in blocks if block["type"] == "tool_use"]
        yield from _names((use["name"] for use in uses), r"[a-zA-Z0-9_-]{1,200}", unique=False)
        called = {use["id"] for use in uses}
    if called:
        yield "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    is_open = len(messages) > 1 and any(block["type"] == "tool_result" for block in messages[-1][1])
    last = messages[-2][1] if thinks and is_open else []
    is_ours = any(block.get("id", "").startswith(OWN_ID) for block in last)
    if last and not is_ours and last[0]["type"] not in ("thinking", "redacted_thinking"):
        yield "messages: Expected `thinking` or `redacted_thinking`, but found `tool_use`"


def _blocks(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _chat(body: Json) -> Iterable[str]:
    yield from _names((tool["function"]["name"] for tool in body.get("tools") or []), r"[a-zA-Z0-9_-]{1,64}")
    waiting: set[str] = set()
    for message in body.get("messages", []):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            break
        calls = message.get("tool_calls") or []
        if message["role"] == "assistant" and not calls and not message.get("content"):
            yield "Invalid value for 'content': expected a string, got null"
        yield from _names((call["function"]["name"] for call in calls), r"[a-zA-Z0-9_-]{1,64}", unique=False)
        waiting = {call["id"] for call in calls}
    if waiting:
        yield "An assistant message with 'tool_calls' must be followed by tool messages responding to each"


def _responses(body: Json) -> Iterable[str]:
    names = (tool["name"] for tool in body.get("tools") or [] if tool.get("type") == "function")
    yield from _names(names, r"[a-zA-Z0-9_-]{1,64}")
    items: Sequence[Json] = body["input"] if isinstance(body.get("input"), list) else []
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    used = (item["name"] for item in items if item.get("type") == "function_call")
    yield from _names(used, r"[a-zA-Z0-9_-]{1,64}", unique=False)
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    if set(calls) - set(outputs):
        yield "No tool output found for function call"
    if set(outputs) - set(calls):
        yield "No tool call found for function call output"
    for item, following in zip(items, [*items[1:], {"role": "user"}], strict=False):
        if item.get("type") == "reasoning" and following.get("role") == "user":
            yield "Item of type 'reasoning' was provided without its required following item"


def _gemini(body: Json) -> Iterable[str]:
    declared = (tool for tools in body.get("tools") or [] for tool in tools.get("functionDeclarations") or [])
    yield from _names((tool["name"] for tool in declared), r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
    called = 0
    for content in body.get("contents", []):
        parts = content.get("parts") or []
        if not all(set(part) - {"thought", "thoughtSignature"} for part in parts) or not parts:
            yield "Unable to submit request because it must have a text parameter"
        answered = sum("functionResponse" in part for part in parts)
        if answered != called:
            yield "the number of function response parts should be equal to function call parts of the turn before"
        calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        yield from _names(calls, r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}", unique=False)
        called = len(calls)
    if called:
        yield "function call turn must be followed by a function response turn"


def _names(names: Iterable[str], pattern: str, *, unique: bool = True) -> Iterable[str]:
    seen: set[str] = set()
    for name in names:
        if not re.fullmatch(pattern, name):
            yield f"Invalid tool name {name!r}: expected a string that matches the pattern '^{pattern}$'"
        if unique and name in seen:
            yield "tools: Tool names must be unique"
        seen.add(name)


_CHECKS: dict[str, Callable[[Json], Iterable[str]]] = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _responses,
    "gemini": _gemini,
}
