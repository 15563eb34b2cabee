"""The agent page in a hidden tab: it holds no connection, hears of changes by the feed, and is whole when shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page, Playwright, expect

from tests.browser.logs import log_of, settled, started, words
from tests.browser.stub import Stub
from tests.browser.tabs import is_hidden, real_tabs

pytestmark = pytest.mark.browser
WITHIN_MS = 15_000
ENDED: tuple[str, dict[str, object]] = ("status", {"status": "completed"})


@pytest.fixture(scope="module")
def context(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """`context.pages[0]` is empty, and stays: brought to front, it hides the tab of the test."""
    with real_tabs(playwright, tmp_path_factory.mktemp("browser")) as context:
        yield context


@pytest.fixture
def tab(context: BrowserContext, stub: Stub) -> Iterator[Page]:
    """Shows a run at work."""
    stub.append(log_of(*started(), *words("seen ")))
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.goto(stub.page_url)
    expect(page.locator("#connection")).to_have_text("Live", timeout=WITHIN_MS)
    yield page
    page.close()
    assert problems == []


def hide(page: Page) -> None:
    page.context.pages[0].bring_to_front()
    assert is_hidden(page)


def hide_with_feed(page: Page) -> None:
    """Returns when it hears of changes."""
    with page.expect_request(re.compile("/events")):
        hide(page)


def test_hidden_page_reads_what_is_new_and_goes_on_from_there_when_shown(tab: Page, stub: Stub) -> None:
    hide_with_feed(tab)
    stub.append(log_of(*words("told "), ENDED, after=4))
    stub.hint()
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)
    stub.append(log_of(*words("untold"), after=6))
    assert stub.connections == ["1-4"]
    tab.bring_to_front()
    expect(tab.locator(".markdown")).to_have_text("seen told untold")
    assert stub.connections == ["1-4", "1-6"]


def test_hidden_page_reads_a_long_log_in_pieces(tab: Page, stub: Stub) -> None:
    hide_with_feed(tab)
    stub.append(log_of(*words(*(f"{n} " for n in range(2500))), ENDED, after=4))
    stub.hint()
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)
    tab.bring_to_front()
    settled(tab, stub)
    assert tab.locator(".markdown").inner_text().split() == ["seen", *map(str, range(2500))]


def test_hidden_page_whose_cursor_is_gone_takes_the_whole_state(tab: Page, stub: Stub) -> None:
    """As after a crash that lost words which were seen, but not stored."""
    hide_with_feed(tab)
    stub.events[3:] = []
    stub.append(log_of(*words("stored"), ENDED, after=3))
    stub.reset = True
    stub.hint()
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)
    tab.bring_to_front()
    stub.append(log_of(*words(" and streamed"), after=5))
    expect(tab.locator(".markdown")).to_have_text("stored and streamed")
    assert stub.connections == ["1-4", "1-5"]


def test_change_while_the_feed_was_away_is_read_when_it_is_back(tab: Page, stub: Stub) -> None:
    hide_with_feed(tab)
    feeds = stub.feeds
    stub.append(log_of(ENDED, after=4))
    stub.cut()
    stub.wait_for(lambda: stub.feeds > feeds, "the feed was not opened again")
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)


def test_change_of_which_the_feed_says_nothing_is_read_within_a_minute(tab: Page, stub: Stub) -> None:
    tab.clock.install()
    tab.reload()
    expect(tab.locator("#connection")).to_have_text("Live", timeout=WITHIN_MS)
    hide_with_feed(tab)
    stub.append(log_of(ENDED, after=4))
    tab.clock.run_for(60_000)
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)


def test_page_opened_in_the_background_connects_when_it_is_shown(
    context: BrowserContext, tab: Page, stub: Stub
) -> None:
    with context.expect_page() as opened:
        background(context.new_cdp_session(tab), stub.page_url)
    other = opened.value
    expect(other.locator("#agent")).to_have_attribute("data-seq", "4", timeout=WITHIN_MS)
    assert is_hidden(other)
    assert stub.connections == ["1-4"]
    stub.append(log_of(*words("later"), after=4))
    other.bring_to_front()
    expect(other.locator(".markdown")).to_have_text("seen later")
    assert stub.connections == ["1-4", "1-4"]
    other.close()


def background(browser: CDPSession, url: str) -> None:
    """As a middle click on a link."""
    browser.send("Target.createTarget", {"url": url, "background": True})


@pytest.mark.parametrize(("status", "said"), [(404, "Deleted"), (401, None)])
def test_hidden_page_of_which_nothing_is_left_to_follow_ends(
    tab: Page, stub: Stub, status: int, said: str | None
) -> None:
    hide_with_feed(tab)
    stub.refuse = status
    stub.hint()
    if said:
        expect(tab.locator("#connection")).to_have_text(said, timeout=WITHIN_MS)
    else:
        tab.wait_for_url(re.compile(r"/login/\?next=%2Fagents%2F"), timeout=WITHIN_MS)
    tab.bring_to_front()
    tab.evaluate("fetch('/elsewhere')")  # what was asked before it has arrived
    assert stub.connections == ["1-4"]


def test_page_that_was_hidden_and_comes_from_the_back_forward_cache_is_live(tab: Page, stub: Stub) -> None:
    hide_with_feed(tab)
    tab.bring_to_front()
    tab.evaluate("window.kept = true")
    tab.goto(f"{stub.url}/elsewhere/")
    stub.append(log_of(*words("meanwhile "), after=4))
    tab.go_back(wait_until="commit")  # such a page does not load
    assert tab.evaluate("window.kept"), "it was loaded anew"
    expect(tab.locator(".markdown")).to_have_text("seen meanwhile")
    hide_with_feed(tab)
    stub.append(log_of(ENDED, after=5))
    stub.hint()
    expect(tab).to_have_title(re.compile("^✓"), timeout=WITHIN_MS)
