"""What is worth saying about a file. Every sentence is made of numbers in analysis.json, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .markdown import code, number, percent, plain
from .request import Request

Json = dict[str, Any]
FEWEST_ROWS = 8  # two points always lie on a line


def of_file(about: Json, request: Request) -> list[str]:
    """Sentences in Markdown; those about columns in focus come first."""
    if about["kind"] == "text":
        return list(of_text(about))
    found = [
        *related(about),
        *grouped(about, request),
        *changed(about),
        *shaped(about),
        *unbalanced(about),
        *gaps(about),
    ]
    focus = [code(name) for name in request.columns]
    return sorted(found, key=lambda sentence: not any(name in sentence for name in focus))


def strength(r: float) -> str:
    """The usual words; Cohen's limits for the weak ones."""
    for limit, word in ((0.9, "very strong"), (0.7, "strong"), (0.5, "moderate"), (0.3, "weak")):
        if abs(r) >= limit:
            return word
    return "hardly any"


def related(about: Json) -> Iterator[str]:
    ids = {column["name"] for column in about["columns"] if column.get("identifier")}
    enough = [p for p in about["correlations"] if p["r"] is not None and p["n"] >= FEWEST_ROWS]
    known = [pair for pair in enough if not ids & {pair["a"], pair["b"]}]
    ranked = sorted(known, key=lambda pair: -abs(pair["r"]))
    for pair in [pair for pair in ranked if abs(pair["r"]) >= 0.3][:3]:
        way = "rises" if pair["r"] > 0 else "falls"
        names = f"{code(pair['b'])} {way} with {code(pair['a'])}"
        yield f"{names}: a {strength(pair['r'])} correlation, r = {pair['r']:.3f} over {number(pair['n'])} rows."
    if ranked and abs(ranked[0]["r"]) < 0.3:
        best = ranked[0]
        names = f"{code(best['a'])}, {code(best['b'])}"
        yield f"No two numeric columns are related: the largest |r| is {abs(best['r']):.3f} ({names})."


def grouped(about: Json, request: Request) -> Iterator[str]:
    groups = about["groups"]
    shares = {name: share for name, share in (groups or {}).get("explained", {}).items() if share is not None}
    ranked = sorted(shares, key=lambda name: (name not in request.columns, -shares[name]))
    for name in [name for name in ranked if shares[name] >= 0.1 or name in request.columns][:2]:
        if shares[name] < 0.02:
            share = percent(shares[name])
            yield f"{code(name)} hardly differs by {code(groups['by'])}: that explains {share} of its variance."
            continue
        parts = sorted((p for p in groups["columns"][name] if p["count"]), key=lambda part: part["mean"])
        ends = [f"{plain(part['value'])} ({number(part['mean'])})" for part in (parts[0], parts[-1])]
        yield (
            f"{code(groups['by'])} explains {percent(shares[name])} of the variance of {code(name)}: "
            f"its mean is lowest for {ends[0]} and highest for {ends[1]}."
        )
    if ranked and shares[ranked[0]] < 0.1 and ranked[0] not in request.columns:
        most = percent(max(shares.values()))
        yield f"The groups of {code(groups['by'])} hardly differ: they explain at most {most} of a column's variance."


def changed(about: Json) -> Iterator[str]:
    points = [value for _, value in (about["trend"] or {}).get("points", []) if value is not None]
    quarter = len(points) // 4
    if quarter:
        first, last = sum(points[:quarter]) / quarter, sum(points[-quarter:]) / quarter
        way = "higher" if last > first else "lower" if last < first else "the same"
        name, date = code(about["trend"]["column"]), code(about["trend"]["date"])
        yield (
            f"In the last quarter of {date} the mean of {name} is {way}: {number(last)}, "
            f"after {number(first)} in the first."
        )


def shaped(about: Json) -> Iterator[str]:
    """Skewed columns, and those with many outliers."""
    numeric = [c for c in about["columns"] if c.get("std") and not c.get("identifier")]
    skewed = [c for c in numeric if abs(c["mean"] - c["median"]) > 0.25 * c["std"]]
    for column in skewed[:2]:
        side = "above" if column["mean"] > column["median"] else "below"
        both = f"{number(column['mean'])} against {number(column['median'])}"
        yield f"{code(column['name'])} is skewed: its mean is well {side} its median ({both})."
    worst = max(numeric, key=lambda column: column["outliers"] / column["count"], default=None)
    if worst and worst["outliers"]:
        count = f"{number(worst['outliers'])} values ({percent(worst['outliers'] / worst['count'])})"
        yield f"{code(worst['name'])} has the most outliers: {count} beyond Tukey's fences."


def unbalanced(about: Json) -> Iterator[str]:
    for column in about["columns"]:
        if column["count"] > 1 and column["distinct"] == 1 and column["distinct_exact"]:
            yield f"{code(column['name'])} never varies: it is always {plain(column['top'][0]['value'])}."
        elif column["type"] in ("category", "boolean") and column["top"][0]["count"] > 0.8 * column["count"]:
            top = column["top"][0]
            yield f"{percent(top['count'] / column['count'])} of {code(column['name'])} is {plain(top['value'])}."


def gaps(about: Json) -> Iterator[str]:
    """Missing values, and rows of the wrong length."""
    worst = sorted((c for c in about["columns"] if c["missing"]), key=lambda column: -column["missing"])
    if worst and about["rows"]:
        named = ", ".join(
            f"{code(c['name'])} {number(c['missing'])} ({percent(c['missing'] / about['rows'])})" for c in worst[:4]
        )
        rest = f" and in {len(worst) - 4} more" if len(worst) > 4 else ""
        yield f"Values are missing in {named}{rest}."
    elif about["rows"]:
        yield "No value is missing."
    short, long = about["ragged"]["short"], about["ragged"]["long"]
    if short or long:
        cut = f"{number(long)} with too many (cut)"
        yield f"Ragged rows: {number(short)} with too few fields (taken as missing), {cut}."


def of_text(about: Json) -> Iterator[str]:
    if not about["words"]:
        yield "It has no words in it."
        return
    top = about["top_uncommon_words"] or about["top_words"]
    named = ", ".join(f"{plain(item['word'])} ({number(item['count'])})" for item in top[:5])
    yield f"The most common words, apart from everyday ones: {named}."
    rich = about["used_once"] / max(1, about["distinct_words"])
    yield f"{number(about['distinct_words'])} different words; {percent(rich)} of them are used only once."
    length = about["words"] / max(1, about["sentences"])
    letters = number(about["letters"] / about["words"])
    yield f"A sentence has {number(length)} words on average, a word {letters} characters."
    yield f"Reading it takes about {duration(about['reading_minutes'])} (238 words a minute)."
    lines = about["line_length"]
    yield f"Lines are {number(lines['median'])} characters long (median); the longest has {number(lines['max'])}."


def duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(minutes * 60))} seconds"
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"
