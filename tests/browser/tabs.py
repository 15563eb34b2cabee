"""A Chromium whose tabs are real: one is in front and the others are hidden, as on a desk.

Playwright keeps every page visible and focused in a browser that it starts itself. One that it only connects to can be
left as it is (`no_defaults`), and pages of its own window are then hidden and shown by `Page.bring_to_front`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from tests.servers import needs
from tests.servers.process import ServerProcess


@contextmanager
def real_tabs(playwright: Playwright, directory: Path) -> Iterator[BrowserContext]:
    program = needs.chromium_path() or playwright.chromium.executable_path
    if not Path(program).is_file():
        pytest.skip(
            "no Chromium with tabs: install the package chromium"
        )  # the shell that scripts/test fetches has none
    profile = directory / "chromium"
    # As tests/conftest.py, plus what Playwright adds for a browser that it starts.
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    options += ["--disable-component-update", "--no-first-run", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
    address = ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = ServerProcess([program, *options, *address], directory / "chromium.log")
    try:
        port_file = profile / "DevToolsActivePort"
        process.wait_until(lambda: port_file.is_file() and len(port_file.read_text().splitlines()) == 2)
        port, path = port_file.read_text().splitlines()
        browser = playwright.chromium.connect_over_cdp(f"ws://127.0.0.1:{port}{path}", no_defaults=True)
        yield browser.contexts[0]
        browser.close()
    finally:
        process.end(signal.SIGTERM)


def is_hidden(page: Page) -> bool:
    return bool(page.evaluate("document.hidden"))
