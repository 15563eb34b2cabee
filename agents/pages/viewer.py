"""One file of a workspace as its page shows it: text with line numbers, Markdown, a table, a picture; bounded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from django.utils.safestring import SafeString

from agents.pages import markdown, visible
from agents.pages.diff import LINE_CHARS, Piece, markup
from agents.pages.highlight import highlight
from agents.workspace.text import read_text
from agents.workspace.types import ending, image_type

Kind = Literal["text", "markdown", "table", "image", "binary"]
VIEW_BYTES = 512 * 1024
"""Of a file that are read for its page."""
VIEW_LINES = 5000
TABLE_ROWS = 200
TABLE_COLUMNS = 50
CELL_CHARS = 300
PRETTY_BYTES = 64 * 1024
"""JSON that is larger is shown as it is."""
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(slots=True)
class View:
    """`encoding`: its name where that is not UTF-8. `line_ends`: in words, where they are not LF alone. `cut`: bytes of
    the file that were not read. `lines_left_out`: of those that were. `has_source`: there is another way to show it."""

    kind: Kind
    encoding: str = ""
    line_ends: str = ""
    cut: int = 0
    lines: list[list[Piece]] = field(default_factory=list)
    lines_left_out: int = 0
    html: SafeString | None = None
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    rows_left_out: int = 0
    columns_left_out: int = 0
    has_source: bool = False
    is_source: bool = False

    @property
    def lines_html(self) -> list[SafeString]:
        return [markup(line) for line in self.lines]


def of(path: str, content: bytes, size: int, files_url: str, *, source: bool = False) -> View:
    """`content`: the file's first VIEW_BYTES. `source`: as it is written, where it would be rendered."""
    if image_type(path) and not (source and ending(path) == "svg"):
        return View("image", has_source=ending(path) == "svg")
    read = read_text(content, is_cut=size > len(content))
    if read is None:
        return View("binary")
    text = read.content
    line_ends = _line_ends(text)
    text = text if "\n" in text else text.replace("\r", "\n")  # as old Macintosh programs end lines
    view = None if source else _rendered(path, text, size, files_url)
    if view is None:
        view = _as_text(path, text.replace("\r\n", "\n"))
        view.has_source = view.is_source = source and _can_render(path)
    view.encoding = "" if read.is_utf8 else read.encoding
    view.line_ends = line_ends
    view.cut = max(0, size - len(content))
    return view


def _line_ends(text: str) -> str:
    """In words; empty for \\n and for a text of one line."""
    crlf, lf = text.count("\r\n"), text.count("\n")
    if crlf:
        return "CRLF line ends" if crlf == lf else "CRLF and LF line ends"
    return "CR line ends" if "\r" in text and not lf else ""


def _can_render(path: str) -> bool:
    return ending(path) in ("md", "markdown", "csv", "tsv", "json", "geojson", "svg")


def _rendered(path: str, text: str, size: int, files_url: str) -> View | None:
    kind = ending(path)
    if kind in ("md", "markdown"):
        directory = path.rpartition("/")[0]
        return View("markdown", html=markdown.render(text, files_url, directory), has_source=True)
    if kind in ("csv", "tsv"):
        return _table(text, "\t" if kind == "tsv" else None)
    if kind in ("json", "geojson") and size <= PRETTY_BYTES and (pretty := _pretty(text)) is not None:
        view = _as_text(path, pretty)
        view.has_source = pretty != text
        return view
    return None


# Text -----------------------------------------------------------------------------------------------------------------


def _as_text(path: str, text: str) -> View:
    lines = list(_lines(highlight(path, text) or [("", text)]))
    return View("text", lines=lines[:VIEW_LINES], lines_left_out=max(0, len(lines) - VIEW_LINES))


def _lines(tokens: Iterable[tuple[str, str]]) -> Iterator[list[Piece]]:
    """Lines end with \\n; what else might end one is shown."""
    line: list[Piece] = []
    room = LINE_CHARS
    for css, text in tokens:
        for at, part in enumerate(text.split("\n")):
            if at:
                yield _closed(line, room)
                line, room = [], LINE_CHARS
            line += _pieces(part[: max(0, room)], css)
            room -= len(part)
    if line:
        yield _closed(line, room)


def _closed(line: list[Piece], room: int) -> list[Piece]:
    return line if room >= 0 else [*line, Piece(f"… {-room:,} more characters", "more")]


def _pieces(text: str, css: str) -> Iterator[Piece]:
    for shown, is_hidden in visible.pieces(text):
        yield Piece(shown, "hidden" if is_hidden else css)


# Tables, JSON ---------------------------------------------------------------------------------------------------------


def _table(text: str, delimiter: str | None) -> View | None:
    """None for what is no table."""
    first = text.partition("\n")[0]
    delimiter = delimiter or max(",;\t|", key=first.count)
    try:  # a line end within quotes belongs to its cell
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return None
    if len(rows) < 2:
        return None
    columns = max(map(len, rows[: TABLE_ROWS + 1]))
    shown = [[_cell(cell) for cell in row[:TABLE_COLUMNS]] for row in rows[: TABLE_ROWS + 1]]
    return View(
        "table",
        header=shown[0],
        rows=shown[1:],
        rows_left_out=max(0, len(rows) - len(shown)),
        columns_left_out=max(0, columns - TABLE_COLUMNS),
        has_source=True,
    )


def _cell(text: str) -> str:
    text = visible.plain(text)
    return text if len(text) <= CELL_CHARS else text[:CELL_CHARS] + "…"


def _pretty(text: str) -> str | None:
    """Laid out anew, but token by token as it was written: numbers, escapes and keys that come twice stay. None for
    what is not JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    made: list[str] = []
    depth = 0
    tokens = _JSON_TOKEN.findall(text)
    for token, after in zip(tokens, [*islice(tokens, 1, None), ""], strict=True):
        if token in "{[":
            depth += 1
            made.append(token + ("" if after in ("}", "]") else "\n" + "  " * depth))
        elif token in "}]":
            depth -= 1
            made.append(token if made[-1] in ("{", "[") else f"\n{'  ' * depth}{token}")
        else:
            made.append({",": ",\n" + "  " * depth, ":": ": "}.get(token, token))
    return "".join(made) + "\n"
