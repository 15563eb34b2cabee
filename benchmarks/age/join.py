"""Stream and page of an agent with very many events, against those of one with a thousand whose state is as full.

The long log ends with the whole of the short one: 190 runs with a text and some new files each fill conversation, files
and runs. Before that it has runs of a thousand events.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
from collections.abc import Iterator
from time import monotonic

from playwright.async_api import Page

from benchmarks.age import corpus
from benchmarks.age.corpus import Line
from benchmarks.age.site import AgeSite, browser_page, state_bytes
from benchmarks.age.table import Row, ratio

SHORT_EVENTS = 1_000
EVENTS_A_SHORT_RUN = 5
TEXT_CHARS, FILES_A_RUN = 1_050, 4
CALLS_A_LONG_RUN = 500
LIMIT = 1.5
WARM_UPS = 3
MARK = "the-last-words"
PAGE_S = 60_000
LOOK = f"""(() => {{
    const look = () => {{
        if (document.getElementById("conversation")?.textContent.includes("{MARK}"))
            requestAnimationFrame(() => {{ window.shown = performance.now(); }});
        else requestAnimationFrame(look);
    }};
    requestAnimationFrame(look);
}})();"""
TIMES = """() => ({
    first: performance.getEntriesByName("first-contentful-paint")[0].startTime, shown: window.shown,
})"""


async def measure(site: AgeSite, given: argparse.Namespace) -> list[Row]:
    short, long = await site.new_agent(), await site.new_agent()
    began = monotonic()
    await asyncio.to_thread(_write, short, SHORT_EVENTS)
    await asyncio.to_thread(_write, long, given.events)
    took = monotonic() - began
    sizes = [state_bytes(await site.snapshot(agent_id)) for agent_id in (short, long)]
    rows = [
        Row(f"written: {given.events:,} events", f"{took:.0f} s"),
        Row("states", " and ".join(f"{size / 1024:.0f} KiB" for size in sizes)),
    ]
    joins: dict[str, list[float]] = {short: [], long: []}
    for number in range(given.times + WARM_UPS):
        for agent_id, times in joins.items():
            took = await site.join(agent_id)
            if number >= WARM_UPS:
                times.append(took * 1000)
    what = f"median of {given.times}, {SHORT_EVENTS:,} → {given.events:,} events"
    rows.append(ratio(f"join, {what}", _median(joins[long]), _median(joins[short]), LIMIT, "ms"))
    firsts: dict[str, list[float]] = {short: [], long: []}
    shown: dict[str, list[float]] = {short: [], long: []}
    async with browser_page(site, LOOK) as page:
        for number in range(given.times + WARM_UPS):
            for agent_id in (short, long):
                first, whole = await _load(page, agent_id)
                if number >= WARM_UPS:
                    firsts[agent_id].append(first)
                    shown[agent_id].append(whole)
    rows.append(ratio("first paint of the page", _median(firsts[long]), _median(firsts[short]), LIMIT, "ms"))
    rows.append(ratio("its last message painted", _median(shown[long]), _median(shown[short]), LIMIT, "ms"))
    return rows


async def _load(page: Page, agent_id: str) -> tuple[float, float]:
    """Milliseconds from the navigation's beginning to the first paint, and to the frame with the last message."""
    await page.goto(f"/agents/{agent_id}/")
    await page.wait_for_function("window.shown", timeout=PAGE_S)
    times = await page.evaluate(TIMES)
    return times["first"], times["shown"]


def _write(agent_id: str, events: int) -> None:
    from benchmarks.age.logs import Log

    with Log(agent_id) as log:
        number = 0
        while log.seq + SHORT_EVENTS < events:
            left = events - SHORT_EVENTS - log.seq
            log.run("Look around.", corpus.calls(min(CALLS_A_LONG_RUN, left // 2 + 1), 200, number))
            number += 1
        rng = random.Random(1)
        for number in range(SHORT_EVENTS // EVENTS_A_SHORT_RUN):
            files = [f"src/package/module_{number:03d}_{file}.py" for file in range(FILES_A_RUN)]
            log.run(f"Do number {number}.", _text(rng), files)
        log.run("And the last.", [{"type": "text", "message_id": "m", "content": MARK}])


def _text(rng: random.Random) -> Iterator[Line]:
    yield {"type": "text", "message_id": "m", "content": corpus.passage(rng, TEXT_CHARS)}


_median = statistics.median
