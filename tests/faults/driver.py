"""Runs the rows; those with the same profile on the same stack, as long as nothing goes wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults import rows_clock
from tests.faults.dockerd import DAEMON_PATH
from tests.faults.row import Row, Tally, run_row
from tests.faults.stack import Profile, Stack
from tests.servers import needs

Say = Callable[[str], None]
Results = list[tuple[Row, Tally]]


async def run_rows(rows: Sequence[Row], repeat: int, seed: int, quick: bool, say: Say, lanes: int = 1) -> Results:
    """In the order of `rows`. Lanes run beside each other, each with a stack of its own."""
    waiting = []
    for row in rows:
        if reason := missing(row):
            say(f"{row.name}: skipped: {reason}")
        else:
            waiting.append(row)
    done: dict[str, Tally] = {}
    turn = _Turn(waiting, done, repeat, seed, quick, say)
    await asyncio.gather(*(_lane(turn) for _ in range(lanes)))
    return [(row, done[row.name]) for row in rows if row.name in done]


@dataclass
class _Turn:
    """What the lanes share. They run in one thread, so taking the next row needs no lock."""

    waiting: list[Row]
    done: dict[str, Tally]
    repeat: int
    seed: int
    quick: bool
    say: Say

    def next(self, stack: Stack | None) -> Row | None:
        """One that runs on this stack, if there is one."""
        if not self.waiting:
            return None
        same = (row for row in self.waiting if stack is not None and row.stage(self.quick) == stack.profile)
        row = next(same, self.waiting[0])
        self.waiting.remove(row)
        return row


async def _lane(turn: _Turn) -> None:
    stack: Stack | None = None
    try:
        while (row := turn.next(stack)) is not None:
            stack = await _set_up(stack, row.stage(turn.quick))
            tally = turn.done[row.name] = await run_row(row, stack, turn.repeat, turn.seed, turn.quick)
            turn.say(_progress(row, tally))
            if tally.findings.problems:  # the next row gets a fresh one
                turn.say(stack.logs())
                await stack.close()
                stack = None
    finally:
        if stack is not None:
            await stack.close()


async def _set_up(stack: Stack | None, profile: Profile) -> Stack:
    if stack is not None and stack.profile == profile:
        return stack
    if stack is not None:
        await stack.close()
    fresh = Stack(profile)
    try:
        await fresh.start()
    except BaseException:
        await fresh.close()
        raise
    return fresh


def missing(row: Row) -> str | None:
    """Why this machine can't run the row."""
    if row.needs.startswith("docker") and (problem := needs.engine_problem()):
        return problem
    if row.needs == "dockerd" and (os.geteuid() != 0 or shutil.which("dockerd", path=DAEMON_PATH) is None):
        return "starting an engine of our own needs root and dockerd"
    if row.needs == "faketime" and rows_clock.LIBRARY is None:
        return "Debian's package faketime is not installed"
    return None


def _progress(row: Row, tally: Tally) -> str:
    found = tally.findings
    head = (
        f"{row.name}: {tally.repetitions} repetitions, {found.events} events, {found.reconnects} reconnects, "
        f"worst {tally.worst_s:.1f} s, {tally.took_s:.0f} s"
    )
    return "\n".join([head, *(f"  VIOLATION {problem}" for problem in found.problems[:20])])
