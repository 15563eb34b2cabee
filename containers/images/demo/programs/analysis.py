#!/usr/bin/env python3
"""Describe tables: types, missing values, statistics, correlations, groups.

    python3 analysis.py FILE... [--by COLUMN] [--focus COLUMN ...] [--output analysis.json]

Written by the Agentsite demo agent, with table_reading.py and text_encoding.py beside it. Standard library only. Each
file is read twice and its rows are never held: first to find what every column is, then to keep the numbers, at eight
bytes each. Quartiles interpolate linearly, `std` is the sample's (n - 1), correlations are Pearson's over the rows
where both values exist: as in pandas, so the numbers can be compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import compress, islice, pairwise
from operator import ne
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # last: a file beside this one must not replace Python's own modules
from table_reading import EPOCH, Column, Table
from text_encoding import name_of

Label = Callable[[int], str | None]  # the group that a row is in
MADE_BY = "Agentsite demo agent"
NAN = math.nan
DISTINCT_CAP, MAX_CORRELATED, MAX_GROUPS, MAX_POINTS = 10_000, 20, 12, 400
KEPT_PER_COLUMN, KEPT_IN_ALL = 4_000_000, 20_000_000  # numbers in memory; beyond them every k-th row is taken


def quantile(ordered: Sequence[float], share: float) -> float:
    position = (len(ordered) - 1) * share
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def summary(ordered: Sequence[float]) -> dict[str, Any]:
    """Of sorted, finite values. A spread too large for a float is null."""
    if not ordered:
        return {"count": 0}
    try:
        mean = math.fsum(ordered) / len(ordered)
        squares = math.fsum((value - mean) * (value - mean) for value in ordered)
    except OverflowError:
        mean = squares = NAN
    std = math.sqrt(squares / (len(ordered) - 1)) if len(ordered) > 1 else NAN
    quartiles = {name: quantile(ordered, share) for name, share in (("q1", 0.25), ("median", 0.5), ("q3", 0.75))}
    constant = ordered[0] == ordered[-1]  # then rounding must not invent a spread
    return {
        "count": len(ordered),
        "mean": ordered[0] if constant else mean,
        "std": 0.0 if constant and len(ordered) > 1 else std,
        "min": ordered[0],
        **quartiles,
        "max": ordered[-1],
    }


def histogram(ordered: Sequence[float], whole: bool, round_steps: bool = True) -> dict[str, Any] | None:
    """About Rice's number of bins, at most 30, with edges people would choose. The last bin holds its upper edge."""
    span = ordered[-1] - ordered[0]
    wanted = min(30, max(8, math.ceil(2 * len(ordered) ** (1 / 3))))
    if not 1e-290 < span < 1e300 or span / max(abs(ordered[0]), abs(ordered[-1])) < 1e-12:
        return None
    step, start = span / wanted, ordered[0]
    if round_steps:
        power = 10.0 ** math.floor(math.log10(step))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.75)
        step = max(1.0, math.ceil(step)) if whole else step
        start = math.floor(ordered[0] / step) * step
    reach = (ordered[-1] - start) / step
    bins = math.floor(reach) + 1 if whole else max(1, math.ceil(reach - 1e-9))
    edges = [start + step * number for number in range(bins + 1)]
    cuts = [0, *(bisect_left(ordered, edge) for edge in edges[1:-1]), len(ordered)]
    return {"edges": edges, "counts": [after - before for before, after in pairwise(cuts)]}


def describe(column: Column, rows: int) -> dict[str, Any]:
    about: dict[str, Any] = {"name": column.name, "type": column.type, "count": column.count, "missing": column.missing}
    about |= {"distinct": min(len(column.counts), column.cap), "distinct_exact": not column.capped}
    about["top"] = [{"value": value, "count": count} for value, count in column.counts.most_common(10)]
    if column.is_numeric or column.is_date:
        about |= describe_values(column, rows)
    elif column.count:
        mean = column.characters / column.count
        about["length"] = {"min": column.shortest, "mean": mean, "max": column.longest}
    return about


def describe_values(column: Column, rows: int) -> dict[str, Any]:
    ordered = array("d", sorted(value for value in column.values if value == value))
    about = {**summary(ordered), "count": column.count, "format": column.style.name, "infinite": column.infinite}
    if not ordered:
        return about
    if len(column.values) == rows:  # not for a sample
        about |= {"distinct": 1 + sum(map(ne, ordered, islice(ordered, 1, None))), "distinct_exact": True}
    about["histogram"] = histogram(ordered, column.type == "integer", not column.is_date)
    if column.is_date:
        return about | dates_as_text(about, column.type)
    print(f"  {column.name}: {about['min']:g} to {about['max']:g}, median {about['median']:g}", flush=True)
    reach = 1.5 * (about["q3"] - about["q1"])
    low, high = bisect_left(ordered, about["q1"] - reach), bisect_right(ordered, about["q3"] + reach)
    unbroken = about["max"] - about["min"] + 1 == column.count and column.count > 10
    named_id = re.search(r"(?:^|[^a-z])id$|^index$|^unnamed", column.name, re.I)
    is_id = column.type == "integer" and about.get("distinct") == rows and bool(unbroken or named_id)
    outliers = (low + len(ordered) - high) * (column.count - column.infinite) / len(ordered)  # of a sample: an estimate
    return about | {"outliers": round(outliers), "identifier": is_id}


def dates_as_text(about: dict[str, Any], kind: str) -> dict[str, Any]:
    def text(seconds: float) -> str:
        stamp = (EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
        return stamp.isoformat(sep=" ") if kind == "datetime" else stamp.date().isoformat()

    bins = about["histogram"]
    named = {name: text(about[name]) for name in ("min", "q1", "median", "q3", "max", "mean")}
    return {**named, "std": None, "histogram": bins and {**bins, "edges": list(map(text, bins["edges"]))}}


def correlations(columns: list[Column]) -> list[dict[str, Any]]:
    whole = {column.name: not any(value != value for value in column.values) for column in columns}
    found = []
    for number, first in enumerate(columns):
        for second in columns[number + 1 :]:
            r, n = pearson(first.values, second.values, whole[first.name] and whole[second.name])
            found.append({"a": first.name, "b": second.name, "r": r, "n": n})
    return found


def pearson(xs: array[float], ys: array[float], whole: bool) -> tuple[float | None, int]:
    """Null where it is not defined: fewer than two rows, or a column that does not vary in them."""
    if not whole:
        both = bytes(x == x and y == y for x, y in zip(xs, ys, strict=True))
        xs, ys = array("d", compress(xs, both)), array("d", compress(ys, both))
    if len(xs) < 2 or min(xs) == max(xs) or min(ys) == max(ys):
        return None, len(xs)
    try:
        x_mean, y_mean = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
        xx = math.fsum((x - x_mean) * (x - x_mean) for x in xs)
        yy = math.fsum((y - y_mean) * (y - y_mean) for y in ys)
        xy = math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
        r = xy / (math.sqrt(xx) * math.sqrt(yy))
        return (max(-1.0, min(1.0, r)) if math.isfinite(xx + yy + xy) else None), len(xs)
    except (OverflowError, ZeroDivisionError, ValueError):
        return None, len(xs)


def choose_group(columns: list[Column], wanted: str | None) -> Column | None:
    """The column that was asked for, or the first with a handful of values and the fewest missing."""
    for column in columns:
        if column.name == wanted and column.count:
            return column
    few = [c for c in columns if c.type in ("category", "boolean") and 2 <= len(c.counts) <= 8]
    return min(few, key=lambda column: column.missing, default=None)


def groups(by: Column, names: list[str], codes: array[int], columns: list[Column]) -> dict[str, Any]:
    """Every numeric column within each group, and the share of its variance that the groups explain (eta squared)."""
    found: dict[str, Any] = {"by": by.name, "values": names, "distinct": len(by.counts), "columns": {}, "explained": {}}
    for column in columns:
        parts = [array("d") for _ in names]
        for code, value in zip(codes, column.values, strict=True):
            if code >= 0 and value == value:
                parts[code].append(value)
        stats = [summary(array("d", sorted(part))) for part in parts]
        found["columns"][column.name] = [{"value": n, **s} for n, s in zip(names, stats, strict=True)]
        found["explained"][column.name] = explained(stats)
    return found


def explained(stats: list[dict[str, Any]]) -> float | None:
    used = [part for part in stats if part["count"]]
    total = sum(part["count"] for part in used)
    mean = sum(part["count"] * part["mean"] for part in used) / total if total else NAN
    between = sum(part["count"] * (part["mean"] - mean) ** 2 for part in used)
    within = sum((part["count"] - 1) * part["std"] ** 2 for part in used if part["count"] > 1)
    return between / (between + within) if len(used) > 1 and between + within > 0 else None


def scatter(pairs: list[dict[str, Any]], columns: dict[str, Column], focus: list[str], label: Label) -> Any:
    """Points of the strongest pair (one with a column in focus, if there is any), thinned evenly."""
    ranked = [pair for pair in pairs if pair["r"] is not None]
    best = max(ranked, key=lambda p: (len({p["a"], p["b"]} & set(focus)), abs(p["r"])), default=None)
    if best is None:
        return None
    xs, ys = columns[best["a"]].values, columns[best["b"]].values
    both = (row for row in range(len(xs)) if xs[row] == xs[row] and ys[row] == ys[row])
    chosen = islice(both, 0, None, math.ceil(best["n"] / MAX_POINTS))
    points = [[xs[row], ys[row], label(row)] for row in chosen]
    return {"x": best["a"], "y": best["b"], "r": best["r"], "n": best["n"], "points": points}


def trend(dates: Column, column: Column) -> dict[str, Any] | None:
    """The mean of a column in up to 40 equal spans of time."""
    known = [t for t, value in zip(dates.values, column.values, strict=True) if t == t and value == value]
    first, last, spans = min(known, default=0.0), max(known, default=0.0), min(40, len(known) // 3)
    if last <= first or spans < 3:
        return None
    sums, counts = [0.0] * spans, [0] * spans
    for t, value in zip(dates.values, column.values, strict=True):
        if t == t and value == value:
            span = min(spans - 1, int((t - first) / (last - first) * spans))
            sums[span], counts[span] = sums[span] + value, counts[span] + 1
    middles = [EPOCH + timedelta(seconds=first + (last - first) * (span + 0.5) / spans) for span in range(spans)]
    points = [[m.isoformat(" ")[:16], t / n if n else None] for m, t, n in zip(middles, sums, counts, strict=True)]
    return {"date": dates.name, "column": column.name, "points": points}


def learn(table: Table) -> list[Column]:
    """First pass: what is every column?"""
    cap = max(100, min(DISTINCT_CAP, 400_000 // max(1, len(table.names))))
    columns = [Column(name, cap) for name in table.names]
    for batch in table.batches("pass 1 of 2"):
        for column, cells in zip(columns, batch, strict=True):
            column.learn(cells)
    for column in columns:
        column.settle()
        distinct = f"over {column.cap:,}" if column.capped else f"{len(column.counts):,}"
        print(f"  {column.name}: {column.type}, {distinct} different, {column.missing:,} missing", flush=True)
    return columns


def load(table: Table, columns: list[Column], by: Column | None, names: list[str], step: int) -> array[int]:
    """Second pass: keep the numbers of every `step`-th row, and which group it is in (-1: in none)."""
    codes, index = array("h"), {name: code for code, name in enumerate(names)}
    seen = 0
    for batch in table.batches("pass 2 of 2"):
        for column, cells in zip(columns, batch, strict=True):
            taken = cells[-seen % step :: step]
            if column.is_numeric or column.is_date:
                column.keep(taken)
            if column is by:
                codes.extend([index.get(cell[:200], -1) for cell in taken])
        seen += len(batch[0])
    return codes


def analyse(path: str, wanted: str | None, focus: list[str]) -> dict[str, Any]:
    table = Table(path)
    encoding = name_of(table.encoding)
    print(f"{path}: {table.size:,} bytes, {encoding}, fields separated by {table.delimiter!r}", flush=True)
    columns = learn(table)
    kept = sum(column.is_numeric or column.is_date for column in columns)
    step = max(1, math.ceil(table.rows / KEPT_PER_COLUMN), math.ceil(table.rows * kept / KEPT_IN_ALL))
    by = choose_group(columns, wanted)
    names = [name for name, _ in by.counts.most_common(MAX_GROUPS)] if by else []
    codes = load(table, columns, by, names, step)
    about = {"file": path, "kind": "table", "bytes": table.size, "encoding": encoding}
    about |= {"delimiter": table.delimiter, "header": table.has_header, "rows": table.rows, "notes": table.notes}
    about |= {"ragged": {"short": table.short, "long": table.long}, "sampled_every": step}
    about["columns"] = [describe(column, table.rows) for column in columns]
    return about | compare(columns, about["columns"], by, names, codes, focus)


def compare(
    columns: list[Column], about: Any, by: Column | None, names: list[str], codes: Any, focus: list[str]
) -> Any:
    """What needs more than one column."""
    ids = {entry["name"] for entry in about if entry.get("identifier")}
    numeric = sorted((c for c in columns if c.is_numeric and c.count), key=lambda c: c.name not in focus)
    if len(numeric) > 1:
        print(f"  correlations of {min(len(numeric), MAX_CORRELATED)} columns", flush=True)
    chosen = {column.name for column in numeric[:MAX_CORRELATED]}
    pairs = correlations([column for column in columns if column.name in chosen])
    useful = [pair for pair in pairs if not ids & {pair["a"], pair["b"]}]
    dates = next((column for column in columns if column.is_date), None)
    measured = [column for column in numeric if column is not by and column.name not in ids][:MAX_GROUPS]

    def label(row: int) -> str | None:
        return names[codes[row]] if by and codes[row] >= 0 else None

    return {
        "correlations": pairs,
        "uncorrelated": [column.name for column in numeric[MAX_CORRELATED:]],
        "groups": groups(by, names, codes, measured) if by else None,
        "scatter": scatter(useful, {column.name: column for column in columns}, focus, label),
        "trend": trend(dates, measured[0]) if dates and measured else None,
    }


def without_nan(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def attempt(path: str, by: str | None, focus: list[str]) -> dict[str, Any]:
    try:
        return analyse(path, by, focus)
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, csv.Error) as error:
        reason = str(error)
    print(f"{path}: not analysed: {reason}", flush=True)
    return {"file": path, "kind": "table", "error": reason}


def main() -> None:
    parser = argparse.ArgumentParser(description="Describe tables.")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--by", help="compare the groups of this column")
    parser.add_argument("--focus", action="append", default=[], help="a column of special interest")
    parser.add_argument("--output", default="analysis.json")
    options = parser.parse_args()
    started = time.monotonic()
    found = [attempt(path, options.by, options.focus) for path in options.files]
    part, output = Path(options.output + ".part"), Path(options.output)
    with part.open("w", encoding="utf-8") as file:
        json.dump(without_nan({"made_by": MADE_BY, "files": found}), file, allow_nan=False, indent=1)
    part.replace(output)
    print(f"wrote {output} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
