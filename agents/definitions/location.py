"""Where in a TOML text a field stands. tomllib gives values without places, and people fix mistakes by line."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TABLE = re.compile(r"^\s*\[{1,2}([^\[\]]+)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line (from 1) of the deepest part of `path` that has a line of its own, else the first of what is below it;
    None if there is neither."""
    table: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        here: tuple[str, ...] | None = None
        if match := _TABLE.match(line):
            here = table = _parts(match[1])
        elif match := _KEY.match(line):
            here = table + _parts(match[1])
        if here and here == tuple(path[: len(here)]) and (best is None or len(here) > best[0]):
            best = (len(here), number)
        elif here and best is None and here[: len(path)] == tuple(path):
            best = (0, number)
    return best[1] if best else None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^.]+""", dotted))
