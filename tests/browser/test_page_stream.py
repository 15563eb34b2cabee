"""The agent page against a stub of the site: whatever the stream does, the page shows the fold of the log."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import golden
from tests.browser.logs import drawn, log_of, settled, started, words
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser


def test_stream_cut_after_every_third_frame_loses_and_repeats_nothing(stub: Stub, watched: Page) -> None:
    events = golden("one-run")
    stub.append(events)
    stub.page_at = 2
    stub.cut_after = 3
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert stub.connections[:4] == ["1-2", "1-5", "1-8", "1-11"]
    live = drawn(watched)
    stub.page_at = stub.cut_after = None
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert live == drawn(watched)


def test_reset_is_followed_by_a_snapshot_that_replaces_everything(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words("these words ", "were never committed")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator("#connection")).to_have_text("Live")
    stub.events[3:] = []
    stub.append(log_of(*words("these were"), after=3))
    stub.reset = True
    stub.cut()
    expect(watched.locator(".message.assistant .markdown")).to_have_text("these were")
    stub.append(log_of(*words(" and these came later"), after=4))
    expect(watched.locator(".message.assistant .markdown")).to_have_text("these were and these came later")


def test_gap_is_noticed_and_filled_from_the_last_applied_cursor(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words(*(f"{n} " for n in range(20)))))
    stub.page_at = 3
    stub.leave_out = 10
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert watched.locator(".markdown").inner_text() == " ".join(str(n) for n in range(20))
    assert stub.connections == ["1-3", "1-9"]


def test_refused_stream_is_tried_again(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    stub.refuse = 503
    watched.goto(stub.page_url)
    expect(watched.locator("#connection")).to_have_text(re.compile("^Reconnecting"))
    stub.append(log_of(*words("hello"), after=3))
    stub.refuse = None
    expect(watched.locator("#connection")).to_have_text("Live", timeout=10_000)
    expect(watched.locator(".markdown")).to_have_text("hello")


def test_stream_of_a_deleted_agent_ends(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    stub.refuse = 404
    watched.clock.install()
    watched.goto(stub.page_url)
    expect(watched.locator("#connection")).to_have_text("Deleted")
    asked = len(stub.connections)
    watched.clock.run_for(600_000)
    watched.evaluate("fetch('/elsewhere')")  # what was asked before it has arrived
    assert len(stub.connections) == asked


def test_logged_out_reader_is_sent_to_the_login(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    stub.refuse = 401
    watched.goto(stub.page_url)
    watched.wait_for_url(re.compile(r"/login/\?next=%2Fagents%2F"))


def test_page_says_offline_and_catches_up_when_back(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    expect(watched.locator("#connection")).to_have_text("Live")
    watched.context.set_offline(True)
    expect(watched.locator("#connection")).to_have_text("Offline")
    stub.append(log_of(*words("while you ", "were away"), after=3))
    watched.context.set_offline(False)
    expect(watched.locator(".markdown")).to_have_text("while you were away")
    expect(watched.locator("#connection")).to_have_text("Live")


def test_page_from_the_back_forward_cache_catches_up(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words("before ")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.goto(f"{stub.url}/elsewhere/")
    stub.append(log_of(*words("meanwhile "), after=4))
    watched.go_back()
    expect(watched.locator(".markdown")).to_have_text("before meanwhile")
    stub.append(log_of(*words("after"), after=5))
    expect(watched.locator(".markdown")).to_have_text("before meanwhile after")


def test_page_that_slept_catches_up(stub: Stub, watched: Page) -> None:
    """As when a laptop is closed: no script of the page runs, and its connection breaks."""
    stub.append(log_of(*started(), *words("before ")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    browser = watched.context.new_cdp_session(watched)
    browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    stub.cut()
    stub.append(log_of(*words("meanwhile "), after=4))
    browser.send("Page.setWebLifecycleState", {"state": "active"})
    expect(watched.locator(".markdown")).to_have_text("before meanwhile")
    stub.append(log_of(*words("after"), after=5))
    expect(watched.locator(".markdown")).to_have_text("before meanwhile after")


def test_page_whose_modules_could_not_be_fetched_is_loaded_again(stub: Stub, watched: Page) -> None:
    """As when a connection breaks, or the site restarts."""
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort("connectionfailed")

    watched.route("**/fold.js", refuse_once)
    stub.append(log_of(*started(), *words("whole")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert len(refused) == 1
    expect(watched.locator(".markdown")).to_have_text("whole")
    assert watched.evaluate("sessionStorage.length") == 0


def test_page_whose_modules_can_not_be_fetched_says_so_and_is_tried_again_by_hand(stub: Stub, watched: Page) -> None:
    watched.route("**/fold.js", lambda route: route.abort("connectionfailed"))
    stub.append(log_of(*started(), *words("whole")))
    watched.goto(stub.page_url)
    expect(watched.get_by_role("alert")).to_contain_text("could not be loaded", timeout=30_000)
    watched.unroute("**/fold.js")
    watched.get_by_role("button", name="Try again").click()
    settled(watched, stub)
    expect(watched.locator(".markdown")).to_have_text("whole")
    assert watched.evaluate("sessionStorage.length") == 0


def test_two_tabs_show_the_same(stub: Stub, watched: Page) -> None:
    stub.append(golden("interleaved-tool-calls")[:5])
    other = watched.context.new_page()
    watched.goto(stub.page_url)
    other.goto(stub.page_url)
    stub.append(golden("interleaved-tool-calls")[5:])
    settled(watched, stub)
    settled(other, stub)
    assert drawn(watched) == drawn(other)
