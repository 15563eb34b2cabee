"""What an answer says that it used: read on its way to the program, whole or streamed, from each provider's own words.

`input_tokens` are all of them, those read from and written to a cache included; `output_tokens` include reasoning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

HELD_BYTES = 8 * 2**20
"""Of a whole answer, or of one line of a stream, that is kept to be read; what is longer is estimated."""
BYTES_A_TOKEN = 4
"""For estimates, where an answer was cut before it said what it used."""
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""What the lines of an event stream begin with."""
_HINTS = (b"usage", b"_eval_count", b"message_stop")
"""In every line with a count or an end; the others, nearly all, are not parsed."""
_NOTHING = (b'"usage":null', b'"usage": null')
"""In every piece of an OpenAI stream but the last. What a model says can't hold it: quotes inside words are escaped."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is not known is None. `ended`: the provider has said its last word on it."""

    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    ended: bool = False


class Reader:
    """Of one answer. `feed` its bytes in pieces of any size; then `counted`."""

    def __init__(self, content_type: str, requested_model: str = "", request_bytes: int = 0) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self.streams = kind in ("text/event-stream", "application/x-ndjson")
        self._is_event_stream = kind == "text/event-stream"
        self._is_begun = False
        self.counted = Counted(requested_model)
        self._request_bytes = request_bytes
        self._held = bytearray()
        self._skipping = False
        self._bytes = 0
        self._lines = 0
        self._first_error = b""

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        if not self._is_begun and (beginning := (bytes(self._held) + data).lstrip()):
            self._is_begun = True
            self._judge(beginning)
        if not self.streams:
            if len(self._held) + len(data) <= HELD_BYTES:
                self._held += data
            return
        first, newline, rest = data.partition(b"\n")
        self._hold(first)
        if newline:
            self._end_line()
            *lines, last = rest.split(b"\n")
            for line in lines:
                self._line(line)
            self._hold(last)

    def finish(self) -> Counted:
        """When nothing more comes. Afterwards both counts are known: read, or else estimated."""
        if self.streams:
            self._end_line()
        elif len(self._held) == self._bytes:
            whole = bytes(self._held)
            if not self._object(whole):
                for line in whole.splitlines():  # JSON lines under another content type
                    self._line(line)
            elif _is_error(whole):
                self._first_error = whole
        self._held.clear()
        return self.counted

    def estimated(self) -> Counted:
        """The same for an answer that was cut: a line of a stream is about a token, a token about four bytes."""
        known = self.finish()
        output = self._lines if self.streams else self._bytes // BYTES_A_TOKEN
        return replace(
            known,
            input_tokens=known.input_tokens or self._request_bytes // BYTES_A_TOKEN,
            output_tokens=max(known.output_tokens or 0, output),
        )

    @property
    def refusal(self) -> bytes:
        """The error that is all of the answer, though its status was 200; empty if it said anything else. After
        `finish`."""
        return self._first_error if self._lines <= 1 and self.counted.input_tokens is None else b""

    @property
    def is_known(self) -> bool:
        return self.counted.input_tokens is not None

    def _judge(self, beginning: bytes) -> None:
        """By what an answer begins with: some servers stream under another content type, or answer whole under that of
        a stream."""
        if beginning.startswith(_FIELDS):
            self.streams = True
        elif self._is_event_stream and beginning.startswith((b"{", b"[")):
            self.streams = False

    def _hold(self, data: bytes) -> None:
        if len(self._held) + len(data) > HELD_BYTES:
            self._held.clear()
            self._skipping = True
        elif not self._skipping:
            self._held += data

    def _end_line(self) -> None:
        line, skipped = bytes(self._held), self._skipping
        self._held.clear()
        self._skipping = False
        if not skipped:
            self._line(line)

    def _line(self, line: bytes) -> None:
        """Of an event stream, or of JSON lines."""
        line = line.strip()
        if line.startswith(b"data:"):
            line = line[5:].lstrip()
        elif not line.startswith(b"{"):
            return
        if line == b"[DONE]":
            self.counted = replace(self.counted, ended=True)
            return
        self._lines += 1
        if self._lines == 1 and _is_error(line):
            self._first_error = line
        if any(hint in line for hint in _HINTS) and not any(nothing in line for nothing in _NOTHING):
            self._object(line)

    def _object(self, text: bytes) -> bool:
        """Was it JSON?"""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return False
        for one in said if isinstance(said, list) else [said]:  # Gemini streams an array unless asked otherwise
            if isinstance(one, dict):
                self.counted = _added(self.counted, one)
        return True


def _is_error(text: bytes) -> bool:
    if b"error" not in text:
        return False
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and (bool(said.get("error")) or said.get("type") == "error")


def _added(known: Counted, said: dict[str, Any]) -> Counted:
    """What is known after `said`. Counts are sums so far, in every provider's streams: the latest holds."""
    type_ = said.get("type")
    for name in ("response", "message"):  # OpenAI's responses, Anthropic's messages: inside an event
        if isinstance(inner := said.get(name), dict) and isinstance(type_, str):
            known = _added(known, {**inner, "type": None})
    usage = said.get("usage")
    if isinstance(usage, dict):
        known = _openai(known, usage) if "prompt_tokens" in usage else _input_output(known, usage)
    if isinstance(metadata := said.get("usageMetadata"), dict):
        known = _gemini(known, metadata)
    if _count(said.get("eval_count")) is not None or _count(said.get("prompt_eval_count")) is not None:
        known = replace(
            known,
            input_tokens=_count(said.get("prompt_eval_count")) or 0,
            output_tokens=_count(said.get("eval_count")) or 0,
        )
    model = said.get("model") or said.get("modelVersion")
    if isinstance(model, str):
        known = replace(known, model=model)
    return replace(known, ended=True) if _is_end(said, type_) else known


def _is_end(said: dict[str, Any], type_: Any) -> bool:
    if type_ in ("message_stop", "response.completed", "response.failed", "response.incomplete"):
        return True
    return said.get("done") is True or (said.get("choices") == [] and isinstance(said.get("usage"), dict))


def _openai(known: Counted, usage: dict[str, Any]) -> Counted:
    """Chat completions and embeddings."""
    return replace(
        known,
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")) or 0,
        cache_read_tokens=_inside(usage, "prompt_tokens_details", "cached_tokens"),
    )


def _input_output(known: Counted, usage: dict[str, Any]) -> Counted:
    """OpenAI's responses, whose input includes the cached; Anthropic's, whose input does not."""
    cached = _inside(usage, "input_tokens_details", "cached_tokens")
    read, written = (_count(usage.get(f"cache_{how}_input_tokens")) for how in ("read", "creation"))
    given = _count(usage.get("input_tokens"))
    if given is None:  # Anthropic's last count may be of the output alone
        return replace(known, output_tokens=_first(usage.get("output_tokens"), known.output_tokens))
    return replace(
        known,
        input_tokens=given + (read or 0) + (written or 0),
        output_tokens=_first(usage.get("output_tokens"), known.output_tokens),
        cache_read_tokens=cached or read or 0,
        cache_write_tokens=written or 0,
    )


def _gemini(known: Counted, usage: dict[str, Any]) -> Counted:
    return replace(
        known,
        input_tokens=_sum(usage, ("promptTokenCount", "toolUsePromptTokenCount")),
        output_tokens=_sum(usage, ("candidatesTokenCount", "thoughtsTokenCount")),
        cache_read_tokens=_count(usage.get("cachedContentTokenCount")) or 0,
    )


def _count(value: Any) -> int | None:
    """Some servers count in floats, or in strings of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _first(*values: Any) -> int | None:
    return next((count for value in values if (count := _count(value)) is not None), None)


def _inside(usage: dict[str, Any], name: str, key: str) -> int:
    details = usage.get(name)
    return (_count(details.get(key)) or 0) if isinstance(details, dict) else 0


def _sum(usage: dict[str, Any], names: Iterable[str]) -> int:
    return sum(_count(usage.get(name)) or 0 for name in names)
