"""No part of a key comes back to a program. Providers repeat some of it when they refuse it ("Incorrect API key
provided: sk-ab***wxyz").

How far it goes: in an error, every run of ERROR_RUN characters that is also in the key. In what a model says, runs of
ANSWER_RUN: shorter ones are ordinary words ("sk-ant-api03"), and a run that is cut in two between two pieces of a
stream is not found. Only as it stands: a key that is spelled backwards or in base64 is not recognised.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

ERROR_RUN = 4
ANSWER_RUN = 16
BLOCK = ANSWER_RUN // 2
"""Every run of ANSWER_RUN characters has one of a key's blocks in it whole: these few are looked for first. The first
block is not needed for that; it is often a word that all keys begin with."""
MARK = "***"


class Scrub:
    """Of one key; an empty one takes nothing out."""

    def __init__(self, key: str) -> None:
        self._short = _runs(key, ERROR_RUN)
        long = min(ANSWER_RUN, len(key))
        self._long = {run.encode() for run in _runs(key, long)} if key else set()
        self._long_size = long
        size, first = (BLOCK, BLOCK) if long == ANSWER_RUN else (long, 0)
        self._blocks = [key[at : at + size].encode() for at in range(first, len(key) - size + 1, size)] if key else []

    def error(self, body: bytes) -> bytes:
        """A whole answer. Of JSON only the words are changed, so that it stays what it was."""
        text = body.decode("utf-8", "replace")
        try:
            return json.dumps(self._words(json.loads(text)), ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return self.text(text).encode()

    def piece(self, data: bytes) -> bytes:
        """Of an answer that is not an error. A provider that fails in the middle of one says so with `"error"`."""
        if b'"error"' in data:
            return self._lines(data)
        if not any(block in data for block in self._blocks):
            return data
        return _without(data.decode("latin-1"), {run.decode("latin-1") for run in self._long}, self._long_size).encode(
            "latin-1"
        )

    def text(self, text: str) -> str:
        return _without(text, self._short, ERROR_RUN)

    def _lines(self, data: bytes) -> bytes:
        return b"\n".join(self._line(line) for line in data.split(b"\n"))

    def _line(self, line: bytes) -> bytes:
        name, colon, rest = line.partition(b": ")
        if name == b"data" and colon and b'"error"' in rest:
            return name + colon + self.error(rest)
        return self.error(line) if line.startswith(b"{") and b'"error"' in line else line

    def _words(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._words(item) for key, item in value.items()}
        return [self._words(item) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=16)
def scrub_of(key: str) -> Scrub:
    """Made once a key: every call of a model asks for it."""
    return Scrub(key)


def _runs(key: str, size: int) -> set[str]:
    return {key[at : at + size] for at in range(len(key) - size + 1)} if size else set()


def _without(text: str, runs: set[str], size: int) -> str:
    """`text` with a mark in place of every stretch that is made of `runs`."""
    kept: list[str] = []
    at = 0
    while at < len(text):
        end = at
        while text[end : end + size] in runs:
            end += 1
        if end == at:
            kept.append(text[at])
            at += 1
        else:
            kept.append(MARK)
            at = end + size - 1
    return "".join(kept)
