"""Worker and web process while runs go on without a pause and readers come and go. What counts is growth: the end of
the soak against its first sixth, which is minute 10 of 60."""

from __future__ import annotations

import argparse
import asyncio
import statistics
from time import monotonic

from benchmarks.age.site import AgeSite
from benchmarks.age.table import Row, ratio

AGENTS = 2
CALLS, RESULT_CHARS = 500, 4_000
LIMIT = 1.05
SAMPLE_S = 1.0
WINDOW = 1 / 12
"""The share of the soak whose median counts."""


async def measure(site: AgeSite, given: argparse.Namespace) -> list[Row]:
    length_s = given.minutes * 60
    agents = [await site.new_agent() for _ in range(AGENTS)]
    working = [asyncio.create_task(_work(site, agent_id)) for agent_id in agents]
    reading = [asyncio.create_task(_read(site, agent_id)) for agent_id in agents]
    samples: list[tuple[float, float, float]] = []
    began = monotonic()
    try:
        while (now := monotonic() - began) < length_s:
            samples.append((now / length_s, site.stack.workers[0].rss_mib(), site.stack.webs[0].rss_mib()))
            for task in (*working, *reading):
                if task.done():
                    task.result()
            await asyncio.sleep(SAMPLE_S)
    finally:
        for task in (*working, *reading):
            task.cancel()
        await asyncio.gather(*working, *reading, return_exceptions=True)
    rows = []
    for name, column in (("worker", 1), ("web", 2)):
        course = [_median_before(samples, column, sixth / 6) for sixth in range(1, 7)]
        what = f"memory of {name}, minute {given.minutes / 6:g} → {given.minutes:g}"
        rows.append(ratio(what, course[-1], course[0], LIMIT, "MiB"))
        rows.append(Row("  at the end of each sixth", " ".join(f"{value:.0f}" for value in course)))
    tips = [await site.tip(agent_id) for agent_id in agents]
    return [*rows, Row("events written meanwhile", f"{sum(tips):,}")]


def _median_before(samples: list[tuple[float, float, float]], column: int, share: float) -> float:
    return statistics.median(sample[column] for sample in samples if share - WINDOW <= sample[0] <= share)


async def _work(site: AgeSite, agent_id: str) -> None:
    number = 0
    while True:
        number += 1
        await site.run(agent_id, "calls", CALLS, RESULT_CHARS, number)


async def _read(site: AgeSite, agent_id: str) -> None:
    """Joins, and reads the page before what the state holds, as a tab does whose reader scrolls up."""
    while True:
        await site.join(agent_id)
        state = (await site.snapshot(agent_id))["state"]
        if state["earlier"] is not None:
            await site.call("GET", f"/api/agents/{agent_id}/messages?before={state['earlier']['before']}")
        await asyncio.sleep(0.2)
