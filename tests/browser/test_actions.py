"""What can be done with an agent on its page, and what the conversation makes of what was done."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.logs import AGENT, log_of, settled, started, words
from tests.browser.stub import Stub
from tests.browser.test_accessibility import found

pytestmark = pytest.mark.browser
API = f"/api/agents/{AGENT}"


def at_rest(stub: Stub, page: Page) -> None:
    stub.append(log_of(*started("Tidy up"), *words("Done."), ("done", {"status": "completed"})))
    page.goto(stub.page_url)
    settled(page, stub)


def choose(page: Page, name: str) -> None:
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name=name).click()


def test_menu_is_used_by_keyboard(stub: Stub, watched: Page) -> None:
    at_rest(stub, watched)
    button = watched.get_by_role("button", name="Actions")
    button.press("ArrowDown")
    items = watched.get_by_role("menuitem")
    names = ["Rename…", "Duplicate…", "Fork…", "Clear conversation…", "Export", "Archive", "Delete…"]
    expect(items).to_have_text(names)
    expect(items.first).to_be_focused()
    watched.keyboard.press("ArrowUp")
    expect(items.last).to_be_focused()
    watched.keyboard.press("ArrowDown")
    expect(items.first).to_be_focused()
    assert found(watched) == []
    watched.keyboard.press("Escape")
    expect(watched.get_by_role("menu")).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    watched.locator("#conversation").click()
    expect(watched.get_by_role("menu")).to_be_hidden()
    assert items.count() == 0


def test_rename_can_be_undone(stub: Stub, watched: Page) -> None:
    at_rest(stub, watched)
    choose(watched, "Rename…")
    watched.get_by_label("Title").fill("Housekeeping")
    assert found(watched) == []
    watched.get_by_role("button", name="Rename").click()
    expect(watched.get_by_role("dialog")).to_have_count(0)
    watched.get_by_role("button", name="Undo").click()
    stub.wait_for(lambda: len(stub.requests) == 2, "the title was not given back")
    sent = [(method, path, json.loads(body)) for method, path, body in stub.requests]
    assert sent == [("PATCH", API, {"title": "Housekeeping"}), ("PATCH", API, {"title": "Tidy up"})]


def test_archived_agent_can_be_brought_back(stub: Stub, watched: Page) -> None:
    at_rest(stub, watched)
    choose(watched, "Archive")
    expect(watched.locator(".toast")).to_contain_text("Archived")
    assert found(watched) == []
    watched.get_by_role("button", name="Undo").click()
    stub.wait_for(lambda: len(stub.requests) == 2, "it was not brought back")
    assert [json.loads(body) for _, _, body in stub.requests] == [{"archived": True}, {"archived": False}]
    watched.get_by_role("button", name="Actions").click()
    expect(watched.get_by_role("menuitem", name="Archive")).to_be_visible()


def test_clear_and_delete_ask_first_and_say_what_fails(stub: Stub, watched: Page) -> None:
    at_rest(stub, watched)
    problem = {"error": {"code": "agent-busy", "message": "A run is open."}}
    watched.route("**/clear", lambda route: route.fulfill(status=409, json=problem))
    choose(watched, "Clear conversation…")
    dialog = watched.get_by_role("dialog")
    dialog.get_by_role("button", name="Clear").click()
    expect(dialog.get_by_role("alert")).to_have_text("A run is open.")
    watched.unroute("**/clear")
    dialog.get_by_role("button", name="Clear").click()
    expect(watched.locator(".toast")).to_contain_text("The conversation begins anew.")
    choose(watched, "Delete…")
    expect(dialog).to_contain_text("for good")
    dialog.get_by_role("button", name="Cancel").click()
    expect(watched.get_by_role("button", name="Actions")).to_be_focused()
    assert [request[:2] for request in stub.requests] == [("POST", f"{API}/clear")]
    choose(watched, "Delete…")
    dialog.get_by_role("button", name="Delete").click()
    watched.wait_for_url(f"{stub.url}/")
    assert stub.requests[-1][:2] == ("DELETE", API)


def test_others_are_links(stub: Stub, watched: Page) -> None:
    at_rest(stub, watched)
    watched.get_by_role("button", name="Actions").click()
    links = {"Export": f"{API}/export", "Duplicate…": f"/agents/new/?like={AGENT}", "Fork…": f"/agents/{AGENT}/fork/"}
    for name, address in links.items():
        expect(watched.get_by_role("menuitem", name=name)).to_have_attribute("href", address)


# What was done --------------------------------------------------------------------------------------------------------


def test_denied_call_is_not_an_error(stub: Stub, watched: Page) -> None:
    stub.append(
        log_of(
            *started(),
            ("tool-call", {"call_id": "d", "name": "bash", "arguments": {"command": "rm -rf build"}}),
            ("approval-request", {"approval_id": "p", "call_id": "d", "question": "May I?"}),
            ("approval-response", {"approval_id": "p", "decision": "deny", "by": "ada"}),
            ("tool-result", {"call_id": "d", "result": "The user denied this.", "is_error": True}),
            ("tool-call", {"call_id": "f", "name": "bash", "arguments": {"command": "false"}}),
            ("tool-result", {"call_id": "f", "result": "Exit code 1", "is_error": True}),
            ("tool-call", {"call_id": "i", "name": "bash", "arguments": {"command": "sleep 99"}}),
            ("done", {"status": "cancelled"}),
        )
    )
    watched.goto(stub.page_url)
    settled(watched, stub)
    cards = watched.locator(".tool")
    expect(cards.locator(".tool-state")).to_have_text(["denied", "failed", "interrupted"])
    expect(cards.nth(0)).not_to_have_attribute("open", "")
    cards.nth(0).locator("summary").click()
    expect(cards.nth(0).locator(".tool-label")).to_have_text("Answer")
    backgrounds = cards.locator(".result").evaluate_all(
        "(nodes) => nodes.map((node) => getComputedStyle(node).backgroundColor)"
    )
    assert len(set(backgrounds)) == 2
    assert found(watched) == []


def test_written_file_leads_to_its_viewer_and_a_picture_is_shown(stub: Stub, watched: Page) -> None:
    name = f"{'very-' * 30}long.svg"
    stub.append(
        log_of(
            *started(),
            (
                "tool-call",
                {"call_id": "w", "name": "write", "arguments": {"path": f"charts/{name}", "content": "<svg/>"}},
            ),
            ("tool-result", {"call_id": "w", "result": "written"}),
            ("tool-call", {"call_id": "o", "name": "write", "arguments": {"path": "/etc/passwd", "content": "x"}}),
            ("tool-result", {"call_id": "o", "result": "written"}),
        )
    )
    watched.goto(stub.page_url)
    settled(watched, stub)
    link = watched.get_by_role("link", name=f"Open charts/{name}")
    expect(watched.get_by_role("link", name="Open ")).to_have_count(1)
    expect(link).to_have_attribute("href", f"/agents/{AGENT}/files/charts/{name}")
    expect(watched.locator(".tool-gist").first).to_have_attribute("title", f"charts/{name}")
    expect(watched.locator(".picture img")).to_have_attribute("src", f"{API}/files/charts/{name}")
    expect(watched.locator(".picture img")).to_have_attribute("alt", name)
    assert watched.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert found(watched) == []


def test_pictures_of_the_latest_run_stand_at_its_end_unless_its_words_show_them(stub: Stub, watched: Page) -> None:
    stub.side = {
        "seq": 9,
        "marks": {"a.png": "added", "b.svg": "added", "c.txt": "added"},
        "run": {"id": "0193467e-7e2b-7d00-8a11-000000000101", "number": 1},
        "spent": {},
        "numbers": {},
    }
    stub.append(log_of(*started(), *words("Here: ![chart](a.png)"), ("done", {"status": "completed"})))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator(".pictures img")).to_have_count(1)
    expect(watched.locator(".pictures img")).to_have_attribute("src", re.compile("/files/b.svg$"))
