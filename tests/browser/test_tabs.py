"""Many tabs of one browser over HTTP/1.1, where it opens six connections to a site: every one loads and is live when it
is looked at, and what it shows while it is hidden, title, icon and notifications, is true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, BrowserContext, Page, Playwright, expect

from tests.browser.logs import drawn
from tests.browser.site import running
from tests.browser.tabs import is_hidden, real_tabs

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
TABS = 10
WITHIN_MS = 15_000
RENAMED = re.compile("^✓ Renamed ")
ASKING = """
import json, sys
say = lambda **line: print(json.dumps(line), flush=True)
sys.stdin.readline()
say(type="text", content="before ")
say(type="approval-request", approval_id="go", question="Go on?", options=["yes", "no"])
answer = json.loads(sys.stdin.readline())
say(type="text", content="after")
"""
"""Waits until it is answered, so its run is active for as long as a test wants and costs nothing."""
DEFINITION = f"""
[definitions.asking]
title = "Asks"
image = "agentsite/demo:latest"
process_command = {json.dumps(["{python}", "-u", "-c", ASKING])}
trusted = true
"""


@pytest.fixture(scope="module")
def context(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A logged-in browser with real tabs. `context.pages[0]` has the list, and stays."""
    with (
        running(tmp_path_factory.mktemp("site"), DEFINITION) as link,
        real_tabs(playwright, tmp_path_factory.mktemp("browser")) as context,
    ):
        page = context.pages[0]
        page.goto(link)
        expect(page.get_by_role("heading", name="Agents", exact=True)).to_be_visible()
        yield context


class Site:
    """What a test does beside the pages: over the API, as the same reader."""

    def __init__(self, page: Page) -> None:
        self.url = page.url.rstrip("/")
        self.api: APIRequestContext = page.context.request
        token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
        self._headers = {"X-CSRFToken": token}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(self.url + path, data=body, headers=self._headers)
        assert answer.ok, answer.text()
        return answer.json()

    def get(self, path: str) -> Any:
        return self.api.get(self.url + path).json()

    def started(self) -> str:
        """Id of a new agent with an active run."""
        return str(self.post("/api/agents", {"definition": "asking", "input": "Go"})["id"])

    def answer(self, agent: str) -> None:
        """Its run goes on, and ends."""
        run = self.get(f"/api/agents/{agent}/snapshot")["state"]["active_run"]
        self.post(f"/api/runs/{run}/approvals/go", {"decision": "yes"})

    def rename(self, agent: str, title: str) -> None:
        answer = self.api.patch(f"{self.url}/api/agents/{agent}", data={"title": title}, headers=self._headers)
        assert answer.ok, answer.text()

    def page_of(self, agent: str) -> str:
        return f"{self.url}/agents/{agent}/"


@pytest.fixture(scope="module")
def site(context: BrowserContext) -> Site:
    return Site(context.pages[0])


@pytest.fixture(scope="module")
def tabs(context: BrowserContext, site: Site) -> list[tuple[str, Page]]:
    """Ten agents at work, each in a tab that has been live in its turn. The tests take different ones of them."""
    return [open_agent(context, site) for _ in range(TABS)]


def open_agent(context: BrowserContext, site: Site) -> tuple[str, Page]:
    agent = site.started()
    page = open_tab(context, site.page_of(agent))
    expect(page.locator("#connection")).to_have_text("Live", timeout=WITHIN_MS)
    expect(page.locator("#status")).to_have_text("waiting", timeout=WITHIN_MS)
    return agent, page


def open_tab(context: BrowserContext, url: str) -> Page:
    """A new tab, in front."""
    page = context.new_page()
    page.goto(url, timeout=WITHIN_MS, wait_until="domcontentloaded")
    return page


def test_ten_tabs_of_agents_at_work_load_and_are_live_when_visited(
    tabs: list[tuple[str, Page]], site: Site, pictures: Path
) -> None:
    for agent, page in tabs:
        page.bring_to_front()
        assert [is_hidden(other) for _, other in tabs] == [other is not page for _, other in tabs]
        site.rename(agent, f"Number {agent}")
        expect(page.locator("#title")).to_have_text(f"Number {agent}", timeout=WITHIN_MS)
        expect(page.locator("#connection")).to_have_text("Live")
    tabs[-1][1].screenshot(path=pictures / "tabs-last.png")


def test_hidden_tabs_tell_how_their_agents_are(tabs: list[tuple[str, Page]], site: Site) -> None:
    tabs[-1][1].bring_to_front()
    for agent, page in tabs[:2]:
        site.rename(agent, "Renamed")
        site.answer(agent)
        expect(page).to_have_title(RENAMED, timeout=WITHIN_MS)
        expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("1f9d55"))
    (_, first), (agent, page) = tabs[0], tabs[2]
    first.close()  # the first that was hidden, and so the first that asked for the feed
    site.rename(agent, "Renamed")
    site.answer(agent)
    expect(page).to_have_title(RENAMED, timeout=WITHIN_MS)
    assert is_hidden(page)
    page.bring_to_front()
    expect(page.locator(".markdown")).to_have_text("before after")
    live = drawn(page)
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live")
    assert drawn(page) == live


def test_hidden_tab_notifies_once(context: BrowserContext, tabs: list[tuple[str, Page]], site: Site) -> None:
    context.grant_permissions(["notifications"], origin=site.url)
    agent, page = tabs[3]
    page.bring_to_front()
    page.evaluate("""() => { window.notified = []; window.Notification = class extends Notification {
        constructor(words, options) { super(words, options); window.notified.push(words); }
    }; }""")
    page.get_by_role("button", name="Notify me").click()
    tabs[-1][1].bring_to_front()
    site.answer(agent)
    page.wait_for_function("() => notified.length", polling=50, timeout=WITHIN_MS)
    page.bring_to_front()
    expect(page.locator(".markdown")).to_have_text("before after")
    assert page.evaluate("notified") == ["Run completed"]


def test_frozen_tab_tells_the_truth_when_it_is_thawed(
    context: BrowserContext, tabs: list[tuple[str, Page]], site: Site
) -> None:
    (agent, page), (other, front) = tabs[4], tabs[-1]
    front.bring_to_front()
    browser = context.new_cdp_session(page)
    browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    site.rename(agent, "Renamed")
    site.answer(agent)
    site.rename(other, "Last")
    expect(front.locator("#title")).to_have_text("Last", timeout=WITHIN_MS)
    browser.send("Page.setWebLifecycleState", {"state": "active"})
    assert is_hidden(page)
    expect(page).to_have_title(RENAMED, timeout=WITHIN_MS)


def test_ten_tabs_of_the_list_load_and_follow(context: BrowserContext, site: Site) -> None:
    lists = [open_tab(context, site.url) for _ in range(TABS)]
    agent = site.started()
    for page in (lists[-1], lists[0], lists[5]):
        page.bring_to_front()
        expect(page.locator(f'.agents [data-key="{agent}"] .status')).to_have_text("waiting", timeout=WITHIN_MS)
    lists[0].close()
    site.answer(agent)
    expect(lists[5].locator(f'.agents [data-key="{agent}"] .status')).to_have_text("completed", timeout=WITHIN_MS)


def test_list_follows_while_it_is_seen_in_a_browser_without_shared_workers(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.add_init_script("delete window.SharedWorker")
    page.goto(site.url)
    agent = site.started()
    status = page.locator(f'.agents [data-key="{agent}"] .status')
    expect(status).to_have_text("waiting", timeout=WITHIN_MS)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/feed"), timeout=WITHIN_MS):
        context.pages[0].bring_to_front()
    site.answer(agent)
    page.bring_to_front()
    expect(status).to_have_text("completed", timeout=WITHIN_MS)
