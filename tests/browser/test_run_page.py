"""A run's page and its changes in a real browser: live, by keyboard, on a phone, and led back to the conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from agents.models import Agent, Run
from agents.runs import commands
from agents.workspace import Workspace
from streaming.store.database import close_threads
from tests.nightly import some
from tests.pages import story
from tests.pages.conftest import DEFINITIONS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]
PATIENCE_MS = 20_000


@pytest.fixture(autouse=True)
def site(tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without workers: what is asked for stays queued."""
    settings.DEFINITIONS_FILE = tmp_path / "agents.toml"
    settings.DEFINITIONS_FILE.write_text(DEFINITIONS)
    settings.DATA_DIR = tmp_path
    settings.WORKSPACES_DIR, settings.HISTORY_DIR = tmp_path / "workspaces", tmp_path / "history"
    monkeypatch.setattr(commands, "enqueue", lambda agent_id: None)
    yield
    close_threads()


@pytest.fixture
def agent() -> Agent:
    return commands.create_agent(User.objects.create_user("ada"), "demo")[0]


@pytest.fixture
def run(agent: Agent) -> Run:
    run = story.new_run(agent, "Analyse the sales of last year, and write a report with one chart.")
    story.write(run, story.FINISHED)
    story.keep(run, story.BEFORE, story.AFTER)
    return run


@pytest.fixture
def tab(page: Page, agent: Agent, live_server: LiveServer) -> Iterator[Page]:
    """Logged in. No script fails, the policy is kept, and nothing is asked of another host."""
    problems: list[str] = []
    client = Client()
    client.force_login(agent.owner)
    cookie = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: problems.append(request.url) if live_server.url not in request.url else None)
    yield page
    assert problems == []


def test_an_active_run_is_followed_to_its_end_without_losing_the_place(
    tab: Page, agent: Agent, live_server: LiveServer
) -> None:
    run = story.new_run(agent, "Go on.\n" * 100)
    story.write(run, story.ANALYSIS[:6])
    tab.goto(f"{live_server.url}/runs/{run.pk}/")
    rows = tab.locator(".waterfall tbody tr")
    expect(rows).to_have_count(4)
    prompt = tab.locator("#run-prompt .clipped")
    prompt.evaluate("(node) => (node.scrollTop = 80)")
    tab.locator("#run-stop").focus()
    tab.evaluate("window.sameDocument = true")
    story.write(run, story.ANALYSIS[6:])
    expect(rows).to_have_count(10, timeout=PATIENCE_MS)
    expect(tab.locator("#run-stop")).to_be_focused()
    story.write(run, story.FINISHED[-1:])
    expect(tab.locator("#run-head .status")).to_have_text("completed", timeout=PATIENCE_MS)
    expect(tab.locator("#run-announce")).to_have_text("Run 1: completed")
    expect(tab).to_have_title(re.compile("^Run 1: completed"))
    expect(tab.get_by_role("button", name="Try again")).to_be_visible()
    expect(tab.locator("#run-result")).to_contain_text("North leads.")
    assert prompt.evaluate("(node) => node.scrollTop") == 80
    assert tab.evaluate("window.sameDocument")
    live = tab.locator("#run-live").inner_text()
    tab.reload()
    assert tab.locator("#run-live").inner_text() == live


def test_try_again_leads_to_the_new_runs_turn(tab: Page, run: Run, live_server: LiveServer) -> None:
    tab.goto(f"{live_server.url}/runs/{run.pk}/")
    tab.get_by_role("button", name="Try again").click()
    tab.wait_for_url(re.compile(r"/agents/[0-9a-f-]{36}/#run-"))
    made = Run.objects.get(retry_of=run)
    expect(tab.locator(f"#run-{made.pk}")).to_contain_text("Analyse the sales")
    expect(tab.locator(f"#run-{made.pk}")).to_be_in_viewport()


def test_views_of_the_changes_are_switched_by_keyboard_and_kept_in_the_address(
    tab: Page, run: Run, live_server: LiveServer
) -> None:
    tab.goto(f"{live_server.url}/runs/{run.pk}/")
    tab.get_by_role("link", name="report.py").press("Enter")
    tab.wait_for_url(re.compile(r"/changes/#file-\d+$"))
    section = tab.locator(".diff-file", has=tab.get_by_role("heading", name="report.py"))
    expect(section).to_be_in_viewport()
    expect(section.locator(".deleted .word").first).to_have_text(".amount")
    tab.get_by_role("link", name="Side by side").press("Enter")
    tab.wait_for_url(re.compile(r"view=split"))
    expect(tab.get_by_role("link", name="Side by side")).to_have_attribute("aria-current", "true")
    pair = section.locator("tr", has=tab.locator(".deleted")).first
    expect(pair.locator(".deleted")).to_contain_text("def total(rows):")
    expect(pair.locator(".added")).to_contain_text('def total(rows, column="amount"):')
    section.locator("summary").press("Enter")
    expect(section.locator(".diff")).to_be_hidden()
    tab.reload()
    expect(section.locator(".diff.split")).to_be_visible()


@pytest.mark.parametrize("view", ["unified", "split"])
def test_what_is_marked_within_a_changed_line_stays_in_it(
    tab: Page, run: Run, live_server: LiveServer, view: str
) -> None:
    """Changed words, and characters that hide, as the end of a line from Windows."""
    later = story.new_run(run.agent, "Count.")
    story.keep(later, {"a.txt": "one two three\r\nfour\n"}, {"a.txt": "one 2 three\r\nfour\n"})
    tab.goto(f"{live_server.url}/runs/{later.pk}/changes/?view={view}")
    section = tab.locator(".diff-file", has=tab.get_by_role("heading", name="a.txt"))
    lines = section.locator("tr", has=tab.locator(".word"))
    expect(lines).to_have_count({"unified": 2, "split": 1}[view])
    for line in lines.all():
        expect(line.locator(".hidden").first).to_be_visible()
        height = line.evaluate(
            "(node) => node.getBoundingClientRect().height / parseFloat(getComputedStyle(node).lineHeight)"
        )
        assert height < 1.5


def test_smaller_headings_of_a_file_are_not_larger(tab: Page, run: Run, live_server: LiveServer) -> None:
    story.put(run.agent, {"deep.md": "### Three\n\n#### Four\n"})
    tab.goto(f"{live_server.url}/agents/{run.agent_id}/files/deep.md")
    size = "(node) => parseFloat(getComputedStyle(node).fontSize)"
    assert tab.locator(".markdown h3").evaluate(size) >= tab.locator(".markdown h4").evaluate(size)


def test_the_failed_run_is_found_without_scripts(
    browser: Any, tab: Page, agent: Agent, live_server: LiveServer
) -> None:
    failed = story.new_run(agent, "Too much.")
    story.write(failed, story.FAILED)
    context = browser.new_context(java_script_enabled=False, storage_state=tab.context.storage_state())
    page = context.new_page()
    page.goto(f"{live_server.url}/agents/{agent.pk}/runs/")
    page.get_by_role("link", name="failed").click()
    page.get_by_role("listitem").get_by_role("link", name="Too much.").click()
    expect(page.locator(".run-error")).to_contain_text("needed more memory")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile(r"/agents/.*#run-"))
    assert Run.objects.filter(retry_of=failed).exists()
    context.close()


def test_the_timeline_is_a_table_to_who_listens_also_on_a_phone(tab: Page, run: Run, live_server: LiveServer) -> None:
    for width in (1280, 360):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto(f"{live_server.url}/runs/{run.pk}/")
        table = tab.get_by_role("table", name="What the run did, in order of time")
        expect(table.get_by_role("row")).to_have_count(10)
        row = table.get_by_role("row", name="bash tool rm -rf old")
        expect(row.get_by_role("cell")).to_have_count(3)
        expect(row.get_by_role("cell").last).to_have_text("1.5 s")
        expect(row.get_by_role("cell").nth(1)).to_have_text("7.6 s")


def in_the_log(run: Run) -> story.Step:
    entries = Workspace(run.agent_id).entries().entries
    changes = [{"path": one.path, "change": "added", "size": one.size, "sha256": None} for one in entries]
    return (21, "files", {"changes": changes})


def test_a_file_is_opened_from_its_folder_by_keyboard(tab: Page, run: Run, live_server: LiveServer) -> None:
    story.put(run.agent, {f"many/{number:04}.txt": "x\n" for number in range(200)})
    story.write(run, [in_the_log(run)])
    tab.goto(f"{live_server.url}/agents/{run.agent_id}/")
    files = tab.locator("#file-list")
    expect(tab.locator("#file-count")).to_have_text("206")
    expect(files.locator("li")).to_have_count(7)
    folder = files.locator("summary", has_text="many")
    folder.press("Enter")
    expect(files.locator("li")).to_have_count(108)
    expect(files.locator(".more-rows")).to_have_text("100 more")
    folder.press("Enter")
    files.get_by_role("link", name="report.py").press("Enter")
    tab.wait_for_url(re.compile(r"/files/report\.py$"))
    expect(tab.locator("#L4 .keyword")).to_have_text("def")
    tab.get_by_role("link", name="run 1").click()
    expect(tab.locator(".diff-file")).to_have_count(1)


def test_a_run_is_tried_again_from_the_panel_and_the_page_stays(tab: Page, run: Run, live_server: LiveServer) -> None:
    tab.goto(f"{live_server.url}/agents/{run.agent_id}/")
    tab.evaluate("window.sameDocument = true")
    with tab.expect_response(re.compile(r"/retry$")) as answered:
        tab.get_by_role("button", name="Try again: run 1").click()
    assert answered.value.status == 202
    assert tab.evaluate("window.sameDocument")
    assert Run.objects.filter(retry_of=run).count() == 1


@pytest.mark.long
def test_screenshots_of_what_a_run_left(tab: Page, run: Run, live_server: LiveServer, pictures: Path) -> None:
    failed = story.new_run(run.agent, "Too much.")
    story.write(failed, story.FAILED)
    pages = {
        "run": f"/runs/{run.pk}/",
        "run-failed": f"/runs/{failed.pk}/",
        "changes": f"/runs/{run.pk}/changes/",
        "changes-split": f"/runs/{run.pk}/changes/?view=split",
        "runs": f"/agents/{run.agent_id}/runs/",
        "transcript": f"/agents/{run.agent_id}/transcript/",
        "file-code": f"/agents/{run.agent_id}/files/report.py",
        "file-markdown": f"/agents/{run.agent_id}/files/report.md",
        "file-table": f"/agents/{run.agent_id}/files/sales.csv",
        "files": f"/agents/{run.agent_id}/files/",
    }
    looks: list[tuple[str, int, Any]] = [("light", 1280, "light"), ("phone", 360, "dark"), ("dark", 1280, "dark")]
    for look, width, scheme in some(looks, 2):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        for name, path in pages.items():
            tab.goto(f"{live_server.url}{path}")
            tab.wait_for_load_state("load")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (name, look)
            tab.screenshot(path=pictures / f"{name}-{look}.png", full_page=True)
