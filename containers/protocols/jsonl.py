"""Container protocol v1: JSON Lines (docs/container-protocol.md). Bytes to lines, and commands to bytes.

What a `type` means is not known here. What leaves `Parser` can be stored anywhere: its strings are valid UTF-8 without
U+0000 (PostgreSQL refuses it in text and jsonb), its numbers are finite and fit 64 bits, its nesting is bounded.
One exception: a string named `content` or `text` may begin with the second half of a surrogate pair and end with a
first half, because the other half may be in another delta. Who stores deltas joins them first.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from containers.interface import BEGINNING, Offset, Stream

PROTOCOL_VERSION = 1
LINE_BYTES = 1024 * 1024
MAX_DEPTH = 64
"""Objects and arrays inside each other. CPython's own limit depends on how deep the caller's stack already is."""

_REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SPLIT_FIELDS = frozenset(("content", "text"))
_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 20


class Line(NamedTuple):
    """One line a program printed.

    `kind` is "object" (`value` is a dict with a string "type", or what another protocol has), "text" (`value` is a str)
    or "cut" (a str: the first `line_bytes` of a longer line; the rest was dropped). Reading on from `end_offset` gives
    exactly the lines after it.
    """

    stream: Stream
    kind: Literal["object", "text", "cut"]
    value: dict[str, Any] | str
    end_offset: Offset

    @property
    def cut(self) -> bool:
        return self.kind == "cut"


@dataclass(slots=True)
class _Pending:
    """The unfinished last line of one stream."""

    kept: bytearray
    length: int
    """Bytes seen of this line, kept or not."""
    consumed: int
    """Bytes of the stream up to the beginning of this line."""


def has_type(value: dict[str, Any]) -> bool:
    return isinstance(value.get("type"), str)


class Parser:
    """Cuts the two output streams into lines. Incremental: how the bytes were chunked makes no difference.

    Memory is bounded by `line_bytes` a stream, however long a line is. `after` is where the bytes fed begin, so that
    the offsets of a resumed reading go on from there.
    """

    def __init__(
        self,
        *,
        after: Offset = BEGINNING,
        line_bytes: int = LINE_BYTES,
        is_object: Callable[[dict[str, Any]], bool] = has_type,
    ) -> None:
        self._line_bytes = line_bytes
        self._is_object = is_object
        self._pending: dict[Stream, _Pending] = {
            "stdout": _Pending(bytearray(), 0, after.stdout),
            "stderr": _Pending(bytearray(), 0, after.stderr),
        }

    @property
    def offset(self) -> Offset:
        """The end of the last whole line of each stream: where to read on after a crash."""
        return Offset(self._pending["stdout"].consumed, self._pending["stderr"].consumed)

    def feed(self, stream: Stream, data: bytes) -> list[Line]:
        """The lines that `data` completes. Blank lines are dropped."""
        pending, start = self._pending[stream], 0
        lines: list[Line | None] = []
        while (newline := data.find(b"\n", start)) >= 0:
            if pending.length == 0 and newline - start <= self._line_bytes:  # most are whole: they need no keeping
                pending.consumed += newline + 1 - start
                lines.append(self._line(stream, data[start:newline]))
            else:
                self._keep(pending, data, start, newline)
                lines.append(self._end_line(stream, pending, newline_bytes=1))
            start = newline + 1
        self._keep(pending, data, start, len(data))
        return [line for line in lines if line is not None]

    def finish(self) -> list[Line]:
        """The last line of each stream, if the program ended without a newline."""
        ended = (self._end_line(stream, pending, newline_bytes=0) for stream, pending in self._pending.items())
        return [line for line in ended if line is not None]

    def _keep(self, pending: _Pending, data: bytes, start: int, end: int) -> None:
        # One byte more than the limit: it may be the CR of a CRLF, which is not part of the line.
        room = self._line_bytes + 1 - len(pending.kept)
        pending.kept += memoryview(data)[start : min(end, start + room)]
        pending.length += end - start

    def _end_line(self, stream: Stream, pending: _Pending, *, newline_bytes: int) -> Line | None:
        raw, length = bytes(pending.kept), pending.length
        pending.kept.clear()
        pending.length = 0
        pending.consumed += length + newline_bytes
        if length == len(raw) and raw.endswith(b"\r"):
            length -= 1
        if length > self._line_bytes:
            return Line(stream, "cut", _cut_text(raw[: self._line_bytes]), self.offset)
        return self._line(stream, raw)

    def _line(self, stream: Stream, raw: bytes) -> Line | None:
        """A whole line, that ends where `offset` is; None if it is blank."""
        raw = raw.removesuffix(b"\r")
        if not raw.strip():
            return None
        text = raw.decode("utf-8", "replace").replace("\x00", _REPLACEMENT)
        if stream == "stdout" and (parsed := _parse_object(text, self._is_object)) is not None:
            return Line(stream, "object", parsed, self.offset)
        return Line(stream, "text", text, self.offset)


def _cut_text(raw: bytes) -> str:
    """Decoded without the character that the cut went through."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(raw).replace("\x00", _REPLACEMENT)


def _parse_object(text: str, is_object: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """The JSON object in `text` if it is one of the protocol's and can be stored; otherwise None."""
    if not text.startswith("{") and not text.lstrip().startswith("{"):
        return None
    try:
        value = _DECODER.decode(text)
        # The walk is needed only if an escape may have made an unstorable character, or the nesting may be too deep.
        if "\\u" in text or text.count("{") + text.count("[") > MAX_DEPTH:
            value = _storable(value, MAX_DEPTH)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_object(value) else None


def _storable(value: Any, depth: int, name: str = "") -> Any:
    if isinstance(value, str):
        storable = _UNSTORABLE.sub(_REPLACEMENT, value)
        return _with_halves(storable, value) if name in _SPLIT_FIELDS and storable is not value else storable
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    return {_UNSTORABLE.sub(_REPLACEMENT, key): _storable(item, depth - 1, key) for key, item in value.items()}


def _with_halves(storable: str, text: str) -> str:
    """With the halves at the ends of `text` that may belong to the text before and after it."""
    if "\udc00" <= text[0] <= "\udfff":
        storable = text[0] + storable[1:]
    return storable[:-1] + text[-1] if "\ud800" <= text[-1] <= "\udbff" else storable


def _parse_int(digits: str) -> int:
    if len(digits) > _INT64_DIGITS or (number := int(digits)) not in _INT64:
        raise ValueError("integer beyond 64 bits")
    return number


def _parse_float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("number out of range")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant)


def start(run_id: str, content: Any, history: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> bytes:
    """The first line of stdin. Like every command below: one line, without its newline."""
    return _encode(
        "start",
        protocol=PROTOCOL_VERSION,
        run_id=run_id,
        input={"content": content},
        history=list(history),
        config=dict(config),
    )


def message(content: Any, *, command_id: str | None = None) -> bytes:
    """More input while it runs. `command_id` becomes `id`, by which a program drops a command it already had."""
    return _encode("message", content=content, id=command_id)


def approval(approval_id: str, decision: str, *, reason: str | None = None, command_id: str | None = None) -> bytes:
    return _encode("approval", approval_id=approval_id, decision=decision, reason=reason, id=command_id)


def cancel(*, command_id: str | None = None) -> bytes:
    return _encode("cancel", id=command_id)


def _encode(kind: str, **fields: Any) -> bytes:
    """ASCII only, so nothing inside can be a newline to any reader, and lone surrogates pass. ValueError on NaN."""
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"type": kind, **given}, separators=(",", ":"), allow_nan=False).encode("ascii")
