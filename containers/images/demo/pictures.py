"""Which charts a file gets: the columns in focus first, and never more than a page of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from . import charts
from .markdown import number
from .request import Request

Json = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A chart to draw: its kind, its columns, its file, and the drawing itself."""

    kind: str
    columns: tuple[str, ...]
    title: str
    path: str
    draw: Callable[[], str]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40] or "x"


def of_file(about: Json, request: Request, limit: int) -> list[Picture]:
    """Charts of one analysed file, each with a path of its own."""
    found = list(of_table(about, request) if about["kind"] == "table" else of_text(about))
    stem, taken, named = slug(PurePosixPath(about["file"]).stem), set[str](), list[Picture]()
    for kind, columns, title, draw in found[:limit]:
        base = "-".join([stem, kind, *map(slug, columns)])
        path = base if base not in taken else f"{base}-{len(taken)}"
        taken.add(path)
        named.append(Picture(kind, columns, title, f"charts/{path}.svg", draw))
    return named


Found = tuple[str, tuple[str, ...], str, Callable[[], str]]


def of_table(about: Json, request: Request) -> Iterator[Found]:
    """Most telling first; what the prompt asks for before all."""
    everything = [
        *map_of_correlations(about),
        *strongest_pair(about),
        *differences(about, request),
        *over_time(about),
        *distributions(about, request, 4),
        *counts(about, request, 3),
    ]
    wanted = set(request.charts)
    return iter(
        sorted(everything, key=lambda found: (not (set(found[1]) & set(request.columns)), found[0] not in wanted))
    )


def map_of_correlations(about: Json) -> Iterator[Found]:
    ids = {column["name"] for column in about["columns"] if column.get("identifier")}
    pairs = {(p["a"], p["b"]): p["r"] for p in about["correlations"] if not ids & {p["a"], p["b"]}}
    names = list(dict.fromkeys(name for pair in pairs for name in pair))[:12]
    if len(names) > 2:
        yield "heat-map", (), "Correlations", partial(charts.heat_map, names, pairs)


def strongest_pair(about: Json) -> Iterator[Found]:
    pair, groups = about["scatter"], about["groups"]
    if pair:
        names = groups["values"] if groups else []
        yield (
            "scatter",
            (pair["x"], pair["y"]),
            f"{pair['y']} against {pair['x']}",
            partial(charts.scatter, pair, names),
        )


def differences(about: Json, request: Request) -> Iterator[Found]:
    """A box plot of the column in focus, or of the one that differs most between the groups."""
    groups = about["groups"]
    explained = {name: share for name, share in (groups or {}).get("explained", {}).items() if share is not None}
    if groups and explained:
        name = max(explained, key=lambda column: (column in request.columns, explained[column]))
        draw = partial(charts.boxes, name, groups["by"], groups["columns"][name], explained[name])
        yield "boxes", (name, groups["by"]), f"{name} by {groups['by']}", draw


def over_time(about: Json) -> Iterator[Found]:
    if about["trend"]:
        title = f"{about['trend']['column']} over time"
        yield "trend", (about["trend"]["column"], about["trend"]["date"]), title, partial(charts.trend, about["trend"])
    for column in about["columns"]:
        if column["type"] in ("date", "datetime") and column.get("histogram"):
            subtitle = f"{column['min']} to {column['max']}"
            draw = partial(charts.timeline, column["name"], column["histogram"], subtitle)
            yield "timeline", (column["name"],), f"Rows over {column['name']}", draw
            return


def distributions(about: Json, request: Request, limit: int) -> Iterator[Found]:
    numeric = [c for c in about["columns"] if c["type"] in ("integer", "number") and c.get("histogram")]
    numeric = [c for c in numeric if not c.get("identifier") or c["name"] in request.columns]
    for column in sorted(numeric, key=lambda c: c["name"] not in request.columns)[:limit]:
        std = f", standard deviation {number(column['std'])}" if column["std"] is not None else ""
        subtitle = f"{column['count']:,} values{std}, {column['missing']:,} missing"
        marks = {name: column[name] for name in ("mean", "median") if column[name] is not None}
        draw = partial(charts.histogram, column["name"], column["histogram"], subtitle, marks)
        yield "histogram", (column["name"],), f"Distribution of {column['name']}", draw


def counts(about: Json, request: Request, limit: int) -> Iterator[Found]:
    named = [c for c in about["columns"] if c["type"] in ("category", "boolean") and c["top"]]
    for column in sorted(named, key=lambda c: c["name"] not in request.columns)[:limit]:
        top = [(item["value"], item["count"]) for item in column["top"]]
        subtitle = f"{column['distinct']:,} different values, {column['missing']:,} missing"
        draw = partial(charts.bars, f"Counts of {column['name']}", subtitle, top, column["count"])
        yield "bars", (column["name"],), f"Counts of {column['name']}", draw


def of_text(about: Json) -> Iterator[Found]:
    words = about["top_uncommon_words"] or about["top_words"]
    if words:
        top = [(item["word"], item["count"]) for item in words[:12]]
        subtitle = "without the commonest English ones" if about["top_uncommon_words"] else ""
        draw = partial(charts.bars, "Most common words", subtitle, top, about["words"])
        yield "bars", ("words",), "Most common words", draw
    for what in ("word", "line"):
        spread = about.get(f"{what}_length")
        if spread and spread["max"] > 0:
            marks = {"mean": spread["mean"], "median": spread["median"]}
            title, bins = f"{what} length", about[f"{what}_histogram"]
            draw = partial(
                charts.histogram, f"{title} (characters)", bins, f"{spread['count']:,} {what}s", marks, f"{what}s"
            )
            yield "histogram", (title,), f"Distribution of {title}", draw
