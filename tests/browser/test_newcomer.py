"""Somebody who has read nothing finds their way by what the pages say: buttons, links and labels only, no addresses."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_accessibility import found
from tests.journeys.site import UpSite
from tests.nightly import some

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
RUN_MS = 90_000
PROGRAM = r"""
import json, pathlib, sys

def say(type, **data):
    print(json.dumps({"type": type, **data}), flush=True)

def lines():
    return (json.loads(line) for line in iter(sys.stdin.readline, "") if line.strip())

if "fail" in next(lines())["input"]["content"]:
    sys.exit("the disk is full")
call = {"call_id": "c1", "name": "write_file", "arguments": {"path": "note.md", "content": "# Note\n"}}
say("tool-call", **call)
say("approval-request", approval_id="a1", call_id="c1", question="Write note.md?", options=["approve", "deny"])
answer = next(line for line in lines() if line["type"] == "approval")
assert answer["decision"] == "approve"
pathlib.Path("note.md").write_text("# Note\n")
say("tool-result", call_id="c1", result="written", is_error=False, duration_ms=1)
say("text", content="The note is written.")
say("done", status="completed")
"""
DEFINITION = f"""
[definitions.writer]
title = "Careful writer"
description = "Writes a note, if it may."
image = "agentsite/demo:latest"
process_command = ["{{python}}", "-u", "-c", '''{PROGRAM}''']
trusted = true
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpSite]:
    site = UpSite(tmp_path_factory.mktemp("site"), engine="process", definitions=DEFINITION, asks=True)
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture(scope="module")
def page(browser: Browser, site: UpSite) -> Iterator[Page]:
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    page.goto(site.login_link)
    yield page
    context.close()


def home(page: Page) -> None:
    page.get_by_role("link", name="Agents", exact=True).click()


def start(page: Page, prompt: str) -> None:
    home(page)
    page.get_by_role("link", name="New agent").click()
    page.get_by_text("Careful writer").first.click()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_the_demo_is_started_watched_and_approved(page: Page, pictures: Path) -> None:
    page.get_by_role("button", name=re.compile("^Try it")).click()
    expect(page.locator("details.tool, .tool").first).to_be_visible(timeout=RUN_MS)
    card = page.get_by_role("group", name="Approval needed")
    expect(card).to_contain_text("Run analysis.py on penguins.csv? It writes report.md and chart.svg.", timeout=RUN_MS)
    page.screenshot(path=pictures / "live-light.png")
    card.get_by_role("button", name="Approve").click()
    expect(page.locator("#status")).to_have_text("completed", timeout=RUN_MS)
    expect(page.locator(".markdown img")).to_have_js_property("complete", True)
    expect(page.locator("#file-list")).to_contain_text("report.md")
    page.screenshot(path=pictures / "live-end-light.png", full_page=True)


def test_an_approval_is_given_and_what_came_of_it_is_read(page: Page, pictures: Path) -> None:
    start(page, "Write a note")
    card = page.get_by_role("group", name="Approval needed")
    expect(card).to_contain_text("note.md", timeout=RUN_MS)
    expect(page).to_have_title(re.compile(r"^\?"))
    page.screenshot(path=pictures / "approval-light.png")
    beside = page.context.new_page()
    beside.goto("/")
    row = beside.locator(".agents li", has=beside.get_by_role("link", name="Write a note"))
    expect(row.locator(".status")).to_have_text("waiting")
    expect(row.locator(".agent-about")).to_contain_text("in progress for")
    beside.close()
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The note is written.")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#status")).to_have_text("completed", timeout=RUN_MS)
    page.get_by_role("complementary").get_by_role("link", name=re.compile("[Cc]hanges")).first.click()
    expect(page.get_by_text("note.md").first).to_be_visible()
    expect(page.get_by_text("# Note")).to_be_visible()


def test_yesterdays_failed_run_is_found(page: Page, site: UpSite) -> None:
    start(page, "Please fail")
    expect(page.get_by_text("The run failed.")).to_be_visible(timeout=RUN_MS)
    agent_id = page.url.rstrip("/").rpartition("/")[2]
    with closing(sqlite3.connect(site.data / "agentsite.sqlite3", timeout=30)) as database, database:
        changed = database.execute(
            "UPDATE agents_agent SET updated_at = datetime(updated_at, '-1 day') WHERE id = ?",
            [agent_id.replace("-", "")],
        )
        assert changed.rowcount == 1
    home(page)
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Please fail").click()
    expect(page.get_by_text("the disk is full")).to_be_visible()
    expect(page.get_by_role("button", name="Try again", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Continue", exact=True)).to_have_count(0)  # it said nothing


def test_who_is_not_logged_in_reads_on_a_phone_where_they_are(browser: Browser, site: UpSite) -> None:
    context = browser.new_context(base_url=site.url, viewport={"width": 320, "height": 740})
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.locator(".brand").evaluate("(node) => node.getBoundingClientRect().width") > 80, "more than its icon"
    context.close()


@pytest.mark.parametrize(("scheme", "width"), some([("light", 1280), ("dark", 320), ("dark", 1280), ("light", 320)], 2))
def test_axe_finds_nothing_on_any_page(
    page: Page, scheme: Literal["light", "dark"], width: int, pictures: Path
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto("/?q=note")
    agent = str(page.get_by_role("link", name="Write a note").get_attribute("href"))
    page.goto(agent)
    run = str(page.get_by_role("complementary").get_by_role("link", name="Run 1").get_attribute("href"))
    changes = [f"{run}changes/", f"{run}changes/?view=split", f"{agent}changes/"]
    files = [f"{agent}files/", f"{agent}files/note.md", f"{agent}files/note.md?view=source"]
    lists = ["/", "/?q=nothing+such", "/agents/new/", "/overview/", f"{agent}runs/"]
    problems = {}
    for path in (*lists, agent, f"{agent}transcript/", run, *changes, *files):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        problems[path] = found(page)
        if path == "/overview/":
            page.screenshot(path=pictures / f"overview-{scheme if width > 320 else f'{scheme}-phone'}.png")
    assert {path: found for path, found in problems.items() if found} == {}
