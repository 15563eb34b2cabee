"""Mutation tests: put mistakes into a copy of the tree and see that a test notices them.

A mutant quotes the code that it replaces, but the quote need not be up to date: names in it may have been changed
since. `find_quote` compares the punctuation exactly and the words only as far as needed to tell places apart, so a
rename breaks no mutant. tests/packaging/test_mutants.py proves that each quote still has exactly one place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FILES = ("pyproject.toml", "agents.toml", "manage.py")
PACKAGES = ("agentsite", "agents", "containers", "streaming", "tests")

MIN_EQUAL_WORDS = 0.3
"""Share of a quote's words that its place must still have. Below that, it is probably another place."""
_TOKEN = re.compile(r"\n[ ]*|[A-Za-z_]\w*|\d+|[^\s\w]")
_KEYWORDS = frozenset(
    [
        "and",
        "as",
        "async",
        "await",
        "class",
        "def",
        "elif",
        "else",
        "except",
        "False",
        "finally",
        "for",
        "from",
        "if",
        "import",
        "in",
        "is",
        "lambda",
        "None",
        "not",
        "or",
        "pass",
        "raise",
        "return",
        "True",
        "try",
        "while",
        "with",
        "yield",
        "const",
        "function",
    ]
)


class Change(NamedTuple):
    """A replacement in one file. `old` quotes exactly one place of it, see `find_quote`. `new` is written with the
    names of `old`; where these were renamed, the new names are put in."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """The changes that take a protection out, and the test that must fail then. Several changes take out several
    protections of the same thing."""

    test: str
    changes: list[Change]


class QuoteNotFoundError(AssertionError):
    """A quote has no place in its file, or more than one."""


class Place(NamedTuple):
    """Where a quote was found: the range in the text, and the names that differ (in the quote → in the text)."""

    start: int
    end: int
    renamed: dict[str, str]


@contextmanager
def mutated(changes: Sequence[Change]) -> Iterator[Path]:
    """Yield a copy of the tree with `changes` made."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy)
        for change in changes:
            path = copy / change.path
            path.write_text(apply_change(change, path.read_text()))
        yield copy


def apply_change(change: Change, text: str) -> str:
    """Return `text` with the change made. Raises QuoteNotFoundError."""
    start, end, renamed = find_quote(change.old, text, change.path)
    new = re.sub(r"[A-Za-z_]\w*", lambda word: renamed.get(word[0], word[0]), change.new)
    return text[:start] + new + text[end:]


def find_quote(quote: str, text: str, path: str = "") -> Place:
    """Find the one place in `text` that `quote` means.

    A place has the quote's punctuation, numbers, line breaks and keywords; spaces within a line are ignored. Of
    several such places the one with the most equal words is taken. Raises QuoteNotFoundError if two have equally many,
    or if fewer than MIN_EQUAL_WORDS are equal.
    """
    exact = text.count(quote)
    if exact == 1:
        start = text.index(quote)
        return Place(start, start + len(quote), {})
    wanted = _TOKEN.findall(quote)
    tokens = list(_TOKEN.finditer(text))
    shape = [_shape_of(token[0]) for token in tokens]
    wanted_shape = [_shape_of(token) for token in wanted]
    scored: list[tuple[int, Place]] = []
    for first in range(len(tokens) - len(wanted) + 1):
        if shape[first : first + len(wanted)] != wanted_shape:
            continue
        matched = tokens[first : first + len(wanted)]
        pairs = [(old, new[0]) for old, new in zip(wanted, matched, strict=True) if _is_name(old)]
        if len(dict(pairs)) < len(set(pairs)):
            continue  # one name of the quote would have two new names
        renamed = {old: new for old, new in pairs if old != new}
        equal = sum(old == new for old, new in pairs)
        scored.append((equal, Place(matched[0].start(), matched[-1].end(), renamed)))
    names = sum(map(_is_name, wanted))
    best = max((equal for equal, _ in scored), default=-1)
    places = [place for equal, place in scored if equal == best]
    if len(places) != 1 or exact > 1 or best < names * MIN_EQUAL_WORDS:
        raise QuoteNotFoundError(f"{path}: {max(exact, len(places))} places for: {quote}")
    return places[0]


def _is_name(token: str) -> bool:
    return (token[0].isalpha() or token[0] == "_") and token not in _KEYWORDS


def _shape_of(token: str) -> str:
    return "name" if _is_name(token) else token


def run_in(copy: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` in a copy that `mutated` made."""
    environment = {**os.environ, "AGENTSITE_DATA_DIR": str(copy / "data"), **variables}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
