"""What every format gives: one module each, all with these functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from .script import Asked, Kind, Turn

Json = dict[str, Any]


class Frame(NamedTuple):
    """`is_piece`: carries a piece of the answer, and not only what is around it."""

    data: bytes
    is_piece: bool = False


class Refusal(NamedTuple):
    status: int
    body: Json
    headers: dict[str, str] = {}


class Wire(Protocol):
    MEDIA_TYPE: str
    """Of a stream."""

    def understand(self, body: Json, path: str) -> Asked: ...

    def stream(self, turn: Turn, asked: Asked) -> Iterator[Frame]: ...

    def whole(self, turn: Turn, asked: Asked) -> Json: ...

    def refuse(self, kind: Kind, asked: Asked, retry_after_s: float | None) -> Refusal: ...

    def break_off(self, kind: Kind, asked: Asked) -> bytes:
        """An error inside a stream."""

    def garble(self, content: str) -> bytes:
        """Something that is none of this format, where a piece of the answer is expected."""


def sse(data: Json | str, event: str | None = None) -> bytes:
    content = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {content}\n\n".encode()


def text_of(content: object) -> str:
    """The text of a message's content, in any of the shapes that the formats allow."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def loads(text: object) -> Json | str:
    """A call's arguments; those that are no object come as they are."""
    if isinstance(text, dict):
        return text
    try:
        found = json.loads(str(text or "{}"))
    except ValueError:
        return str(text)
    return found if isinstance(found, dict) else str(text)


def retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": f"{seconds:g}"}
