"""Make text of agents and users safe to print in a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Escape sequences, control characters, and marks that change the reading direction (a line could read differently from
what it is). An agent must not control the terminal."""
_RAW = re.compile("[\x7f-\x9f\u2028\u2029]")
"""Characters that JSON leaves as they are and that control some terminals, or end a line for some readers."""


def strip_control_characters(text: str) -> str:
    return _CONTROL.sub("", text)


def escape_invisible(value: Any) -> str:
    """Return JSON in which invisible characters are escaped. Nothing is dropped, because somebody approves what it
    says."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def dump_json_line(event: dict[str, Any]) -> str:
    """Return JSON on one line, without characters that control a terminal."""
    return _RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(event, ensure_ascii=False))
