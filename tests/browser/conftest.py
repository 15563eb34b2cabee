from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from streaming.model.events import Event, decode

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stub import Stub

log = structlog.get_logger(__name__)
GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden(name: str) -> list[Event]:
    text = (GOLDEN / f"{name}.jsonl").read_text("utf-8")
    return [decode(line) for line in text.removesuffix("\n").split("\n")]


@pytest.fixture(scope="session")
def base_url() -> None:
    """pytest-base-url's own fixture is written in a way that pytest 9 warns of, and warnings are errors."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A site whose one agent has the log that the test gives it."""
    # Not above: pytest reads this file before the servers' plugin has set Django's settings.
    from django.test import override_settings

    from agents.models import Agent
    from tests.browser.stub import serve

    agent = Agent(id="0193467e-7e2a-7c1f-9d52-000000000001", definition="demo")
    with override_settings(ROOT_URLCONF="tests.browser.urls"), serve(agent) as site:
        yield site


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong: no script error, no policy violation, no dialog, no foreign request."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.on("requestfailed", lambda request: log.info("not fetched", url=request.url, why=request.failure))
    page.on("request", lambda request: problems.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    assert problems == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where a test leaves its screenshots: AGENTSITE_TEST_SCREENSHOTS names a directory that keeps them."""
    directory = Path(os.environ.get("AGENTSITE_TEST_SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    return directory
