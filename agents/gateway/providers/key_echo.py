"""Keeps a provider's key from coming back to a program.

    an error or a header       the whole key is replaced by a mark
    an answer of a model       is never edited: one that holds the whole key ends with `provider-echoed-key`

Parts of a key are left alone: they are ordinary text ("sk-", "-key"), and what a model says is executed and shown as it
was said. Short or plain keys ("ollama", "not-needed") protect nothing and are not looked for. A key that is spelled
backwards or in base64 is not recognised.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from agents.gateway.providers.provider import Dialect
from agents.gateway.providers.refusals import ProviderEchoedKey, stream_error

SECRET_CHARS = 16
"""Shorter keys are no secrets."""
SECRET_BITS_PER_CHAR = 2.5
"""Shannon entropy of a key's characters: a random one has more, a word that is repeated less."""
HELD_BYTES = 2**20
"""Of one line, or of one JSON document, that waits for its end; what is longer is passed on as it comes."""
JOINED_PATHS = 256
"""Places in the events of one stream whose strings are joined; with more, joining begins anew."""
MARK = "***"
_KINDS = (str.isdigit, str.islower, str.isupper)
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])|\\(/)")
_ESCAPE_BYTES = 6
_FIELDS = (b"event:", b"id:", b"retry:")
_ERROR_TYPES = ("error", "response.failed")
Path = tuple[str | int, ...]


@lru_cache(maxsize=64)
def is_secret(key: str) -> bool:
    """Long and random enough that it can't be ordinary text."""
    if len(key) < SECRET_CHARS or sum(any(map(kind, key)) for kind in _KINDS) < 2:
        return False
    shares = [count / len(key) for count in Counter(key).values()]
    return -sum(share * math.log2(share) for share in shares) >= SECRET_BITS_PER_CHAR


def redact(body: bytes, key: str) -> bytes:
    """An error's body, or a header, with a mark in place of the key. Without the key it stays byte for byte."""
    if not is_secret(key):
        return body
    replaced = body.replace(key.encode(), MARK.encode())
    if not _holds(replaced, key.encode()):
        return replaced
    try:  # spelled with escapes of JSON
        return json.dumps(_redacted(json.loads(replaced), key), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return _ESCAPE.sub(_unescape, replaced).replace(key.encode(), MARK.encode())


class AnswerCheck:
    """Passes one answer on, by whole lines, unless the key is in it.

    A client can do nothing with a part of a line, so this delays nothing. A document over several lines (an answer that
    is not streamed) is held to its end, so that an error can stand in its place.
    """

    def __init__(self, key: str) -> None:
        self._key = key if is_secret(key) else ""
        self._held = bytearray()
        self._is_document: bool | None = None
        self._before = b""
        """The end of what was passed on of a line that was too long to be held."""
        self._joined: dict[Path, str] = {}
        self._is_event_stream = False
        """Are its lines those of an event stream, rather than JSON lines?"""
        self._is_in_event = False

    def feed(self, data: bytes) -> bytes:
        """What may be passed on now. Raises ProviderEchoedKey, whose `passed` comes before the line with the key."""
        if not self._key:
            return data
        newline = max(data.rfind(b"\n"), data.rfind(b"\r"))
        end = len(self._held) + newline + 1
        self._held += data
        if len(self._held) > HELD_BYTES:
            self._is_document = False
            return self._take(len(self._held))
        if newline < 0:
            return b""
        if self._is_document is None:
            self._is_document = _begins_document(bytes(self._held[:end]))
        return b"" if self._is_document else self._take(_without_fields(self._held, end))

    def finish(self) -> bytes:
        """The rest, when the answer has come to its end. Raises ProviderEchoedKey."""
        return self._take(len(self._held))

    def error_after(self, echoed: ProviderEchoedKey, dialect: Dialect, path: str) -> bytes:
        """The error that ends a stream behind what was passed on. Empty in the middle of a line: nothing can stand
        there, the connection has to be cut."""
        if self._before:
            return b""
        error = stream_error(echoed, dialect, path, is_event_stream=self._is_event_stream)
        return b"\n" + error if self._is_in_event else error

    def _take(self, end: int) -> bytes:
        taken = bytes(self._held[:end])
        del self._held[:end]
        if not self._key or not taken:
            return taken
        passed: list[bytes] = []
        lines = [taken] if self._is_document else taken.splitlines(keepends=True)
        for line in lines:
            try:
                passed.append(self._checked(line))
            except ProviderEchoedKey as echoed:
                echoed.passed = b"".join(passed)
                raise
        return b"".join(passed)

    def _checked(self, line: bytes) -> bytes:
        """The line as it may be passed on."""
        content = line.strip()
        name, is_field = b"", content.startswith(b"data:")
        if is_field or content.startswith(_FIELDS):
            self._is_event_stream = True
        if is_field:
            content, name = content[5:].lstrip(), b"data: "
        key = self._key.encode()
        event = _event(content)
        if _holds(self._before + line, key) or self._completes_key(event):
            if not _is_error(event):
                raise ProviderEchoedKey("the provider's answer holds the site's key; it is ended here")
            line = name + redact(content, self._key) + line[len(line.rstrip()) :]
        is_whole = line.endswith((b"\n", b"\r"))
        self._before = b"" if is_whole else (self._before + line)[-_ESCAPE_BYTES * len(key) :]
        self._is_in_event = self._is_event_stream and bool(line.strip())
        return line

    def _completes_key(self, event: Any) -> bool:
        """Is the key in what an event's strings add to those of the events before? Models answer in small pieces."""
        if len(self._joined) > JOINED_PATHS:
            self._joined.clear()
        for path, text in _strings(event, ()):
            joined = self._joined.get(path, "") + text
            if self._key in joined:
                return True
            self._joined[path] = joined[1 - len(self._key) :]
        return False


def _begins_document(lines: bytes) -> bool:
    """Is this the beginning of one JSON object over several lines?"""
    text = lines.lstrip()
    first = text.splitlines()[0] if text else b""
    return first.startswith(b"{") and _event(first) is None


def _without_fields(held: bytearray, end: int) -> int:
    """Before the fields of an event (`event:`, `id:`) whose data has not come yet: they are passed on with it."""
    while end:
        start = max(held.rfind(b"\n", 0, end - 1), held.rfind(b"\r", 0, end - 1)) + 1
        if not held.startswith(_FIELDS, start):
            break
        end = start
    return end


def _event(content: bytes) -> Any:
    if not content.startswith(b"{"):
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _is_error(event: Any) -> bool:
    return isinstance(event, dict) and bool(event.get("error") or event.get("type") in _ERROR_TYPES)


def _holds(data: bytes, key: bytes) -> bool:
    return key in data or (b"\\" in data and key in _ESCAPE.sub(_unescape, data))


def _unescape(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 16)]) if escape[1] else b"/"


def _strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))


def _redacted(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return value.replace(key, MARK)
    if isinstance(value, dict):
        return {name.replace(key, MARK): _redacted(item, key) for name, item in value.items()}
    return [_redacted(item, key) for item in value] if isinstance(value, list) else value
