"""How soon the agent page shows what is published, and how much the length of a conversation costs. `make bench-page`;
docs/benchmarks.md has results.

The real page, scripts and styles in a real browser, against a site that is only a log (tests/browser/stub.py), with 10
and with 5,000 events, in turns:

    painted       from the moment an event is in the stream to the frame behind the one that shows its text
    interactive   from the page's first byte to the first drawing of its state by the scripts, connected
    weight        scripts and styles as they are sent, uncompressed, with those that colour code
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

SHORT, LONG = 10, 5_000
PAINTED_MOST, INTERACTIVE_MOST, WEIGHT_MOST_BYTES = 1.5, 2.0, 220_000
PATIENCE_MS = 60_000
WATCH = """() => {
    window.painted = new Map();
    new MutationObserver(() => {
        const answer = [...document.querySelectorAll(".message.assistant .markdown")].at(-1);
        const fresh = answer?.textContent.match(/mark-\\d+/g) ?? [];
        requestAnimationFrame(() => requestAnimationFrame(() => {
            for (const mark of fresh) if (!painted.has(mark)) painted.set(mark, Date.now());
        }));
    }).observe(document.getElementById("conversation"), { subtree: true, childList: true, characterData: true });
}"""
READY = """new MutationObserver((_, observer) => {
    if (!document.querySelector('#agent[data-seq]') || !document.querySelector('[data-connection=live]')) return;
    observer.disconnect();
    window.interactive = performance.now() - performance.getEntriesByType("navigation")[0].responseStart;
}).observe(document, { subtree: true, childList: true, attributes: true });"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="loads of each page")
    parser.add_argument("--events", type=int, default=40, help="published a load")
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("needs Chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "agentsite.settings", "AGENTSITE_DATA_DIR": data}
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        # The browser's own event loop stays below us: Django would take it for a coroutine's.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        import django

        django.setup()
        painted: dict[int, list[float]] = {SHORT: [], LONG: []}
        interactive: dict[int, list[float]] = {SHORT: [], LONG: []}
        weight = 0
        for _ in range(given.rounds):
            for length in (SHORT, LONG):
                page = browser.new_page(bypass_csp=True)  # waiting evaluates strings
                load_ms, times_ms, bytes_ = _measure(page, length, given.events)
                page.close()
                interactive[length].append(load_ms)
                painted[length] += times_ms
                weight = max(weight, bytes_)
        browser.close()
    return _report(painted, interactive, weight)


def _measure(page: Page, length: int, events: int) -> tuple[float, list[float], int]:
    """(interactive ms, painted ms of each event, bytes of scripts and styles)"""
    from django.test import override_settings

    from agents.models import Agent
    from tests.browser.logs import AGENT, log_of, words
    from tests.browser.stub import serve

    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(response.body())) if "/static/" in response.url else None)
    with override_settings(ROOT_URLCONF="tests.browser.urls"), serve(Agent(id=AGENT, definition="demo")) as stub:
        stub.append(log_of(*_conversation(length)))
        page.add_init_script(READY)
        page.goto(stub.page_url)
        page.wait_for_function("window.interactive", timeout=PATIENCE_MS)
        page.evaluate(WATCH)
        times = []
        for n in range(events):
            began = time.time() * 1000
            stub.append(log_of(*words(f"mark-{n} "), after=len(stub.events)))
            page.wait_for_function(f"painted.has('mark-{n}')", timeout=PATIENCE_MS)
            times.append(page.evaluate(f"painted.get('mark-{n}')") - began)
        return page.evaluate("window.interactive"), times, sum(sizes)


def _conversation(length: int) -> list[tuple[str, dict[str, object]]]:
    """A run of `length` events: text with some code, and calls of tools with what they print."""
    from tests.browser.logs import started, words

    steps = [*started(), *words("Look:\n\n```python\nreturn 1\n```\n\n")]
    for n in range(length):
        call = f"c{n}"
        steps += [
            ("tool-call", {"call_id": call, "name": "bash", "arguments": {"command": f"ls -l {n}"}}),
            ("tool-output", {"call_id": call, "content": f"\x1b[32mline {n}\x1b[0m\n"}),
            ("tool-result", {"call_id": call, "result": "Exit code 0.", "duration_ms": n}),
            *words(f"Then **step {n}**. "),
        ]
    return steps[:length]


def _report(painted: dict[int, list[float]], interactive: dict[int, list[float]], weight: int) -> int:
    table = Table("what", f"{SHORT} events", f"{LONG:,} events", "ratio", "at most")
    p50 = {length: statistics.median(times) for length, times in painted.items()}
    p95 = {length: statistics.quantiles(times, n=20)[-1] for length, times in painted.items()}
    load = {length: statistics.median(times) for length, times in interactive.items()}
    good = weight <= WEIGHT_MOST_BYTES
    for name, values, most in (
        ("publish → painted, p50", p50, PAINTED_MOST),
        ("publish → painted, p95", p95, PAINTED_MOST),
        ("interactive, median", load, INTERACTIVE_MOST),
    ):
        ratio = values[LONG] / values[SHORT]
        good &= ratio <= most
        table.add_row(name, f"{values[SHORT]:.0f} ms", f"{values[LONG]:.0f} ms", f"{ratio:.2f}", f"{most:g}")
    table.add_row("scripts and styles", f"{weight / 1000:.1f} KB", "", "", f"{WEIGHT_MOST_BYTES / 1000:g} KB")
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
