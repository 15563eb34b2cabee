"""Searching an agent's conversation: its state, then its pages, the newest first.

Each call reads a bounded stretch, however long the conversation is, and says how far it came. Upper and lower case are
the same. What the state and the pages do not hold, such as the middle of a large output, is not searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from agents.log import live_state
from streaming.model.cursor import Cursor, parse
from streaming.model.events import encode
from streaming.store import journal

SEARCHED_BYTES = 4 * 1024 * 1024
"""Pages are read until they have so much JSON together."""
MATCHES_MOST = 50
EXCERPT_CHARS = 80
"""On each side of what was found."""
_LIVE = Cursor(0, 0)


class Position(NamedTuple):
    """Between what was searched and what was not: parts of this page, or of the state (`0-0`), below this ordinal."""

    page: Cursor
    below: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        cursor, _, below = text.partition(".")
        page = parse(cursor)
        return cls(page, int(below)) if page and re.fullmatch(r"[0-9]{1,15}", below, re.ASCII) else None

    def __str__(self) -> str:
        return f"{self.page}.{self.below}"


START = Position(_LIVE, 10**15 - 1)


@dataclass(frozen=True, slots=True)
class Match:
    """A part of the conversation that contains the text. `before`: of its page; None: it is in the state."""

    n: int
    run_id: str | None
    role: str
    type: str
    before: str | None
    excerpt: str


def search(agent_id: str, text: str, start: Position = START) -> tuple[list[Match], Position | None]:
    """Matches, newest first, and where to go on; None when the conversation was searched to its beginning.

    Raises KeyError for a position in no page, LogMissing, JournalUnavailable."""
    pattern = re.compile(re.escape(text), re.IGNORECASE)
    matches: list[Match] = []
    below, read_bytes = start.below, 0
    for cursor, page, size in _pages(agent_id, start.page):
        if read_bytes >= SEARCHED_BYTES:
            return matches, Position(cursor, START.below)
        read_bytes += size
        parts = [(entry, part) for entry in page["messages"] for part in entry["parts"] if part["n"] < below]
        for entry, part in sorted(parts, key=lambda pair: -int(pair[1]["n"])):
            if len(matches) == MATCHES_MOST:
                return matches, Position(cursor, part["n"] + 1)
            if (excerpt := _excerpt(part, pattern)) is not None:
                before = None if cursor == _LIVE else str(cursor)
                matches.append(Match(part["n"], entry["run_id"], entry["role"], part["type"], before, excerpt))
        below = START.below
    return matches, None


def _pages(agent_id: str, cursor: Cursor) -> Iterator[tuple[Cursor, dict[str, Any], int]]:
    """From that one on to the beginning: its name, the page, its bytes. The state counts as the newest page."""
    while True:
        page, size = _page(agent_id, cursor)
        yield cursor, page, size
        earlier = page["earlier"] and parse(page["earlier"]["before"])
        if not earlier:
            return
        cursor = earlier


def _page(agent_id: str, cursor: Cursor) -> tuple[dict[str, Any], int]:
    if cursor == _LIVE:
        return dict(live_state.state_at_tip(agent_id)), 0
    text = journal.conversation_page(agent_id, cursor)
    if text is None:  # made, but not committed yet
        found = live_state.conversation_page(agent_id, cursor)
        if found is None:
            raise KeyError(str(cursor))
        text = found[0]
    return json.loads(text), len(text)


def _excerpt(part: dict[str, Any], pattern: re.Pattern[str]) -> str | None:
    for text in _texts(part):
        found = pattern.search(text)
        if found is None:
            continue
        start, end = max(0, found.start() - EXCERPT_CHARS), found.end() + EXCERPT_CHARS
        words = " ".join(text[start:end].split())
        return f"{'…' if start else ''}{words}{'…' if end < len(text) else ''}"
    return None


def _texts(part: dict[str, Any]) -> Iterator[str]:
    for name in ("text", "title", "name", "arguments", "output", "result"):
        value = part.get(name)
        if value is not None:
            yield value if isinstance(value, str) else encode(value)
