"""How much a value of the state counts against its limit: never less than its JSON in bytes, and alike in JavaScript.

Not the length of the JSON itself: the two languages write numbers differently.
"""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes a new encoder each time, which takes longer

SCALAR_BYTES = 24
"""A number, true, false or null. No number's JSON is longer."""


def weight(value: Any) -> int:
    """In bytes: of a string its JSON in UTF-8, of any other scalar SCALAR_BYTES, plus one for each mark between."""
    if isinstance(value, str):
        return text_weight(value) + 2
    if isinstance(value, dict):
        return 2 + sum(weight(key) + weight(item) + 2 for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(weight(item) + 1 for item in value)
    return SCALAR_BYTES


def text_weight(text: str) -> int:
    """Without the quotes, so that the weights of two halves are the weight of the whole."""
    return len(_encode(text).encode()) - 2


def size(text: str) -> int:
    """In bytes of UTF-8."""
    return len(text.encode())


def cut(text: str, most_bytes: int) -> tuple[str, str]:
    """`text` in two: at most `most_bytes` of UTF-8, whole characters, and the rest."""
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text, ""
    end = max(0, most_bytes)
    while end and encoded[end] & 0xC0 == 0x80:
        end -= 1
    return encoded[:end].decode(), encoded[end:].decode()


def pieces(text: str, most_bytes: int) -> list[str]:
    """`text` in pieces of at most `most_bytes` of UTF-8, whole characters; one empty piece for an empty text."""
    encoded = text.encode()
    found: list[str] = []
    start = 0
    while start < len(encoded) or not found:
        end = min(start + most_bytes, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        found.append(encoded[start:end].decode())
        start = end
    return found
