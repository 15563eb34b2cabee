"""What a person does on the first day, against the whole site: start the demo, watch, reload, upload, queue, stop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from playwright.sync_api import Browser, BrowserContext, Page, expect

from agents.pages import markdown
from streaming.model.events import Event
from streaming.model.fold import State, fold
from tests.browser.logs import drawn, mounted
from tests.browser.site import running

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]
RUN_MS = 90_000


@pytest.fixture(scope="module")
def reader(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser that followed the login link."""
    with running(tmp_path_factory.mktemp("site")) as link:
        context = browser.new_context(base_url=link.partition("/login")[0])
        page = context.new_page()
        page.goto(link)
        expect(page.get_by_role("heading", name="Agents", exact=True)).to_be_visible()
        page.close()
        yield context
        context.close()


@pytest.fixture
def tab(reader: BrowserContext) -> Iterator[Page]:
    """A tab in which no script fails, and nothing is asked of another host."""
    problems: list[str] = []
    page = reader.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda response: problems.append(response.url) if response.status >= 400 else None)
    page.on("request", lambda request: problems.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    page.close()
    assert problems == []


def new_agent(tab: Page, prompt: str = "") -> str:
    """Through the form; its id."""
    tab.goto("/agents/new/")
    tab.get_by_label("Prompt", exact=True).fill(prompt)
    tab.get_by_role("button", name="Start").click()
    return agent_of(tab)


def agent_of(tab: Page) -> str:
    tab.wait_for_url(re.compile(r"/agents/[0-9a-f-]{36}/$"))
    return tab.url.rstrip("/").rpartition("/")[2]


def log_of(tab: Page, agent: str) -> list[Event]:
    events: list[Event] = []
    page: dict[str, Any] = {"next": "0-0", "complete": False}
    while not page["complete"]:
        page = tab.request.get(f"/api/agents/{agent}/events?after={page['next']}&limit=1000").json()
        events += [Event(**event) for event in page["events"]]
    return events


def ended(tab: Page, status: str) -> None:
    expect(tab.locator("#status")).to_have_text(status, timeout=RUN_MS)


def texts_of(state: State) -> list[str]:
    return [
        part["text"]
        for message in state["messages"]
        if message["role"] == "assistant"
        for part in message["parts"]
        if part["type"] == "text"
    ]


def without_spaces(text: str) -> str:
    return re.sub(r"\s+", "", text)


def as_read(tab: Page, html: str) -> str:
    script = "(html) => new DOMParser().parseFromString(html, 'text/html').body.textContent"
    return without_spaces(tab.evaluate(script, html))


def test_demo_started_with_one_click_is_followed_through_a_reload_and_the_page_equals_the_log(tab: Page) -> None:
    tab.goto("/")
    if tab.locator(".empty").count():
        tab.locator(".empty").get_by_role("button").click()
    else:
        new_agent(tab, "Analyse the data and write a report.")
    agent = agent_of(tab)
    expect(tab.locator("#connection")).to_have_text("Live")
    expect(tab.locator(".tool").nth(2)).to_be_visible(timeout=RUN_MS)
    tab.reload()
    expect(tab.locator("#status")).to_have_text("running")
    ended(tab, "completed")

    events = log_of(tab, agent)
    state = fold(events)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events].count("done") == 1
    expect(tab.locator("#agent")).to_have_attribute("data-seq", str(len(events)))

    mounted(tab)
    shown = [without_spaces(text) for text in tab.locator(".markdown").all_text_contents()]
    assert shown == [as_read(tab, markdown.render(text, f"/api/agents/{agent}/files/")) for text in texts_of(state)]
    live = drawn(tab)["conversation"]
    tab.reload()
    expect(tab.locator("#agent")).to_have_attribute("data-seq", str(len(events)))
    mounted(tab)
    assert drawn(tab)["conversation"] == live

    snapshot = tab.request.get(f"/api/agents/{agent}/snapshot").json()
    assert rfc8785.dumps(snapshot["state"]) == rfc8785.dumps(state)


def test_files_the_agent_wrote_are_listed_and_shown(tab: Page) -> None:
    tab.goto("/")
    tab.locator(".agents a").last.click()
    agent_of(tab)
    expect(tab.locator("#file-list")).to_contain_text("report.md")
    pictures = tab.locator(".markdown img")
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("(node) => node.naturalWidth") > 0
    chart = str(tab.locator('#file-list a[href$=".svg"]').first.get_attribute("href"))
    width = """(src) => new Promise((done) => {
        const picture = new Image();
        picture.onload = picture.onerror = () => done(picture.naturalWidth);
        picture.src = src;
    })"""
    assert tab.evaluate(width, f"/api{chart}") > 0
    tab.locator("#file-list").get_by_role("link", name="report.md").click()
    expect(tab.get_by_role("heading", name="Analysis report")).to_be_visible()
    tab.get_by_role("link", name="Source").click()
    expect(tab.locator("#L1")).to_contain_text("# Analysis report")


def test_uploaded_file_is_in_the_list_and_what_the_next_run_works_on(tab: Page) -> None:
    new_agent(tab)
    table = "city,heat\n" + "".join(f"c{row},{row * 1.5}\n" for row in range(50))
    upload = [{"name": "heat table.csv", "mimeType": "text/csv", "buffer": table.encode()}]
    tab.locator("#upload-input").set_input_files(upload)  # type: ignore[arg-type]
    expect(tab.locator("#file-list")).to_contain_text("heat table.csv")
    expect(tab.locator("#uploads li")).to_contain_text("uploaded")
    tab.get_by_label("Prompt").fill("Analyse the data.")
    tab.get_by_label("Prompt").press("Enter")
    ended(tab, "completed")
    expect(tab.locator("#conversation")).to_contain_text("heat table.csv")


def test_second_prompt_waits_in_the_queue_and_stop_ends_the_first(tab: Page) -> None:
    agent = new_agent(tab, "Analyse the data.")
    expect(tab.locator(".tool").first).to_be_visible(timeout=RUN_MS)
    tab.get_by_label("Prompt").fill("And once more.")
    tab.get_by_role("button", name="Send").click()
    expect(tab.locator("#queue li")).to_contain_text("And once more.")
    expect(tab.locator("#prompt-hint")).to_have_text("1 in the queue")
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator(".turn").first).to_contain_text("Stopped.", timeout=15_000)
    ended(tab, "completed")
    assert [run["status"] for run in fold(log_of(tab, agent))["runs"]] == ["cancelled", "completed"]


def test_list_follows_a_run_without_a_reload(tab: Page, reader: BrowserContext) -> None:
    tab.goto("/")
    other = reader.new_page()
    agent = new_agent(other, "Analyse the data.")
    row = tab.locator(f'[data-key="{agent}"] .status')
    expect(row).to_have_text("running", timeout=10_000)
    expect(row).to_have_text("completed", timeout=RUN_MS)
    other.close()


def test_screenshots_of_the_main_pages(tab: Page, pictures: Path) -> None:
    tab.goto("/")
    pages = {"list": "/", "new": "/agents/new/", "agent": str(tab.locator(".agents a").first.get_attribute("href"))}
    looks: dict[str, tuple[int, Any]] = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (360, "light")}
    for look, (width, scheme) in looks.items():
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        for name, path in pages.items():
            tab.goto(path)
            tab.wait_for_load_state("load")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            tab.screenshot(path=pictures / f"{name}-{look}.png")
