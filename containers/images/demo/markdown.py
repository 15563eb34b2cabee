"""Numbers and names as people read them, in Markdown."""

from __future__ import annotations

import re


def number(value: float | int | None) -> str:
    """Four digits that matter: 4,201.8 · 0.8712 · 1.2e+15; a dash for what is not defined."""
    if value is None:
        return "-"
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.3e}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    decimals = 1 if abs(value) >= 1000 else 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 4
    return f"{value:,.{decimals}f}"


def percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def plain(text: object, longest: int = 60) -> str:
    """Data inside Markdown: one line, and no character that means something there."""
    shown = " ".join(str(text).split())
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", shown).replace("\0", "�")


def code(text: object) -> str:
    """A name in code style, safe in a table cell too."""
    shown = " ".join(str(text).split()).replace("`", "'").replace("|", "¦")
    return f"`{shown}`" if shown else "(empty)"


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table; all but the first `left` columns are numbers, aligned right."""
    rule = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
