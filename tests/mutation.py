"""Mistakes put into a copy of the tree, never into the tree itself, to see that something notices."""

from __future__ import annotations

import os
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


class Change(NamedTuple):
    """`old` is once in the file."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A protection that is taken out, and the test that has to fail then. Of those that stand behind one another, all
    are taken out."""

    test: str
    changes: list[Change]


@contextmanager
def mutated(changes: Sequence[Change]) -> Iterator[Path]:
    """A copy of the tree with `changes` made."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy)
        for change in changes:
            path = copy / change.path
            text = path.read_text()
            assert text.count(change.old) == 1, f"{change.path} has not exactly one: {change.old}"
            path.write_text(text.replace(change.old, change.new))
        yield copy


def run_in(copy: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m …` there."""
    environment = {**os.environ, "AGENTSITE_DATA_DIR": str(copy / "data"), **variables}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
