"""Lists for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentsite.cli.follow import safe


def agents(answer: dict[str, Any]) -> None:
    rows = [(one["id"], one["definition"], one["status"], one["title"]) for one in answer["agents"]]
    _show(("id", "definition", "status", "title"), rows, 'No agents yet. Start one: agentsite run demo "…"')


def runs(answer: dict[str, Any]) -> None:
    rows = [
        (one["id"], str(one["number"]), one["status"], _seconds(one.get("duration_ms")), one["input"][:60])
        for one in answer["runs"]
    ]
    _show(("id", "#", "status", "time", "input"), rows, "No runs yet.")


def images(rows: Sequence[tuple[str, ...]]) -> None:
    _show(("image", "state", "size", "age", "for"), rows, "No definition names an image.")


def _show(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    if not rows:
        print(nothing)
        return
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(Text(" ".join(safe(cell).split())) for cell in row))
    Console().print(table)


def _seconds(duration_ms: int | None) -> str:
    return "" if duration_ms is None else f"{duration_ms / 1000:.1f} s"
