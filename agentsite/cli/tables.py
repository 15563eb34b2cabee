"""Tables of the command line: one line per row, with ids that can be copied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentsite.cli.invocation import command_line
from agentsite.cli.safe import dump_json_line, strip_control_characters

GAP_CELLS = 2
INPUT_MAX_CHARS = 200
"""Characters of a run's input that are shown; an input may have 256 KiB."""
LAST_COLUMN_MIN_CELLS = 10


def show(
    items: Sequence[dict[str, Any]],
    total: int,
    print_table: Callable[[Sequence[dict[str, Any]]], None],
    *,
    as_json: bool,
) -> None:
    """Print items as a table or as JSON Lines. If there are more than these, say so on stderr."""
    if as_json:
        for item in items:
            print(dump_json_line(item))
    else:
        print_table(items)
    if len(items) < total:
        print(f"{len(items)} of {total}; --limit {total} lists all", file=sys.stderr)


def print_agents(items: Sequence[dict[str, Any]]) -> None:
    _print_table(
        ("id", "definition", "status", "title"),
        [(agent["id"], agent["definition"], agent["status"], agent["title"]) for agent in items],
        f"No agents yet. Start one: {command_line(['run', 'demo', 'Analyse the data'])}",
    )


def print_runs(items: Sequence[dict[str, Any]]) -> None:
    rows = [
        (run["id"], str(run["number"]), run["status"], _seconds(run.get("duration_ms")), run["input"][:INPUT_MAX_CHARS])
        for run in items
    ]
    _print_table(("id", "#", "status", "time", "input"), rows, "No runs yet.")


def print_images(rows: Sequence[tuple[str, ...]]) -> None:
    _print_table(("image", "state", "size", "age", "for"), rows, "No definition names an image.")


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], when_empty: str) -> None:
    """Print one line per row, or `when_empty`.

    In a terminal the last column is cut to the width of the terminal. In a pipe every cell is whole, so that scripts
    can read it.
    """
    if not rows:
        print(when_empty)
        return
    console = Console(highlight=False)
    cells = [[" ".join(strip_control_characters(cell).split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if console.is_terminal:
        left_cells = console.width - sum(widths[:-1]) - GAP_CELLS * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left_cells, LAST_COLUMN_MIN_CELLS))
    table = Table(box=None, pad_edge=False, padding=(0, GAP_CELLS, 0, 0), header_style="bold")
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    console.width = sum(widths) + GAP_CELLS * len(widths)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _seconds(duration_ms: int | None) -> str:
    return "" if duration_ms is None else f"{duration_ms / 1000:.1f} s"
