"""Cursors, and the one rule that says whether a cursor can be honoured.

The rule is log matching as in Raft (section 5.3) and Kafka's leader epochs (KIP-101): the database keeps the first seq
of each epoch, so a cursor that points at an event which a later writer never took over is recognised as such.
Pure: the reader, the hub, the writer's takeover and the model in the tests share these functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

ResetReason = Literal["unknown-cursor", "trimmed", "superseded"]
_FORM = re.compile(r"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})", re.ASCII)


class Cursor(NamedTuple):
    """A place in a log: just behind the event `seq` that was written in `epoch`. `Cursor(0, 0)` is the beginning."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


START = Cursor(0, 0)


class EpochStart(NamedTuple):
    """Every event from `first_seq` on was written in `epoch` or a later one."""

    epoch: int
    first_seq: int


def parse(text: str) -> Cursor | None:
    """None for anything that is not a cursor; never raises. 18 digits keep both numbers inside a signed 64 bit."""
    match = _FORM.fullmatch(text.strip())
    return Cursor(int(match[1]), int(match[2])) if match else None


def superseded(cursor: Cursor, starts: Iterable[EpochStart]) -> bool:
    """Did a later epoch begin at or before the cursor's seq? Then its event is not part of the log."""
    return any(start.epoch > cursor.epoch and start.first_seq <= cursor.seq for start in starts)


def judge(cursor: Cursor, starts: Sequence[EpochStart], tip_seq: int, first_seq: int) -> ResetReason | None:
    """Why a cursor can't be honoured exactly; None when it can.

    `starts`: the epochs of the log (those from the cursor's epoch on are enough). `tip_seq`: the last event known
    anywhere. `first_seq`: the oldest event still stored.
    """
    if cursor == START:
        return None if first_seq == 1 else "trimmed"
    own = next((start for start in starts if start.epoch == cursor.epoch), None)
    if own is None or cursor.seq < own.first_seq:
        return "unknown-cursor"
    if superseded(cursor, starts):
        return "superseded"
    if cursor.seq > tip_seq:
        return "unknown-cursor"
    return "trimmed" if cursor.seq + 1 < first_seq else None
