"""The unified format, as `patch` and `git apply` read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agents.workspace.history.edits import Replaced, edits

CONTEXT_LINES = 3
NO_NEWLINE = "\\ No newline at end of file\n"


class Unified(NamedTuple):
    text: str
    additions: int
    deletions: int


def unified(path: str, old: str | None, new: str | None) -> Unified:
    """None: there was no such file. Lines end with \\n only; whatever else is in them is theirs."""
    old_lines, new_lines = _lines(old), _lines(new)
    found = edits(old_lines, new_lines)
    text = [_header("---", "a", path, old), _header("+++", "b", path, new)] if found else []
    for hunk in _hunks(found):
        text += _hunk(hunk, old_lines, new_lines)
    return Unified(
        "".join(text),
        additions=sum(one.new_end - one.new_start for one in found),
        deletions=sum(one.old_end - one.old_start for one in found),
    )


def _lines(content: str | None) -> list[str]:
    if not content:
        return []
    lines = content.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _header(mark: str, side: str, path: str, content: str | None) -> str:
    name = "/dev/null" if content is None else f"{side}/{path}"
    # A name ends at the first space, unless a tab ends it.
    return f"{mark} {name}{chr(9) if ' ' in name else ''}\n"


def _hunks(found: Sequence[Replaced]) -> Iterator[list[Replaced]]:
    """Those whose contexts touch are one."""
    hunk: list[Replaced] = []
    for one in found:
        if hunk and one.old_start - hunk[-1].old_end > 2 * CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(one)
    if hunk:
        yield hunk


def _hunk(hunk: Sequence[Replaced], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    first, last = hunk[0], hunk[-1]
    before = min(CONTEXT_LINES, first.old_start)
    after = min(CONTEXT_LINES, len(old) - last.old_end)
    old_range = _range(first.old_start - before, last.old_end + after)
    new_range = _range(first.new_start - before, last.new_end + after)
    yield f"@@ -{old_range} +{new_range} @@\n"
    at = first.old_start - before
    for one in hunk:
        yield from (_line(" ", line) for line in old[at : one.old_start])
        yield from (_line("-", line) for line in old[one.old_start : one.old_end])
        yield from (_line("+", line) for line in new[one.new_start : one.new_end])
        at = one.old_end
    yield from (_line(" ", line) for line in old[at : at + after])


def _range(start: int, end: int) -> str:
    """Counted from 1; of an empty one, the line before it."""
    count = end - start
    return f"{start + 1}" if count == 1 else f"{start + 1 if count else start},{count}"


def _line(mark: str, line: str) -> str:
    return mark + line if line.endswith("\n") else f"{mark}{line}\n{NO_NEWLINE}"
