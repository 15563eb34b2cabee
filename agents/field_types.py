"""Types of fields that everything downstream can hold: PostgreSQL, JSON, JavaScript, an HTTP header."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field

METADATA_MAX_BYTES = 16 * 1024
METADATA_DEPTH = 16


def _storable(text: str) -> str:
    """PostgreSQL's text holds no U+0000, and UTF-8 no lone surrogates; JSON can say both."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must not contain U+0000 or lone surrogates")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _depth(value) > METADATA_DEPTH:
        raise ValueError(f"must not be nested deeper than {METADATA_DEPTH}")
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(encoded.encode())
    except ValueError:
        raise ValueError("must not contain lone surrogates, NaN or numbers beyond a double") from None
    if "\\u0000" in encoded:
        raise ValueError("must not contain U+0000")
    if size > METADATA_MAX_BYTES:
        raise ValueError(f"must not have more than {METADATA_MAX_BYTES} bytes as JSON")
    return value


def _depth(value: Any) -> int:
    """Level by level, not recursively: a body may be nested as deeply as its parser allows."""
    depth, level = 0, [value]
    while level and depth <= METADATA_DEPTH:
        depth += 1
        level = [
            item
            for nested in level
            if isinstance(nested, dict | list)
            for item in (nested.values() if isinstance(nested, dict) else nested)
        ]
    return depth


NO_NUL = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})
"""What `_storable` refuses and JSON Schema can say."""
Text = Annotated[str, AfterValidator(_storable), NO_NUL]
Input = Annotated[Text, Field(min_length=1, description="The prompt. At most INPUT_MAX_BYTES bytes of UTF-8.")]
Title = Annotated[str, Field(max_length=200), AfterValidator(_storable), NO_NUL]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable), NO_NUL]
Search = Annotated[str, Field(max_length=200), AfterValidator(_storable), NO_NUL]
Reason = Annotated[str, Field(max_length=1000), AfterValidator(_storable), NO_NUL]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_metadata),
    Field(description="Yours to fill; given back as it is. Up to 16 KiB, 16 levels, no U+0000."),
]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[ -~]+$")]
