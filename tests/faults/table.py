"""The table, as it stands in docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.faults.row import Row, Tally

HEAD = (
    "fault", "repetitions", "events checked", "reconnects", "lost", "repeated", "resets", "worst, s", "also", "result",
)  # fmt: skip


def lines(results: Sequence[tuple[Row, Tally]]) -> list[str]:
    return [_line(HEAD), _line("---" for _ in HEAD), *(_line(_cells(row, tally)) for row, tally in results)]


def _cells(row: Row, tally: Tally) -> list[str]:
    found = tally.findings
    also = ", ".join(f"{name} {value:.3g}" for name, value in tally.notes.items())
    numbers = (tally.repetitions, found.events, found.reconnects, found.lost, found.repeated, found.resets)
    result = "ok" if not found.problems else f"{len(found.problems)} VIOLATIONS"
    return [row.fault, *map(str, numbers), f"{tally.worst_s:.1f}", also, result]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
