"""Lists for the terminal: a line each, with ids that can be copied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from agentsite.cli.invocation import command_line
from agentsite.cli.safe import as_line, safe

GAP = "  "
INPUT_CHARS = 200
"""Of a run's input, which may be 256 KiB: as much as a title has."""
LAST_COLUMN_MIN = 10


def show(
    found: Sequence[dict[str, Any]], total: int, table: Callable[[Sequence[dict[str, Any]]], None], *, as_json: bool
) -> None:
    """As a table or as JSON Lines; that there are more is said on stderr."""
    if as_json:
        for one in found:
            print(as_line(one))
    else:
        table(found)
    if len(found) < total:
        print(f"{len(found)} of {total}; --limit {total} lists all", file=sys.stderr)


def agents(found: Sequence[dict[str, Any]]) -> None:
    rows = [(one["id"], one["definition"], one["status"], one["title"]) for one in found]
    _show(
        ("id", "definition", "status", "title"),
        rows,
        f"No agents yet. Start one: {command_line(['run', 'demo', 'Analyse the data'])}",
    )


def runs(found: Sequence[dict[str, Any]]) -> None:
    rows = [
        (one["id"], str(one["number"]), one["status"], _seconds(one.get("duration_ms")), one["input"][:INPUT_CHARS])
        for one in found
    ]
    _show(("id", "#", "status", "time", "input"), rows, "No runs yet.")


def images(rows: Sequence[tuple[str, ...]]) -> None:
    _show(("image", "state", "size", "age", "for"), rows, "No definition names an image.")


def _show(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    """Whole, but in a terminal the last column is cut to what is left of the line."""
    if not rows:
        print(nothing)
        return
    console = Console(highlight=False, soft_wrap=True)
    clean = [[" ".join(safe(cell).split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*clean, strict=True)]
    if console.is_terminal:
        widths[-1] = min(widths[-1], _room(console.width, widths[:-1]))
    for index, row in enumerate(clean):
        line = GAP.join(_fitted(cell, width) for cell, width in zip(row, widths, strict=True))
        console.print(Text(line.rstrip(), style="bold" if index == 0 else ""))


def _room(line_cells: int, others: Sequence[int]) -> int:
    return max(line_cells - sum(others) - len(GAP) * len(others), LAST_COLUMN_MIN)


def _fitted(cell: str, width: int) -> str:
    """Exactly so many cells of the terminal: CJK characters and emoji take two."""
    return set_cell_size(cell, width) if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "…"


def _seconds(duration_ms: int | None) -> str:
    return "" if duration_ms is None else f"{duration_ms / 1000:.1f} s"
