"""Page and timeline of a run with very many tool calls."""

from __future__ import annotations

import argparse
import asyncio
import statistics
from time import monotonic

from benchmarks.age import corpus
from benchmarks.age.site import AgeSite, browser_page
from benchmarks.age.table import Row, most

CALLS, RESULT_CHARS = 20_000, 500
LIMIT_MS = 1_000
FIRST = 'performance.getEntriesByName("first-contentful-paint")[0]?.startTime'


async def measure(site: AgeSite, given: argparse.Namespace) -> list[Row]:
    agent_id = await site.new_agent()
    run_id = await asyncio.to_thread(_write, agent_id)
    rows = []
    async with browser_page(site) as page:
        for what, path in (
            ("page", f"/runs/{run_id}/"),
            ("timeline of the admin", f"/admin/agents/run/{run_id}/timeline/"),
        ):
            answers, paints, size = [], [], 0
            for _ in range(given.times):
                began = monotonic()
                answer = await page.request.get(path)
                size = len(await answer.body())
                answers.append((monotonic() - began) * 1000)
                assert answer.ok, answer.status
                await page.goto(path)
                await page.wait_for_function(FIRST)
                paints.append(await page.evaluate(FIRST))
            median = statistics.median(answers)
            rows.append(most(f"{what} of a run with {CALLS:,} calls, {size / 1024:,.0f} KiB", median, LIMIT_MS, "ms"))
            rows.append(most("  its first paint", statistics.median(paints), LIMIT_MS, "ms"))
    return rows


def _write(agent_id: str) -> str:
    from benchmarks.age.logs import Log

    with Log(agent_id) as log:
        log.run("Before.", corpus.calls(10, 100))
        run_id = log.run("Look at everything.", corpus.calls(CALLS, RESULT_CHARS))
        log.run("After.", corpus.calls(10, 100))
    return run_id
