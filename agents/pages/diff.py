"""One file's unified diff as lines for a page: unified, or side by side, with the words that changed inside a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest
from typing import Literal, NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from agents.pages import visible
from agents.workspace.history.edits import Replaced, edits

Kind = Literal["context", "added", "deleted"]
LINE_CHARS = 2000
"""Of one line that are shown."""
WORDS_MOST = 200
"""A line with more is not looked at for the words that changed."""
COMPARED_MOST = 2_000_000
"""Squares of words compared, in one answer: about half a second at worst. Lines beyond that have no marked words."""
SAME_LEAST = 0.3
"""Of two lines with less in common, every word would be marked: that says nothing."""
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)


class Piece(NamedTuple):
    """`css`: any of word (it changed) and hidden (it stands for a character that can't be seen)."""

    text: str
    css: str


@dataclass(frozen=True, slots=True)
class Line:
    """`old`, `new`: its number there, None where it is not. `changed`: (start, end) of what changed in its text."""

    kind: Kind
    old: int | None
    new: int | None
    text: str
    changed: tuple[tuple[int, int], ...] = ()
    ends_without_newline: bool = False

    @property
    def mark(self) -> str:
        return {"context": " ", "added": "+", "deleted": "-"}[self.kind]

    @property
    def pieces(self) -> list[Piece]:
        found = list(_pieces(self.text[:LINE_CHARS], self.changed))
        if len(self.text) > LINE_CHARS:
            found.append(Piece(f"… {len(self.text) - LINE_CHARS:,} more characters", "more"))
        return found

    @property
    def html(self) -> SafeString:
        """As markup: in Python, since a template takes five times as long, and there are thousands of lines."""
        return markup(self.pieces)


class Pair(NamedTuple):
    """A row of the side-by-side view."""

    old: Line | None
    new: Line | None


@dataclass(frozen=True, slots=True)
class Hunk:
    header: str
    lines: list[Line] = field(default_factory=list)

    @property
    def pairs(self) -> list[Pair]:
        """Every line once: what is unchanged on both sides, what was deleted beside what was added in its place."""
        found: list[Pair] = []
        for deleted, added, context in _blocks(self.lines):
            found += [Pair(*pair) for pair in zip_longest(deleted, added)]
            found += [Pair(context, context)] if context else []
        return found


class Words:
    """What one answer may spend on looking into lines."""

    def __init__(self) -> None:
        self._left = COMPARED_MOST

    def mark(self, lines: Sequence[Line]) -> list[Line]:
        """The same lines; where one was replaced by one, with what is different in them."""
        marked: list[Line] = []
        for deleted, added, context in _blocks(lines):
            if len(deleted) == len(added):
                pairs = [self._between(*pair) for pair in zip(deleted, added, strict=True)]
                deleted, added = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            marked += [*deleted, *added, *([context] if context else [])]
        return marked

    def _between(self, old: Line, new: Line) -> tuple[Line, Line]:
        words = [_WORD.findall(line.text) if len(line.text) <= LINE_CHARS else [] for line in (old, new)]
        cost = (len(words[0]) + len(words[1])) ** 2
        if not all(0 < len(some) <= WORDS_MOST for some in words) or cost > self._left:
            return old, new
        self._left -= cost
        found = edits(*words)
        same = 2 * _unchanged(words[0], found)
        if same < SAME_LEAST * (len(old.text) + len(new.text)):
            return old, new
        return (
            replace(old, changed=_spans(words[0], [(one.old_start, one.old_end) for one in found])),
            replace(new, changed=_spans(words[1], [(one.new_start, one.new_end) for one in found])),
        )


def markup(pieces: Sequence[Piece]) -> SafeString:
    parts = [f'<span class="{css}">{escape(text)}</span>' if css else escape(text) for text, css in pieces]
    return mark_safe("".join(parts))


def hunks(diff: str, lines_most: int) -> tuple[list[Hunk], int]:
    """(hunks with `lines_most` lines at most, how many lines were left out). As agents.workspace.history writes it."""
    found: list[Hunk] = []
    lines = _lines(diff)
    for line, header in islice(lines, lines_most):
        if header is not None:
            found.append(Hunk(header))
        found[-1].lines.append(line)
    return found, sum(1 for _ in lines)


def ends_in_crlf(hunks: Sequence[Hunk]) -> bool:
    """All lines, before and after: then it is no change. What ends the file need not end in a line end."""
    lines = [line for hunk in hunks for line in hunk.lines if not line.ends_without_newline]
    return bool(lines) and all(line.text.endswith("\r") for line in lines)


def without_carriage_returns(hunks: Sequence[Hunk]) -> list[Hunk]:
    """Those that belong to the line ends."""
    return [
        Hunk(
            hunk.header,
            [line if line.ends_without_newline else replace(line, text=line.text[:-1]) for line in hunk.lines],
        )
        for hunk in hunks
    ]


def _lines(diff: str) -> Iterator[tuple[Line, str | None]]:
    """Each line, with the header of its hunk if it is the first one there."""
    header: str | None = None
    old = new = 0
    rows = diff.split("\n")[2:-1]  # the two lines that name the file; what stands behind the last newline is nothing
    for row, after in zip_longest(rows, rows[1:], fillvalue=""):
        if row.startswith("@@"):
            match = _HUNK.match(row)
            assert match is not None
            header, old, new = match[0], int(match[1]), int(match[2])
            continue
        if row.startswith("\\"):
            continue
        kind: Kind = "added" if row[0] == "+" else "deleted" if row[0] == "-" else "context"
        yield (
            Line(
                kind,
                None if kind == "added" else old,
                None if kind == "deleted" else new,
                row[1:],
                ends_without_newline=after.startswith("\\"),
            ),
            header,
        )
        header = None
        old, new = old + (kind != "added"), new + (kind != "deleted")


def _blocks(lines: Sequence[Line]) -> Iterator[tuple[list[Line], list[Line], Line | None]]:
    """(deleted, added in their place, the unchanged line behind them)."""
    deleted: list[Line] = []
    added: list[Line] = []
    for line in lines:
        if line.kind == "context":
            yield deleted, added, line
            deleted, added = [], []
        elif line.kind == "added":
            added.append(line)
        else:
            if added:
                yield deleted, added, None
                deleted, added = [], []
            deleted.append(line)
    if deleted or added:
        yield deleted, added, None


def _unchanged(words: Sequence[str], found: Sequence[Replaced]) -> int:
    """Characters of the old line that stayed."""
    gone = sum(len(word) for one in found for word in words[one.old_start : one.old_end])
    return sum(map(len, words)) - gone


def _spans(words: Sequence[str], changed: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """From places in the words to places in the text."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    return tuple((starts[start], starts[end]) for start, end in changed if start < end)


def _pieces(text: str, changed: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    at = 0
    for start, end in (*changed, (len(text), len(text))):
        for css, part in (("", text[at:start]), ("word", text[start:end])):
            for shown, is_hidden in visible.pieces(part):
                yield Piece(shown, f"{css} hidden".strip() if is_hidden else css)
        at = end
