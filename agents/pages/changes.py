"""What changed in a workspace, a section a file, as a page shows it: bounded, and saying what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agents.pages import visible
from agents.pages.diff import Hunk, Words, ends_in_crlf, hunks, without_carriage_returns
from agents.workspace.history import FileDiff, RunDiff

View = Literal["unified", "split"]
PAGE_LINES = 4000
"""Lines of diffs on one page; a file beyond that has a page of its own."""
FILE_LINES = 2000
"""Of one file among others."""
ALONE_LINES = 20_000
"""Of a file on a page of its own."""
OPEN_LINES = 400
"""A file with more is folded at first."""
REASONS = {
    "binary": "Not a text file.",
    "too-large": "Too large to be compared.",
    "not-kept": "Its content was not kept.",
}


@dataclass(slots=True)
class Section:
    """`anchor`: its id in the page. `renamed_from`: a deleted file with the same text. `encoding`: see FileDiff."""

    path: str
    shown_path: str
    anchor: str
    status: Literal["added", "modified", "deleted", "renamed"]
    additions: int | None
    deletions: int | None
    hunks: list[Hunk] = field(default_factory=list)
    left_out: int = 0
    reason: str = ""
    renamed_from: str = ""
    is_open: bool = True
    encoding: str = ""
    line_ends: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    sections: list[Section]
    complete: bool
    additions: int
    deletions: int
    view: View
    alone: bool

    @property
    def is_split(self) -> bool:
        return self.view == "split"


def view_of(wanted: str | None) -> View:
    return "split" if wanted == "split" else "unified"


def of(diff: RunDiff, view: View = "unified", path: str | None = None) -> Changes:
    """All of it; with `path` that file only, and more of it."""
    files = [file for file in diff.files if path is None or file.path == path]
    renamed = _renamed(files) if path is None else {}
    words = Words()
    left = PAGE_LINES if path is None else ALONE_LINES
    sections: list[Section] = []
    for file in files:
        if file.path in renamed.values():
            continue
        section = _section(file, len(sections) + 1, renamed.get(file.path))
        if file.diff and section.status != "renamed":
            most = min(left, FILE_LINES) if path is None else left
            section.hunks, section.left_out = hunks(file.diff, most)
            left -= sum(len(hunk.lines) for hunk in section.hunks)
            if ends_in_crlf(section.hunks):
                section.hunks, section.line_ends = without_carriage_returns(section.hunks), "CRLF line ends"
            section.hunks = [Hunk(hunk.header, words.mark(hunk.lines)) for hunk in section.hunks]
            section.is_open = path is not None or sum(len(hunk.lines) for hunk in section.hunks) <= OPEN_LINES
        sections.append(section)
    return Changes(
        sections,
        diff.complete,
        sum(section.additions or 0 for section in sections),
        sum(section.deletions or 0 for section in sections),
        view,
        path is not None,
    )


def _section(file: FileDiff, number: int, renamed_from: str | None) -> Section:
    section = Section(
        file.path,
        visible.plain(file.path),
        f"file-{number}",
        file.status,
        file.additions,
        file.deletions,
        reason=REASONS.get(file.reason or "", ""),
        encoding=file.encoding or "",
    )
    if renamed_from is not None:
        section.status, section.renamed_from = "renamed", visible.plain(renamed_from)
        section.additions = section.deletions = 0
    return section


def _renamed(files: Sequence[FileDiff]) -> dict[str, str]:
    """New path → old path, of files that are not empty and have the same text; of several, in the order of paths."""
    gone: dict[str, list[str]] = {}
    for file in files:
        if file.status == "deleted" and file.diff:
            gone.setdefault(_text(file.diff), []).append(file.path)
    found = {}
    for file in files:
        if file.status == "added" and file.diff and (same := gone.get(_text(file.diff))):
            found[file.path] = same.pop(0)
    return found


def _text(diff: str) -> str:
    """Of a file that was added or deleted as a whole: its lines."""
    return "\n".join(row if row.startswith("\\") else row[1:] for row in diff.split("\n")[3:])
