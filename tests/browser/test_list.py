"""The list, the form of a new agent and the overview in a real browser: filters that follow live, keyboard, a phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import test_journey as journey

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]
reader = journey.reader
tab = journey.tab
PATIENCE_MS = 30_000
LOOKS: dict[str, tuple[int, Any]] = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (360, "light")}


def row(tab: Page, agent: str) -> Any:
    return tab.locator(f'.agents [data-key="{agent}"]')


def test_a_filtered_list_follows_live_and_keeps_its_filter(tab: Page, reader: BrowserContext) -> None:
    other = reader.new_page()
    first = journey.new_agent(other)
    tab.goto("/")
    tab.get_by_label("Status", exact=True).select_option("running")
    tab.get_by_role("button", name="Search").click()
    expect(tab.get_by_role("heading", name="No agent matches")).to_be_visible()
    second = journey.new_agent(other, "Analyse the data.")
    expect(row(tab, second)).to_be_visible(timeout=PATIENCE_MS)
    expect(row(tab, second)).to_contain_text("in progress for")
    expect(row(tab, first)).to_have_count(0)
    expect(row(tab, second)).to_have_count(0, timeout=journey.RUN_MS)
    assert "status=running" in tab.url
    other.close()


def test_several_are_stopped_after_a_question_and_the_answer_is_said(tab: Page) -> None:
    agents = [journey.new_agent(tab, f"Analyse the data. {n}") for n in range(2)]
    idle = journey.new_agent(tab)
    tab.goto("/")
    expect(tab.get_by_role("button", name="Stop")).to_be_disabled()
    for agent in (*agents, idle):
        row(tab, agent).get_by_role("checkbox").check()
    expect(tab.locator("#selected")).to_have_text("3 selected")
    tab.get_by_role("button", name="Stop").click()
    expect(tab.get_by_role("heading", name="Stop 3 agents?")).to_be_visible()
    tab.get_by_role("button", name="Stop 3 agents").click()
    expect(tab.locator(".notices")).to_have_text("2 stopped, 1 was not running.")
    for agent in agents:
        expect(row(tab, agent).locator(".status")).to_have_text("cancelled", timeout=PATIENCE_MS)


def test_a_tick_survives_a_change_of_its_row(tab: Page, reader: BrowserContext) -> None:
    other = reader.new_page()
    agent = journey.new_agent(other)
    tab.goto("/")
    box = row(tab, agent).get_by_role("checkbox")
    box.check()
    box.focus()
    other.get_by_label("Prompt").fill("Analyse the data.")
    other.get_by_label("Prompt").press("Enter")
    expect(row(tab, agent).locator(".status")).to_have_text("running", timeout=PATIENCE_MS)
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    other.get_by_role("button", name="Stop").click()
    other.close()


def test_the_list_needs_no_mouse(tab: Page) -> None:
    agent = journey.new_agent(tab)
    tab.goto(f"/?q={agent}")
    tab.get_by_label("Search", exact=True).focus()
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.name") == "agent":
            break
    tab.keyboard.press("Space")
    expect(tab.locator("#selected")).to_have_text("1 selected")
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate("document.activeElement.value") == "archive"
    tab.keyboard.press("Enter")
    expect(tab.locator(".notices")).to_have_text("1 archived.")
    expect(tab.get_by_role("heading", name="No agent matches")).to_be_visible()


def test_a_new_agent_is_made_with_what_was_chosen(tab: Page) -> None:
    tab.goto("/agents/new/")
    expect(tab.locator(".options:visible")).to_have_count(1)
    framed = "(nodes) => nodes.map((node) => getComputedStyle(node).boxShadow !== 'none')"
    assert not any(tab.locator(".choice:has([type=radio]:not(:checked))").evaluate_all(framed))
    tab.get_by_label("Agent", exact=True).check()
    expect(tab.get_by_text("OpenAI can\u2019t be used:")).to_be_visible()
    tab.locator(".options:visible summary").press("Enter")
    tab.get_by_label("Model").fill("anthropic:some-model")
    tab.get_by_label("bash").uncheck()
    tab.get_by_label("Dollars").locator("visible=true").fill("0.5")
    tab.get_by_label("Minutes").locator("visible=true").fill("2")
    tab.get_by_role("button", name="Start").click()
    made = tab.request.get(f"/api/agents/{journey.agent_of(tab)}").json()
    assert (made["model"], made["budget"]) == ("anthropic:some-model", {"cost_usd": 0.5, "wall_s": 120.0})
    assert made["tools"] == ["read_file", "write_file", "edit_file", "list_files", "search"]


def test_a_field_error_has_the_colour_of_errors(reader: BrowserContext) -> None:
    tab = reader.new_page()  # the answer is a 400
    tab.goto("/agents/new/")
    tab.locator(".options:visible summary").press("Enter")
    tab.get_by_label("Minutes").locator("visible=true").fill("0")
    tab.get_by_role("button", name="Start").click()
    error = tab.locator(".field-error:visible")
    expect(error).to_be_visible()
    painted = """(node) => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = getComputedStyle(document.documentElement).getPropertyValue("--bad");
        return [getComputedStyle(node).color, getComputedStyle(probe).color];
    }"""
    assert len(set(error.evaluate(painted))) == 1
    tab.close()


def test_a_sample_prompt_is_taken_with_its_definition(tab: Page) -> None:
    tab.goto("/agents/new/")
    tab.get_by_role("button", name=re.compile("Look around")).click()
    expect(tab.get_by_label("Agent", exact=True)).to_be_checked()
    expect(tab.get_by_label("Prompt", exact=True)).to_have_value(re.compile("Look around"))


def test_the_overview_shows_a_run_and_fits_a_phone(tab: Page) -> None:
    journey.new_agent(tab, "Analyse the data.")
    tab.get_by_role("link", name="Overview").click()
    expect(tab.get_by_role("heading", name="Overview")).to_be_visible()
    expect(tab.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
    expect(tab.locator(".numbers")).to_have_count(2)
    expect(tab.locator(".chart .part-completed, .chart .part-cancelled, .chart .part-open").first).to_be_visible()
    expect(tab.get_by_text("No worker answers")).to_have_count(0)
    tab.set_viewport_size({"width": 768, "height": 800})
    size = "(node) => parseFloat(getComputedStyle(node).fontSize)"
    scale = tab.locator(".chart").first.evaluate("(node) => node.getScreenCTM().a")
    drawn = tab.locator(".chart text").first.evaluate(size) * scale
    assert drawn <= tab.locator(".charts figcaption").first.evaluate(size), "an axis says no more than a heading"
    tab.set_viewport_size({"width": 360, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    letters = (
        "Math.min(...Array.from(document.querySelectorAll('.chart text'), (n) => n.getBoundingClientRect().height))"
    )
    assert tab.evaluate(letters) >= 9, "letters of charts can be read on a phone"
    summary = tab.get_by_text("The same as a table")
    summary.focus()
    summary.press("Enter")
    expect(tab.get_by_role("region", name="Runs by day")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_screenshots_of_the_lists(tab: Page, pictures: Path) -> None:
    journey.new_agent(tab, "<b>Analyse</b> a very long title that has to be cut somewhere because nobody reads it")
    for look, (width, scheme) in LOOKS.items():
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        for name, path in {
            "list-filtered": "/?q=a",
            "list-empty": "/?q=nothing+such",
            "new-options": "/agents/new/",
        }.items():
            tab.goto(path)
            if name == "new-options":
                tab.get_by_label("Agent", exact=True).check()
                tab.locator(".options:visible summary").click()
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            tab.screenshot(path=pictures / f"{name}-{look}.png", full_page=True)
