"""The page's fold, run by node where there is one, else by the Chromium that the browser tests use."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).parent
FOLD_JS = HERE.parent.parent / "clients" / "js" / "src" / "fold.js"
CANONICAL_JS = HERE / "canonical.mjs"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ORIGIN = "http://fold.test"


class Folder(Protocol):
    def __call__(self, lines: Sequence[str], split: int = 0) -> str:
        """Canonical JSON of the state of a log; with a split the state after that many events goes through JSON."""


@contextmanager
def javascript_fold() -> Iterator[Folder | None]:
    """None where the machine has neither node nor Chromium."""
    chromium = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    if node := shutil.which("node"):
        with _node(node) as fold:
            yield fold
    elif chromium:
        with _chromium(chromium) as fold:
            yield fold
    else:
        yield None


@contextmanager
def _node(node: str) -> Iterator[Folder]:
    # No check for a version: Node 20 is the oldest with Array.prototype.with, and an older one says so by itself.
    command = [node, str(HERE / "fold_runner.mjs"), str(FOLD_JS), str(CANONICAL_JS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def fold(lines: Sequence[str], split: int = 0) -> str:
        stdin.write(json.dumps({"lines": list(lines), "split": split}) + "\n")
        stdin.flush()
        return str(json.loads(stdout.readline()))

    try:
        yield fold
    finally:
        stdin.close()
        process.wait(10)
        stdout.close()


@contextmanager
def _chromium(path: str) -> Iterator[Folder]:
    from playwright.sync_api import Route, sync_playwright

    modules = {path.name: path for path in [*FOLD_JS.parent.glob("*.js"), CANONICAL_JS]}
    script = """async ([lines, split]) => {
        const { fold, initial } = await import("/fold.js");
        const { canonical } = await import("/canonical.mjs");
        const events = lines.map((text) => JSON.parse(text));
        const snapshot = JSON.parse(canonical(fold(events.slice(0, split))));
        return canonical(fold(events.slice(split), split ? snapshot : initial()));
    }"""

    def serve(route: Route) -> None:
        module = modules.get(route.request.url.rpartition("/")[2])
        if module is None:
            route.fulfill(body="<!doctype html>", content_type="text/html")
        else:
            route.fulfill(body=module.read_text("utf-8"), content_type="text/javascript; charset=utf-8")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.route(ORIGIN + "/**", serve)
        page.goto(ORIGIN + "/")

        def fold(lines: Sequence[str], split: int = 0) -> str:
            state: Any = page.evaluate(script, [list(lines), split])
            return str(state)

        try:
            yield fold
        finally:
            browser.close()
