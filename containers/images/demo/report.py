"""The report: Markdown with tables, findings and the charts."""

from __future__ import annotations

from typing import Any

from . import findings
from .markdown import code, number, percent, plain, table
from .pictures import Picture
from .request import Request

Json = dict[str, Any]
MARK = "*Written by the Agentsite demo agent: scripted, no model.*"
METHOD = """## Method

- Every number comes from `analysis.json`, which the program beside this report worked out: run it to check.
- Missing: empty cells, NA, N/A, null, None, NaN. Infinite numbers are counted, and left out of the statistics.
- `std` is the sample standard deviation (n - 1); quartiles interpolate linearly.
- r is Pearson's, over the rows where both values exist.
- Outliers lie more than 1.5 interquartile ranges outside the quartiles (Tukey). Explained variance is eta squared.
- Whole numbers of 16 digits and more, or with leading zeros, are read as names, not as amounts."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}


def whole(results: list[Json], pictures: dict[str, list[Picture]], request: Request, left_out: list[str]) -> str:
    parts = ["# Analysis report", MARK]
    if request.prompt:
        parts.append("> " + plain(request.prompt, 400))
    for about in results:
        parts += section(about, pictures.get(about["file"], []), request)
    if left_out:
        parts.append("## Not analysed\n\n" + "\n".join(f"- {reason}" for reason in left_out))
    return "\n\n".join([*parts, METHOD, ""])


def section(about: Json, drawn: list[Picture], request: Request) -> list[str]:
    title = f"## {plain(about['file'], 200)}"
    if "error" in about:
        return [title, f"Not analysed: {plain(about['error'], 300)}."]
    sentences = "\n".join(f"- {sentence}" for sentence in findings.of_file(about, request))
    body = table_parts(about) if about["kind"] == "table" else [text_table(about)]
    charts = "\n\n".join(f"![{plain(picture.title)}]({picture.path})" for picture in drawn)
    return [
        title,
        overview(about),
        "### Findings\n\n" + (sentences or "- Nothing to report."),
        *body,
        *([f"### Charts\n\n{charts}"] if charts else []),
    ]


def overview(about: Json) -> str:
    """How the file is written and how big it is, in a sentence or two."""
    size = f"{number(about['bytes'])} bytes, {about['encoding']}"
    if about["kind"] == "text":
        return f"Text: {size}; {number(about['lines'])} lines, {number(about['words'])} words."
    separator = SEPARATORS.get(about["delimiter"], about["delimiter"])
    written = f"Table: {size}, separated by {separator}; {number(about['rows'])} rows, {len(about['columns'])} columns."
    notes = [] if about["header"] else ["the first line is data, so the columns were given names"]
    notes += about["notes"][:8]
    if about["sampled_every"] > 1:
        notes.append(f"statistics of numbers come from every {about['sampled_every']}th row, to stay within memory")
    return written + (" Note: " + "; ".join(plain(note, 200) for note in notes) + "." if notes else "")


def table_parts(about: Json) -> list[str]:
    numeric = [
        column
        for column in about["columns"]
        if column["type"] in ("integer", "number") and column.get("mean") is not None
    ]
    parts = ["### Columns\n\n" + columns_table(about)]
    parts += ["### Numbers\n\n" + numbers_table(numeric)] if numeric else []
    parts += ["### Most common values\n\n" + values_table(about)] if any(map(is_named, about["columns"])) else []
    parts += (
        ["### Groups\n\n" + groups_table(about["groups"])] if about["groups"] and about["groups"]["columns"] else []
    )
    ranked = sorted((p for p in about["correlations"] if p["r"] is not None), key=lambda pair: -abs(pair["r"]))
    parts += ["### Correlations\n\n" + pairs_table(ranked[:15])] if ranked else []
    return parts


def is_named(column: Json) -> bool:
    return column["type"] in ("category", "boolean", "text")


def columns_table(about: Json, most: int = 60) -> str:
    rows = []
    for column in about["columns"][:most]:
        distinct = number(column["distinct"]) if column["distinct_exact"] else f"≥ {number(column['distinct'])}"
        missing = f"{number(column['missing'])} ({percent(column['missing'] / max(1, about['rows']))})"
        rows.append([code(column["name"]), column["type"], number(column["count"]), missing, distinct, limits(column)])
    more = (
        f"\n\n{len(about['columns']) - most} more columns are in `analysis.json`."
        if len(about["columns"]) > most
        else ""
    )
    return table(["column", "type", "values", "missing", "distinct", "range"], rows, left=2) + more


def limits(column: Json) -> str:
    if column.get("min") is None:
        return f"{column['length']['min']} to {column['length']['max']} characters" if column.get("length") else "-"
    low, high = (value if isinstance(value, str) else number(value) for value in (column["min"], column["max"]))
    return f"{low} to {high}"


def numbers_table(columns: list[Json], most: int = 40) -> str:
    names = ("mean", "std", "min", "q1", "median", "q3", "max", "outliers")
    return table(["column", *names], [[code(c["name"]), *(number(c[name]) for name in names)] for c in columns[:most]])


def values_table(about: Json, most: int = 20) -> str:
    rows = []
    for column in [column for column in about["columns"] if is_named(column)][:most]:
        top = ", ".join(f"{plain(item['value'], 40)} ({number(item['count'])})" for item in column["top"][:6])
        rows.append([code(column["name"]), top])
    return table(["column", "values (count)"], rows, left=2)


def groups_table(groups: Json) -> str:
    """Means, with the share of variance that the groups explain in the last column."""
    names = [plain(value, 24) for value in groups["values"]]
    rows = []
    for column, stats in groups["columns"].items():
        share = groups["explained"][column]
        rows.append(
            [code(column), *(number(part.get("mean")) for part in stats), "-" if share is None else percent(share)]
        )
    said = f"Means by {code(groups['by'])}"
    said += (
        f" (the {len(names)} most common of {number(groups['distinct'])} values):"
        if groups["distinct"] > len(names)
        else ":"
    )
    return said + "\n\n" + table(["mean of", *names, "explained"], rows)


def pairs_table(pairs: list[Json]) -> str:
    return table(
        ["", "", "r", "rows"], [[code(p["a"]), code(p["b"]), f"{p['r']:.4f}", number(p["n"])] for p in pairs], left=2
    )


def text_table(about: Json) -> str:
    names = ("lines", "blank", "paragraphs", "sentences", "words", "distinct_words", "characters", "letters")
    rows = [[name.replace("_", " "), number(about[name])] for name in names]
    return "### Numbers\n\n" + table(["", "count"], rows)


def answer(results: list[Json], request: Request, files: list[str], left_out: list[str]) -> str:
    """The last message: what was found, in short."""
    parts = []
    for about in results:
        parts.append(f"## {plain(about['file'], 200)}")
        parts += [f"Not analysed: {plain(about['error'], 300)}."] if "error" in about else short(about, request)
    if left_out:
        parts.append("**Left out:** " + "; ".join(left_out) + ".")
    if files:
        parts.append("**Files written**\n\n" + "\n".join(f"- {code(path)}" for path in files))
    return "\n\n".join(parts)


def short(about: Json, request: Request) -> list[str]:
    sentences = findings.of_file(about, request)[: 8 if request.columns else 6]
    summary = (
        short_table(about, request) if about["kind"] == "table" else text_table(about).removeprefix("### Numbers\n\n")
    )
    return [
        overview(about),
        *([summary] if summary else []),
        "**Findings**\n\n" + "\n".join(f"- {s}" for s in sentences),
    ]


def short_table(about: Json, request: Request) -> str:
    numeric = [
        column
        for column in about["columns"]
        if column.get("mean") is not None and column["type"] in ("integer", "number")
    ]
    ranked = sorted(numeric, key=lambda column: column["name"] not in request.columns)
    ranked = [column for column in ranked if not column.get("identifier") or column["name"] in request.columns]
    names = ("mean", "std", "min", "median", "max")
    rows = [[code(c["name"]), *(number(c[name]) for name in names), number(c["missing"])] for c in ranked[:6]]
    return table(["column", *names, "missing"], rows) if rows else columns_table(about, 8) if about["columns"] else ""
