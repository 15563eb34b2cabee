"""What always stands on top of the agent page: time, model, connection."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from streaming.model.events import Event
from tests.browser.logs import log_of, settled, started, words
from tests.browser.stub import Stub
from tests.browser.test_composer import STEERED

pytestmark = pytest.mark.browser


def at(events: list[Event], moment: datetime) -> list[Event]:
    stamp = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return [Event(e.type, e.agent_id, e.run_id, e.epoch, e.seq, stamp, e.data) for e in events]


def test_time_runs_by_the_clock_of_the_log(stub: Stub, watched: Page) -> None:
    """A browser whose clock is an hour late must not show a negative time, nor an hour."""
    watched.clock.install(time=datetime.now(UTC) - timedelta(hours=1))
    stub.append(at(log_of(*started()), datetime.now(UTC) - timedelta(seconds=90)))
    watched.goto(stub.page_url)
    expect(watched.locator("#elapsed")).to_have_text(re.compile(r"^1 min [34]\d s$"))
    before = watched.locator("#elapsed").inner_text()
    watched.clock.run_for(61_000)
    expect(watched.locator("#elapsed")).to_have_text(re.compile(r"^2 min [345]\d s$"))
    assert before != watched.locator("#elapsed").inner_text()
    stub.append(log_of(("done", {"status": "completed"}), after=3))
    expect(watched.locator("#elapsed")).to_have_text("")


def test_header_names_definition_and_model(stub: Stub, watched: Page) -> None:
    stub.definition = STEERED
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    expect(watched.locator(".agent-meta")).to_contain_text("openai:gpt-5-mini")


def test_reader_need_not_wait_for_the_next_attempt(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    stub.refuse = 503
    now = datetime.now(UTC)
    watched.clock.install(time=now)
    # So that the next attempt can't begin by itself before "Now" is pressed. Later than the clock can be by now.
    watched.clock.pause_at(now + timedelta(hours=1))
    watched.goto(stub.page_url)
    expect(watched.locator("#connection")).to_have_text(re.compile(r"^Reconnecting in \d+ s$"))
    stub.append(log_of(*words("hello"), after=3))
    stub.refuse = None
    watched.get_by_role("button", name="Now").click()
    watched.clock.resume()
    expect(watched.locator("#connection")).to_have_text("Live")
    expect(watched.get_by_role("button", name="Now")).to_be_hidden()
    settled(watched, stub)
