"""Where the keyboard's focus is when what had it moved, waits for an answer or went away: never on nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, log_of, settled, started
from tests.browser.stub import Stub
from tests.browser.test_approvals import Steps, answered, asked
from tests.browser.test_composer import ended, queued

pytestmark = pytest.mark.browser
OTHERS = [f"0193467e-7e2b-7d00-8a11-00000000020{n}" for n in range(3)]


def is_told(stub: Stub, type_: str, run: str, **data: object) -> None:
    """One more event of another run."""
    one = draft(type_, run, **data)
    seq = len(stub.events) + 1
    stub.append([Event(type_, AGENT, run, 1, seq, "2026-11-20T12:00:02.000000Z", one.data)])


def with_queue(stub: Stub, page: Page) -> None:
    stub.append(log_of(*started()))
    for n, run in enumerate(OTHERS):
        stub.append(queued(f"number {n}", run, after=3 + 2 * n))
    page.goto(stub.page_url)
    settled(page, stub)


def focused(page: Page) -> str:
    """Waits until no control that is gone or disabled has it, and nothing is on its way."""
    page.wait_for_function(
        "() => !document.querySelector('button:disabled') && document.activeElement !== document.body", timeout=5000
    )
    return str(page.evaluate("document.activeElement.closest('li')?.innerText ?? document.activeElement.id"))


def press_enter_on(page: Page, row: int, name: str) -> None:
    with page.expect_response("**/api/runs/**"):
        page.locator("#queue li").nth(row).get_by_role("button", name=name).press("Enter")


def test_button_that_moved_its_row_can_be_pressed_again(stub: Stub, watched: Page) -> None:
    with_queue(stub, watched)
    press_enter_on(watched, 2, "Move up")
    is_told(stub, "status", OTHERS[2], status="queued", position=1)
    settled(watched, stub)
    assert focused(watched).startswith("number 2")
    assert watched.evaluate("document.activeElement.ariaLabel") == "Move up"
    with watched.expect_response("**/move"):
        watched.keyboard.press("Enter")
    is_told(stub, "status", OTHERS[2], status="queued", position=0)
    settled(watched, stub)
    assert focused(watched).startswith("number 2")
    assert watched.evaluate("document.activeElement.ariaLabel") == "Move down", "it is the first now"


def test_focus_stays_when_another_prompt_is_withdrawn(stub: Stub, watched: Page) -> None:
    with_queue(stub, watched)
    watched.locator("#queue li").nth(1).get_by_role("button", name="Withdraw").focus()
    watched.evaluate("window.lost = 0; document.activeElement.addEventListener('blur', () => lost++)")
    is_told(stub, "done", OTHERS[0], status="cancelled")
    expect(watched.locator("#queue li")).to_have_count(2)
    assert focused(watched).startswith("number 1")
    assert watched.evaluate("document.activeElement.innerText") == "Withdraw"
    assert watched.evaluate("lost") == 0, "it was never moved"


def test_withdrawn_prompt_leaves_the_focus_to_the_next_and_the_last_one_to_the_prompt_box(
    stub: Stub, watched: Page
) -> None:
    with_queue(stub, watched)
    for left, run in enumerate(reversed(OTHERS)):
        press_enter_on(watched, -1, "Withdraw")
        is_told(stub, "done", run, status="cancelled")
        expect(watched.locator("#queue li")).to_have_count(2 - left)
        assert focused(watched).startswith(f"number {1 - left}" if left < 2 else "input")


def test_stopped_run_leaves_the_focus_to_the_prompt_box(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.get_by_role("button", name="Stop").press("Enter")
    stub.request()
    stub.append(log_of(("done", {"status": "cancelled"}), after=3))
    expect(watched.get_by_role("button", name="Stop")).to_be_hidden()
    assert focused(watched) == "input"


def test_continued_run_leaves_the_focus_to_the_prompt_box(stub: Stub, watched: Page) -> None:
    stub.append(ended("cancelled"))
    watched.goto(stub.page_url)
    watched.get_by_role("button", name="Continue", exact=True).press("Enter")
    stub.request()
    stub.append(queued("Go on.", after=5))
    expect(watched.locator(".again")).to_have_count(0)
    assert focused(watched) == "input"


def test_answered_question_leaves_the_focus_to_the_next_and_the_last_one_to_the_prompt_box(
    stub: Stub, watched: Page
) -> None:
    more: Steps = [("approval-request", {"approval_id": "p/2", "question": "And this?"})]
    stub.append(log_of(*asked(), *more))
    watched.goto(stub.page_url)
    cards = watched.locator(".approval")
    cards.nth(0).focus()
    watched.keyboard.press("d")
    stub.request()
    stub.append(log_of(answered(decision="deny"), after=7))
    expect(cards).to_have_count(1)
    expect(cards).to_be_focused()
    cards.get_by_role("button", name="Approve").press("Enter")
    stub.append(log_of(("approval-response", {"approval_id": "p/2", "by": "ada", "decision": "approve"}), after=8))
    expect(cards).to_have_count(0)
    assert focused(watched) == "input"


def test_question_that_was_answered_by_a_click_leaves_the_next_one_alone(stub: Stub, watched: Page) -> None:
    """A letter that was meant for nothing would answer it."""
    more: Steps = [("approval-request", {"approval_id": "p/2", "question": "And this?"})]
    stub.append(log_of(*asked(), *more))
    watched.goto(stub.page_url)
    watched.get_by_role("button", name="Deny").first.click()
    stub.request()
    stub.append(log_of(answered(decision="deny"), after=7))
    expect(watched.locator(".approval")).to_have_count(1)
    watched.keyboard.press("a")
    assert len(stub.requests) == 1


def test_deleted_file_leaves_the_focus_to_the_next(stub: Stub, watched: Page) -> None:
    added = [{"path": path, "change": "added", "size": 1} for path in ("a.txt", "b.txt")]
    stub.append(log_of(*started(), ("files", {"changes": added})))
    watched.goto(stub.page_url)
    watched.evaluate("window.confirm = () => true")
    watched.get_by_role("button", name="Delete a.txt").press("Enter")
    stub.request()
    stub.append(log_of(("files", {"changes": [{"path": "a.txt", "change": "deleted"}]}), after=4))
    expect(watched.locator("#file-list li")).to_have_count(1)
    assert focused(watched).startswith("b.txt")
