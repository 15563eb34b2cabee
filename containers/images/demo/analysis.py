"""Describe a table (CSV, TSV) or a text: writes a report in Markdown and a bar chart in SVG.

    python3 analysis.py FILE [--about COLUMN]... [--report report.md] [--chart chart.svg]

Written by the Agentsite demo agent. Standard library only.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

MARK = "Agentsite demo agent"
TABLES = (".csv", ".tsv", ".tab", ".psv")
MISSING = ("", "na", "n/a", "nan", "null", "none", "-")
HEAD_BYTES, CELL_CHARACTERS, MAX_CELLS, MAX_COLUMNS, MAX_BARS = 64 * 1024, 200, 1_500_000, 100, 12
PROGRESS_ROWS = 20_000
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
"""Not 007, which is a code, nor 1,5 and 1,000, which mean different things in different countries."""
Bars = list[tuple[str, float]]


class Unusable(Exception):
    """The file cannot be analysed. The message is the rest of a sentence that begins with its name."""


@dataclass
class Column:
    name: str
    cells: list[str]
    """Empty where the value is missing."""

    def __post_init__(self) -> None:
        self.values = Counter(filter(None, self.cells))
        self.is_numeric = bool(self.values) and all(map(NUMBER.fullmatch, self.values))
        self.numbers = [float(cell) for cell in self.cells if cell] if self.is_numeric else []
        self.missing = len(self.cells) - self.values.total()

    def means_by(self, groups: Column) -> dict[str, float]:
        parts = defaultdict(list)
        for group, cell in zip(groups.cells, self.cells, strict=True):
            if group and cell:
                parts[group].append(float(cell))
        return {group: fmean(numbers) for group, numbers in parts.items()}

    def row(self) -> str:
        numbers = [min(self.numbers), fmean(self.numbers), max(self.numbers)] if self.is_numeric else []
        distinct = len(set(self.numbers)) if self.is_numeric else len(self.values)
        common = "" if self.is_numeric else ", ".join(code(value) for value, _ in self.values.most_common(3))
        counts = [f"{count:,}" for count in (self.values.total(), self.missing, distinct)]
        return f"| {' | '.join([code(self.name), *counts, *([shown(n) for n in numbers] or ['', '', '']), common])} |"


def encoding_of(path: Path) -> str:
    """Python's codec: by a byte order mark, UTF-8, else Windows-1252. Raises Unusable if the file is no text."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if not head.strip():
                raise Unusable("is empty")
            if marked := next((codec for bom, codec in BOMS if head.startswith(bom)), None):
                return marked
            if b"\0" in head or head.startswith(b"%PDF"):
                raise Unusable("is not a text file")
            decoder = codecs.getincrementaldecoder("utf-8")()
            while head:
                decoder.decode(head)
                head = file.read(HEAD_BYTES)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    return "utf-8"


def read_table(path: Path, max_rows: int | None = None) -> tuple[list[Column], bool]:
    """The columns, and whether all rows were read. A short row is filled up, a long one is cut."""
    csv.field_size_limit(1 << 26)
    with path.open(encoding=encoding_of(path), errors="replace", newline="") as file:
        first = file.readline(HEAD_BYTES)
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t|", key=first.count))
        rows = (row for row in reader if any(row))
        try:
            header = [name.strip() or f"column {place}" for place, name in enumerate(next(rows, []), 1)][:MAX_COLUMNS]
            if not header:
                raise Unusable("has no rows")
            names = [name if name not in header[:place] else f"{name} {place + 1}" for place, name in enumerate(header)]
            cells: list[list[str]] = [[] for _ in names]
            limit = MAX_CELLS // len(names) if max_rows is None else max_rows
            for count, row in enumerate(islice(rows, limit), 1):
                for place, column in enumerate(cells):
                    cell = row[place].strip()[:CELL_CHARACTERS] if place < len(row) else ""
                    column.append("" if cell.lower() in MISSING else cell)
                if count % PROGRESS_ROWS == 0:
                    print(f"{count:,} rows read ...")
            return [Column(*column) for column in zip(names, cells, strict=True)], next(rows, None) is None
        except csv.Error as error:
            raise Unusable(f"is not a readable table: {error}") from error


def describe_table(path: Path, about: list[str]) -> tuple[list[str], list[str], str, Bars]:
    """What was found, in sentences; the report's table; a title and bars for the chart."""
    columns, is_whole = read_table(path)
    count = len(columns[0].cells)
    print(f"{counted(count, 'row')} and {counted(len(columns), 'column')} read")
    size = f"{counted(count, 'row')}{'' if is_whole else ' (there are more)'}, {counted(len(columns), 'column')}"
    found = [f"{code(path)}: {size}."]
    gaps = [f"{code(c.name)} ({c.missing:,})" for c in sorted(columns, key=lambda c: -c.missing) if c.missing]
    found.append(f"Values are missing in {', '.join(gaps[:3])}." if gaps else "No value is missing.")
    wanted = sorted(columns, key=lambda column: column.name not in about)
    groups = next((c for c in wanted if not c.is_numeric and 1 < len(c.values) <= MAX_BARS), None)
    numeric = [c for c in wanted if c.is_numeric and c.name in about] or [c for c in wanted if c.is_numeric]
    if groups and numeric:
        # The column that differs most between the groups, measured by its own mean.
        means = [(column, column.means_by(groups)) for column in numeric]
        spreads = [max(m.values(), default=0) - min(m.values(), default=0) for _, m in means]
        relative = [
            spread / (abs(fmean(column.numbers)) or 1) for spread, (column, _) in zip(spreads, means, strict=True)
        ]
        column, best = means[relative.index(max(relative))]
        title, bars = f"Mean of {column.name} by {groups.name}", sorted(best.items(), key=lambda bar: bar[1])
        if bars:
            ends = [f"{code(label)} ({shown(value)})" for label, value in (bars[0], bars[-1])]
            found.append(
                f"{code(column.name)} by {code(groups.name)}: its mean is lowest for {ends[0]}, highest for {ends[1]}."
            )
    else:
        column = next((c for c in wanted if not c.is_numeric), wanted[0])
        title, bars = f"Most common values of {column.name}", most_common(column.values)
    head = [
        "| column | values | missing | distinct | lowest | mean | highest | most common |",
        f"|---|{'---:|' * 6}---|",
    ]
    return found, [*head, *(column.row() for column in columns)], title, bars


def describe_text(path: Path) -> tuple[list[str], list[str], str, Bars]:
    """The same for a text."""
    lines, words = 0, Counter[str]()
    with path.open(encoding=encoding_of(path), errors="replace") as file:
        while piece := file.readline(HEAD_BYTES):
            lines += piece.endswith("\n")
            words.update(re.findall(r"[^\W\d_]+", piece.casefold()))
    print(f"{lines:,} line ends and {words.total():,} words read")
    long = Counter({word: count for word, count in words.items() if len(word) > 3})
    found = [f"{code(path)}: {words.total():,} words, {len(words):,} different ones, {lines:,} line ends."]
    if long:
        found.append(f"The most common word of four letters and more: {code(long.most_common(1)[0][0])}.")
    table = [
        "| word | times |",
        "|---|---:|",
        *(f"| {code(word)} | {shown(count)} |" for word, count in most_common(long)),
    ]
    return found, table, "Most common words of four letters and more", most_common(long)


def most_common(values: Counter[str]) -> Bars:
    return [(value, float(count)) for value, count in values.most_common(MAX_BARS)]


def draw(title: str, bars: Bars) -> str:
    """A bar chart. Bars begin at zero."""
    low, high = min(0.0, *(value for _, value in bars)), max(0.0, *(value for _, value in bars))
    scale, height = 380 / ((high - low) or 1), 56 + 28 * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" font-family="sans-serif" font-size="13">',
        f'<title>{xml(title)}</title><!-- {MARK} --><rect width="680" height="{height}" fill="#fff"/>',
        f'<text x="16" y="28" font-size="16">{xml(title)}</text>',
    ]
    for y, (label, value) in enumerate(bars):
        left, width = 180 + (min(0.0, value) - low) * scale, abs(value) * scale
        parts.append(
            f'<g transform="translate(0 {48 + 28 * y})"><text x="170" y="15" text-anchor="end">{xml(label[:24])}</text>'
            f'<rect x="{left:.1f}" width="{width:.1f}" height="20" fill="#4477aa"/>'
            f'<text x="{left + width + 6:.1f}" y="15">{shown(value)}</text></g>'
        )
    return "\n".join([*parts, "</svg>", ""])


def shown(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.4g}"


def counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def code(name: object) -> str:
    """A name from the data inside Markdown."""
    text = " ".join(str(name).replace("`", "'").replace("|", "\N{BROKEN BAR}").split())
    return f"`{text[:60]}`" if text else "(empty)"


def xml(text: str) -> str:
    text = re.sub(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write(path: Path, text: str) -> None:
    """As a new file: a link of that name is replaced and not followed."""
    path.unlink(missing_ok=True)
    with path.open("x", encoding="utf-8", errors="replace") as file:
        file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--about", action="append", default=[], help="a column of interest")
    parser.add_argument("--report", type=Path, default="report.md")
    parser.add_argument("--chart", type=Path, default="chart.svg")
    given = parser.parse_args()
    try:
        codec = encoding_of(given.file)
        read_as = "Windows-1252 (guessed)" if codec == "cp1252" else codec.upper()
        is_table = given.file.suffix.lower() in TABLES
        found, table, title, bars = describe_table(given.file, given.about) if is_table else describe_text(given.file)
        image = [f"![The chart]({given.chart})", ""] if bars else []
        if bars:
            write(given.chart, draw(title, bars))
        signed = f"By analysis.py of the {MARK}. The file was read as {read_as}."
        lines = ["# Analysis report", "", signed, "", *(f"- {line}" for line in found), "", *image, *table, ""]
        write(given.report, "\n".join(lines))
        print(f"{given.report} written")
    except Unusable as reason:
        sys.exit(f"{given.file} {reason}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
