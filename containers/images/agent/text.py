"""Text as Unicode: providers refuse a request that holds half a surrogate pair, and UTF-8 cannot carry it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ThinkingPart, ToolCallPart

_HALF = re.compile("[\ud800-\udfff]")


def clean(value: Any) -> Any:
    """Two halves side by side become their character, others U+FFFD; in strings, and in what lists and objects hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _HALF.search(value) else value
    if isinstance(value, dict):
        return {clean(name): clean(item) for name, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def clean_response(response: ModelResponse) -> ModelResponse:
    """What a model said, in text that can be sent back to it."""
    return replace(response, parts=[_clean_part(part) for part in response.parts])


def _clean_part(part: ModelResponsePart) -> ModelResponsePart:
    if isinstance(part, TextPart | ThinkingPart):
        return replace(part, content=clean(part.content))
    return replace(part, args=_clean_arguments(part.args)) if isinstance(part, ToolCallPart) else part


def _clean_arguments(arguments: Any) -> Any:
    """Arguments as a string are JSON, which spells halves as escapes. What is no JSON stays: its tool says so."""
    if not isinstance(arguments, str):
        return clean(arguments)
    try:
        given = json.loads(arguments)
    except (ValueError, RecursionError):
        return clean(arguments)
    cleaned = clean(given)
    return arguments if cleaned == given else json.dumps(cleaned, ensure_ascii=False)
