"""Most rows once, short: what `make faults` does for half an hour. A seed of a failure repeats its moments.

Left to the long set: what needs a stack of its own (an engine, skewed clocks), what needs a long outage, rows that
differ from one that is here in the engine or the moment only, and ends that tests/agents and tests/journeys bring
about.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.faults.catalog import ROWS
from tests.faults.driver import missing, run_rows
from tests.faults.row import Row, Tally

LANES = 3
"""Most of the time is waiting for leases and outages."""
LONG_ONLY = {
    "worker-kill-process",
    "redis-away",
    "database-stop",
    "database-away",
    "stall-1",
    "stall-50",
    "program-kill",
    "engine-restart",
    "web-term",
    "worker-term",
    "cancel-queued",
    "cancel-tool",
    "cancel-twice",
    "cancel-starting",
    "cancel-takeover",
    "cancel-redis",
    "cancel-frozen",
    "clock-skew",
}
QUICK = [row for row in ROWS if row.name not in LONG_ONLY]
SEED = random.SystemRandom().randrange(2**31)


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    """All rows at once: one after the other they would take four times as long."""
    results = asyncio.run(run_rows(QUICK, 1, SEED, True, lambda _: None, LANES))
    return {row.name: tally for row, tally in results}


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(420)
@pytest.mark.parametrize("row", QUICK, ids=lambda row: row.name)
def test_nothing_is_lost_and_nothing_comes_twice(row: Row, tallies: dict[str, Tally]):
    if reason := missing(row):
        pytest.skip(reason)
    tally = tallies[row.name]
    assert not tally.findings.problems, f"seed {SEED}: {tally.findings.problems}"
    assert tally.repetitions > 0
    assert tally.findings.events > 0
