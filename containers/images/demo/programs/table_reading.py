"""Read tables (CSV, TSV, semicolons, pipes): how the file is written, what each column is, its cells in batches.

Written by the Agentsite demo agent; analysis.py needs it beside itself, and text_encoding.py. Standard library only.
A cell is missing when it is empty, NA, N/A, null, NaN or the like (as in pandas).
"""

from __future__ import annotations

import csv
import io
import math
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

if __package__:
    from .text_encoding import encoding_of
else:
    from text_encoding import encoding_of

MISSING = frozenset(["", "NA", "na", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "None"]) | frozenset(
    ["NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null"]
)
BOOLEANS = ({"true", "false"}, {"yes", "no"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAN = math.nan
MAX_COLUMNS = 1_000
LINE_END = re.compile(r"\r\n|\n|\r")
csv.field_size_limit(64 * 1024 * 1024)  # the default of 128 KiB refuses honest long texts


def moment(text: str) -> float:
    """Seconds since 1970; a time without a zone counts as UTC."""
    stamp = datetime.fromisoformat(text.replace("/", "-"))
    return ((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - EPOCH).total_seconds()


def day_first(text: str) -> float:
    return moment("-".join(part.zfill(2) for part in reversed(re.split(r"[./]", text))))


def month_first(text: str) -> float:
    month, day, year = text.split("/")
    return day_first(f"{day}/{month}/{year}")


class Style(NamedTuple):
    """A way of writing values. `proof` must be seen once, where the same text could mean something else."""

    name: str
    type: str
    pattern: re.Pattern[str]
    read: Callable[[str], float] = float
    proof: re.Pattern[str] | None = None

    def fits(self, text: str) -> bool:
        if not self.pattern.fullmatch(text):
            return False
        try:
            return self.type in ("integer", "number") or self.read(text) is not None
        except ValueError:  # the 30th of February
            return False

    def fit(self, texts: set[str]) -> bool:
        quick = self.type in ("integer", "number")  # the pattern says it all
        return all(map(self.pattern.fullmatch if quick else self.fits, texts))


DAY, MONTH = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])"
STYLES = [  # whole numbers of 16 digits and more, or with leading zeros, are names of something: text
    Style("integer", "integer", re.compile(r"[+-]?(?:0|[1-9][0-9]{0,14})")),
    Style(
        "number",
        "number",
        re.compile(
            r"[+-]?(?:(?![0-9]{16,}$)(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))"
        ),
    ),
    Style(
        "1,234.5",
        "number",
        re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})*(?:\.[0-9]+)?"),
        lambda text: float(text.replace(",", "")),
        re.compile(r",[0-9]{3}[,.]"),
    ),
    Style(
        "1,5 (decimal comma)",
        "number",
        re.compile(r"[+-]?[0-9]+(?:,[0-9]+)?"),
        lambda text: float(text.replace(",", ".")),
        re.compile(r",(?![0-9]{3}$)|[0-9]{4},|^[+-]?0,"),
    ),
    Style("YYYY-MM-DD", "date", re.compile(r"[0-9]{4}([-/])[0-9]{2}\1[0-9]{2}"), moment),
    Style(
        "YYYY-MM-DD hh:mm",
        "datetime",
        re.compile(
            r"[0-9]{4}([-/])[0-9]{2}\1[0-9]{2}"
            r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
        ),
        moment,
    ),
    Style("DD.MM.YYYY", "date", re.compile(rf"{DAY}\.{MONTH}\.[0-9]{{4}}"), day_first),
    Style("DD/MM/YYYY", "date", re.compile(rf"{DAY}/{MONTH}/[0-9]{{4}}"), day_first),
    Style("MM/DD/YYYY", "date", re.compile(rf"{MONTH}/{DAY}/[0-9]{{4}}"), month_first),
]


class Column:
    """What is learned of one column: its type while the first pass reads, its numbers in the second."""

    def __init__(self, name: str, cap: int) -> None:
        self.name, self.cap, self.type = name, cap, "empty"
        self.styles, self.style, self.proven = STYLES, STYLES[0], set[str]()
        self.counts: Counter[str] = Counter()
        self.count = self.missing = self.infinite = self.shortest = self.longest = self.characters = 0
        self.capped = False
        self.values = array("d")

    def learn(self, cells: Sequence[str]) -> None:
        present = [cell for cell in cells if cell not in MISSING]
        self.missing += len(cells) - len(present)
        if not present:
            return
        lengths = list(map(len, present))
        self.shortest = min(lengths) if not self.count else min(self.shortest, min(lengths))
        self.longest, self.characters = max(self.longest, max(lengths)), self.characters + sum(lengths)
        self.count += len(present)
        self.narrow(set(present))
        self.tally(present if max(lengths) <= 200 else [cell[:200] for cell in present])

    def narrow(self, fresh: set[str]) -> None:
        self.styles = [style for style in self.styles if style.fit(fresh)]
        for style in self.styles:
            if style.proof and style.name not in self.proven and any(map(style.proof.search, fresh)):
                self.proven.add(style.name)

    def tally(self, present: list[str]) -> None:
        """Exact up to the cap; after it the values known by then are still counted exactly."""
        if not self.capped:
            self.counts.update(present)
            self.capped = len(self.counts) > self.cap
        else:
            self.counts.update(cell for cell in present if cell in self.counts)

    def settle(self) -> None:
        """Decide the type, after the first pass."""
        styles = [style for style in self.styles if not style.proof or style.name in self.proven]
        if {"DD/MM/YYYY", "MM/DD/YYYY"} <= {style.name for style in styles}:
            styles = []  # 01/02/2024 and nothing later than the 12th: nobody can tell
        if self.count and styles:
            self.style, self.type = styles[0], styles[0].type
        elif self.count:
            lowered = set(map(str.casefold, self.counts))
            few = len(lowered) <= 50 and not self.capped and len(lowered) <= max(2, self.count / 2)
            self.type = "boolean" if any(lowered <= pair for pair in BOOLEANS) else "category" if few else "text"

    @property
    def is_numeric(self) -> bool:
        return self.type in ("integer", "number")

    @property
    def is_date(self) -> bool:
        return self.type in ("date", "datetime")

    def keep(self, cells: Sequence[str]) -> None:
        read = self.style.read
        numbers = [NAN if cell in MISSING else read(cell) for cell in cells]
        if any(map(math.isinf, numbers)):
            self.infinite += sum(map(math.isinf, numbers))
            numbers = [NAN if math.isinf(number) else number for number in numbers]
        self.values.extend(numbers)


class Table:
    """One file: how it is written, and its cells, a batch of columns at a time."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.size = self.path.stat().st_size
        self.encoding = encoding_of(self.path)
        with self.path.open(encoding=self.encoding, newline="") as file:
            text = file.read(256 * 1024)
            is_whole = not file.read(1)
        if not text.strip():
            raise ValueError("it is empty")
        if not is_whole:
            text = whole_lines(text)
        self.delimiter = delimiter_of(text, self.path.suffix)
        first = next(iter(rows_of(text, self.delimiter)), [])
        self.has_header = not (first and all(looks_like_data(cell.strip()) for cell in first))
        self.notes: list[str] = []
        self.names = self.name_columns(self.header())
        row_bytes = max(1, len(text) // max(1, len(LINE_END.findall(text))))
        self.batch = max(1, min(20_000 // max(1, len(self.names)), 4 * 1024 * 1024 // row_bytes))
        self.rows = self.short = self.long = 0

    def header(self) -> list[str]:
        with self.path.open(encoding=self.encoding, newline="") as file:
            return next((row for row in csv.reader(file, delimiter=self.delimiter) if row), [])

    def name_columns(self, header: list[str]) -> list[str]:
        """Names that are all different: an empty one gets its position, a repeated one a number, as in pandas."""
        if len(header) > MAX_COLUMNS:
            self.notes.append(f"only the first {MAX_COLUMNS:,} of {len(header):,} columns were analysed")
        names: list[str] = []
        for position, cell in enumerate(header[:MAX_COLUMNS], 1):
            wanted = " ".join(cell.split()) if self.has_header else ""
            name = base = wanted or f"column_{position}"
            number = 0
            while name in names:
                number += 1
                name = f"{base}.{number}"
            if self.has_header and name != wanted:
                self.notes.append(f"column {position} ({wanted or 'without a name'}) is called {name} here")
            names.append(name)
        return names

    def batches(self, label: str) -> Iterator[list[list[str]]]:
        """The cells, column by column. Blank lines are no rows; absent fields are empty, extra ones are dropped."""
        self.rows = self.short = self.long = 0
        told = time.monotonic()
        with self.path.open("rb") as raw, io.TextIOWrapper(raw, self.encoding, newline="") as text:
            reader = csv.reader(text, delimiter=self.delimiter)
            if self.has_header:
                next((row for row in reader if row), None)
            while lines := list(islice(reader, self.batch)):
                rows = self.even([row for row in lines if row])
                self.rows += len(rows)
                if rows:
                    yield [list(map(str.strip, cells)) for cells in zip(*rows, strict=True)]
                if time.monotonic() - told > 1:
                    told = time.monotonic()
                    print(f"  {label}: {100 * raw.tell() // self.size} %, {self.rows:,} rows", flush=True)

    def even(self, rows: list[list[str]]) -> list[list[str]]:
        width = len(self.names)
        if all(len(row) == width for row in rows):
            return rows
        self.short += sum(len(row) < width for row in rows)
        self.long += sum(len(row) > width for row in rows) if width < MAX_COLUMNS else 0
        return [row[:width] + [""] * (width - len(row)) for row in rows]


def whole_lines(text: str) -> str:
    """Without the last line, which is cut, if there is another. Old files end their lines with a carriage return."""
    return text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text


def rows_of(text: str, delimiter: str) -> list[list[str]]:
    """The first rows of a sample."""
    return [row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 500) if row]


def delimiter_of(text: str, suffix: str = "") -> str:
    """The separator that gives most lines as many fields as the first, and the most fields."""
    found, best = ("\t" if suffix.lower() in (".tsv", ".tab") else ","), (False, 0.0)
    for delimiter in "\t;|,":
        rows = rows_of(text, delimiter)
        width = len(rows[0]) if rows else 0
        share = sum(len(row) == width for row in rows) / len(rows) if rows else 0.0
        if width > 1 and (share >= 0.8, width * share) > best:
            found, best = delimiter, (share >= 0.8, width * share)
    return found


def looks_like_data(cell: str) -> bool:
    return any(style.fits(cell) for style in STYLES)
