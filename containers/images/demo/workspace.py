"""What is in the workspace, and which of it is the user's data rather than what this agent wrote before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .programs.table_reading import delimiter_of, rows_of, whole_lines
from .programs.text_encoding import SAMPLE as SAMPLE_BYTES
from .programs.text_encoding import decoded, detect

MARK = "Agentsite demo agent"
OWN_NAMES = {"analysis.py", "table_reading.py", "text_analysis.py", "text_encoding.py", "analysis.json", "report.md"}
TABLE_SUFFIXES = {".csv", ".tsv", ".tab", ".psv"}
MAYBE_TABLES = {".txt", ".dat", ".data", ""}
MAX_FILES, MAX_DEPTH = 500, 6
SAMPLE = Path(__file__).parent / "data" / "penguins.csv"


@dataclass(frozen=True)
class Entry:
    """A file: its path from the workspace, and its kind: table, text, binary, empty, unreadable or own."""

    path: str
    size: int
    kind: str

    @property
    def is_data(self) -> bool:
        return self.kind in ("table", "text")


def survey(root: Path) -> list[Entry]:
    """Every file but hidden ones, by path. Links are not followed: they may lead out of the workspace."""
    found: list[Entry] = []
    for folder, folders, names in os.walk(root):
        deep = len(Path(folder).relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink() and len(found) < MAX_FILES:
                found.append(Entry(path.relative_to(root).as_posix(), path.stat().st_size, kind_of(path)))
    return sorted(found, key=lambda entry: entry.path)


def kind_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError:
        return "unreadable"
    if not sample.strip():
        return "empty"
    if is_own(path, sample):
        return "own"
    text = text_of(sample)
    if text is None:
        return "binary"
    if path.suffix.lower() in TABLE_SUFFIXES:
        return "table"
    return "table" if path.suffix.lower() in MAYBE_TABLES and looks_like_table(text) else "text"


def is_own(path: Path, sample: bytes) -> bool:
    """Written by an earlier run. The mark keeps a user's own report.md from being taken for ours."""
    named = path.name in OWN_NAMES or path.suffix == ".svg"
    return named and MARK.encode() in sample


def text_of(sample: bytes) -> str | None:
    """None if it is no text."""
    is_cut = len(sample) == SAMPLE_BYTES
    codec = None if sample.startswith(b"%PDF") else detect(sample, is_cut=is_cut)
    text = decoded(sample, codec, is_cut=is_cut) if codec else None
    controls = sum(char < " " and char not in "\t\n\r\f\x1b" for char in text or "")
    return None if text is None or controls > len(text) / 20 else text


def looks_like_table(text: str) -> bool:
    """At least three lines that nearly all have the same number of fields; prose with commas does not."""
    text = whole_lines(text)
    rows = rows_of(text, delimiter_of(text))
    width = len(rows[0]) if rows else 0
    return width > 1 and len(rows) > 2 and sum(len(row) == width for row in rows) >= 0.95 * len(rows)


def is_sample(root: Path, entry: Entry) -> bool:
    """The data set that this agent brought itself: it steps back as soon as there is a user's file."""
    same_size = entry.path == SAMPLE.name and entry.size == SAMPLE.stat().st_size
    return same_size and (root / entry.path).read_bytes() == SAMPLE.read_bytes()


def inputs(root: Path, entries: list[Entry]) -> list[Entry]:
    """The data files, tables first."""
    data = sorted((entry for entry in entries if entry.is_data), key=lambda entry: entry.kind != "table")
    return [entry for entry in data if not is_sample(root, entry)] or data


def free_name(root: Path, name: str) -> str:
    """The name, or another one if the user has a file of that name: nobody's work is overwritten."""
    path = root / name
    if not os.path.lexists(path) or (path.is_file() and not path.is_symlink() and kind_of(path) == "own"):
        return name
    return free_name(root, f"demo-{name}") if len(name) < 200 else name
