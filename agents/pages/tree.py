"""A workspace's files as a tree of folders, for a page: bounded, and saying how many more there are.

static/agents/files.js makes the same of the live state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.pages import measures, visible
from agents.pages.links import file_url

FOLDER_ROWS = 100
"""Entries of one folder in the panel; the folder's own page has FOLDER_PAGE_ROWS a page."""
FOLDER_PAGE_ROWS = 500
ROWS_MOST = 400
"""In the panel that the server sends, all folders together: those beyond are links to their pages."""
NAME_WHOLE_CHARS = 12
"""A name that is no longer is never cut."""
NAME_END_CHARS = 8
"""Of a longer name: its end, which is never cut."""
OPEN_FILES = 30
"""With no more files than these all folders are open at first."""


@dataclass(slots=True)
class Row:
    """A file, or a folder: then `count` is how many files are in it, at any depth. `url` None: it can't have one."""

    name: str
    path: str
    url: str | None
    title: str
    """The path whole, since a long name is cut."""
    size: str = ""
    mark: str = ""
    count: int | None = None
    rows: list[Row] = field(default_factory=list)
    left_out: int = 0
    is_shown: bool = True
    """Are its rows there? Else only its page has them."""

    @property
    def halves(self) -> tuple[str, str]:
        return halves(self.name)


@dataclass(slots=True)
class Tree:
    rows: list[Row]
    left_out: int
    is_open: bool


@dataclass(slots=True)
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    count: int = 0


def of(files: Mapping[str, Mapping[str, Any]], url: str, marks: Mapping[str, str]) -> Tree:
    """`files`: path → {size}, as in the folded state. `url`: of the viewer, ending in a slash."""
    builder = _Builder(files, url, marks)
    rows, left_out = builder.rows("", _folders(files))
    return Tree(rows, left_out, len(files) <= OPEN_FILES)


def folder(paths: Iterable[str], within: str) -> tuple[list[tuple[str, int]], list[str]]:
    """((names of folders, files in each), names of files) directly in that folder (empty: the top)."""
    prefix = f"{within}/" if within else ""
    counts: dict[str, int] = {}
    files = []
    for path in paths:
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            if slash:
                counts[name] = counts.get(name, 0) + 1
            else:
                files.append(name)
    return sorted(counts.items()), sorted(files)


def halves(name: str) -> tuple[str, str]:
    """A long name is cut in its middle where there is no room: its end, a number or a suffix, tells files apart."""
    end = -NAME_END_CHARS if len(name) > NAME_WHOLE_CHARS else -NAME_WHOLE_CHARS
    return name[:end], name[end:]


def _folders(paths: Iterable[str]) -> _Folder:
    top = _Folder()
    for path in sorted(paths):
        *above, _ = path.split("/")
        at = top
        at.count += 1
        for name in above:
            at = at.folders.setdefault(name, _Folder())
            at.count += 1
        at.files.append(path)
    return top


class _Builder:
    def __init__(self, files: Mapping[str, Mapping[str, Any]], url: str, marks: Mapping[str, str]) -> None:
        self._files = files
        self._url = url
        self._marks = marks
        self._left = ROWS_MOST

    def rows(self, within: str, folder: _Folder) -> tuple[list[Row], int]:
        """(rows, how many entries are left out); what is here before what is below."""
        shown = [(name, below) for name, below in sorted(folder.folders.items())][:FOLDER_ROWS]
        files = folder.files[: FOLDER_ROWS - len(shown)]
        self._left -= len(shown) + len(files)
        made = [self._folder(f"{within}{name}", name, below) for name, below in shown]
        made += [self._file(path) for path in files]
        return made, len(folder.folders) + len(folder.files) - len(made)

    def _folder(self, path: str, name: str, below: _Folder) -> Row:
        url = file_url(path, self._url)
        row = Row(visible.plain(name), path, f"{url}/" if url else None, visible.plain(path), count=below.count)
        row.is_shown = self._left >= min(FOLDER_ROWS, len(below.folders) + len(below.files))
        if row.is_shown:
            row.rows, row.left_out = self.rows(f"{path}/", below)
        return row

    def _file(self, path: str) -> Row:
        name = visible.plain(path.rpartition("/")[2])
        mark = self._marks.get(path, "")
        size = measures.size(self._files[path]["size"])
        return Row(name, path, file_url(path, self._url), visible.plain(path), size, mark)
