"""What others wrote, as a terminal may show it."""

from __future__ import annotations

import json
import re
from typing import Any

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""What an agent says must not drive the terminal: escape sequences, control characters and marks that turn the reading
direction (so that a line reads differently than it is) are dropped."""
_RAW = re.compile("[\x7f-\x9f\u2028\u2029]")
"""JSON escapes what is below U+0020; these drive some terminals too, or end a line for some readers."""


def safe(text: str) -> str:
    return _CONTROL.sub("", text)


def exact(value: Any) -> str:
    """JSON in which every character can be seen: what is only shown by its effect, or not at all, is escaped. Nothing
    is dropped, for somebody decides about it."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def as_line(event: dict[str, Any]) -> str:
    """JSON on one line that no terminal obeys."""
    return _RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(event, ensure_ascii=False))
