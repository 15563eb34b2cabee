"""The table that is printed in the end."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """`limit` is empty where a value is only told. `ok`: whether the value is within it."""

    what: str
    value: str
    limit: str = ""
    ok: bool = True


def show(rows: list[Row]) -> None:
    table = Table("what", "measured", "at most", "ok?")
    for row in rows:
        table.add_row(row.what, row.value, row.limit, ("yes" if row.ok else "NO") if row.limit else "")
    Console(width=130).print(table)


def ratio(what: str, value: float, base: float, limit: float, unit: str) -> Row:
    """`value` must be at most `limit` times `base`."""
    found = value / base
    return Row(what, f"{base:.0f} → {value:.0f} {unit}: {found:.2f}", f"{limit:g} times", found <= limit)


def most(what: str, value: float, limit: float, unit: str) -> Row:
    return Row(what, f"{value:,.0f} {unit}", f"{limit:,.0f} {unit}", value <= limit)
