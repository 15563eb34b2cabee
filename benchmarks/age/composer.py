"""Typing into the composer of a page whose conversation has heavy parts, while a run streams.

400 messages with long code, a table of 2,000 rows, a line of 200,000 characters: the last 40 messages, the table and
part of the line are in the state, and the rest is met by scrolling up.

    tasks       the longest that kept the page's thread busy, from the load until everything is drawn (Long Tasks API)
    key → paint from the key's own time to the frame behind the one that shows it
    nodes       the most elements in the document, on loading, while it streams, and after scrolling up
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
from collections.abc import Iterator

from playwright.async_api import Page

from benchmarks.age import corpus
from benchmarks.age.corpus import Line
from benchmarks.age.join import PAGE_S
from benchmarks.age.site import AgeSite, browser_page
from benchmarks.age.table import Row, most

MESSAGES, MESSAGES_AT_THE_END = 400, 40
TABLE_ROWS, LINE_CHARS = 2_000, 200_000
CODE_LINES = 40
KEYS, KEY_PAUSE_S = 150, 0.06
WORDS, WORD_PAUSE_S = 1_500, 0.03
SCROLLS = 60
KEY_LIMIT_MS, TASK_LIMIT_MS, NODES_LIMIT = 50, 200, 5_000
WATCH = """(() => {
    window.tasks = [];
    window.keys = [];
    window.nodes = 0;
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration)))
        .observe({ type: "longtask", buffered: true });
    const count = () => { nodes = Math.max(nodes, document.getElementsByTagName("*").length); };
    document.addEventListener("keydown", (event) => {
        const pressed = event.timeStamp;
        requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => keys.push(performance.now() - pressed);
            port2.postMessage(null);
        });
    }, { capture: true });
    setInterval(count, 250);
    window.quietSince = () => performance.now() - Math.max(0, ...performance.getEntriesByType("resource")
        .filter((one) => one.responseEnd).map((one) => one.responseEnd));
})();"""
DRAWN = """document.querySelector("[data-connection=live]") && quietSince() > 1000"""
UP = """() => {
    const at = document.scrollingElement;
    document.getElementById("earlier")?.querySelector("button")?.click();
    for (const box of [at, ...document.querySelectorAll("main, #conversation, .conversation")]) box.scrollBy(0, -3000);
}"""


async def measure(site: AgeSite, given: argparse.Namespace) -> list[Row]:
    agent_id = await site.new_agent()
    await asyncio.to_thread(_write, agent_id)
    async with browser_page(site, WATCH) as page:
        await page.goto(f"/agents/{agent_id}/")
        await page.wait_for_function(DRAWN, timeout=PAGE_S)
        load = await page.evaluate("Math.max(0, ...tasks)")
        on_load = await _nodes(page)
        run_id = await site.begin_run(agent_id, "words", WORDS, pause_s=WORD_PAUSE_S)
        await page.wait_for_selector("[data-status=running], .status.running, #stop:not([hidden])", timeout=PAGE_S)
        await page.evaluate("tasks.length = 0")
        await page.focus("#input")
        for number in range(KEYS):
            await page.keyboard.press("abcdefgh "[number % 9])
            await asyncio.sleep(KEY_PAUSE_S)
        await page.wait_for_function(f"keys.length >= {KEYS}", timeout=PAGE_S)
        keys, streaming = await page.evaluate("keys"), await page.evaluate("Math.max(0, ...tasks)")
        while_streaming = await _nodes(page)
        await site.call("POST", f"/api/runs/{run_id}/cancel")
        for _ in range(SCROLLS):
            await page.evaluate(UP)
            await asyncio.sleep(0.05)
        scrolled = await _nodes(page)
    p95 = statistics.quantiles(keys, n=20)[-1]
    return [
        most(f"key → paint, p95 of {KEYS} while it streams", p95, KEY_LIMIT_MS, "ms"),
        Row("  p50; latest", f"{statistics.median(keys):.0f} ms; {max(keys):.0f} ms"),
        most("longest task on load", load, TASK_LIMIT_MS, "ms"),
        Row("  while typing", f"{streaming:.0f} ms"),
        most("elements in the document at most", max(on_load, while_streaming, scrolled), NODES_LIMIT, ""),
        Row("  loaded; streaming; scrolled up", f"{on_load:,}; {while_streaming:,}; {scrolled:,}"),
    ]


async def _nodes(page: Page) -> int:
    return int(await page.evaluate("Math.max(nodes, document.getElementsByTagName('*').length)"))


def _write(agent_id: str) -> None:
    from benchmarks.age.logs import Log

    rng = random.Random(2)
    with Log(agent_id) as log:
        for number in range(MESSAGES):
            if number == MESSAGES - MESSAGES_AT_THE_END:
                log.run("One long line, please.", _text(["x" * 15 + " "] * (LINE_CHARS // 16)))
                log.run("A table, please.", _text(_table()))
            log.run(f"Number {number}.", _text(_code(rng)))


def _text(pieces: list[str]) -> Iterator[Line]:
    for piece in pieces:
        yield {"type": "text", "message_id": "m", "content": piece}


def _table() -> list[str]:
    rows = [f"| {number} | value {number} | note |\n" for number in range(TABLE_ROWS)]
    return ["| n | value | note |\n|---|---|---|\n", *rows]


def _code(rng: random.Random) -> list[str]:
    lines = corpus.passage(rng, 50 * CODE_LINES).replace("```", "").splitlines()[:CODE_LINES]
    return ["Like this:\n\n```python\n", *(f"{line}\n" for line in lines), "```\n\nDone.\n"]
