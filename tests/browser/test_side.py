"""What stands beside the conversation and is not in the log's state: which files the latest run changed."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from streaming.model.events import Event
from tests.browser.logs import RUN, log_of, settled, started
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser


def told(seq: int, **marks: str) -> dict[str, Any]:
    """As agents.pages.side says it."""
    paths = {f"{name}.txt": change for name, change in marks.items()}
    return {"seq": seq, "marks": paths, "run": {"id": RUN, "number": 1}, "spent": {}, "numbers": {}}


def written(path: str, size: int, after: int) -> list[Event]:
    change = {"path": path, "change": "added", "size": size, "sha256": None}
    return log_of(("files", {"changes": [change]}), after=after)


def asked(stub: Stub) -> None:
    """Waits until the page has asked for what stands beside; each time counts once."""
    stub.side_asked.get(timeout=10)


@pytest.fixture
def shown(stub: Stub, watched: Page) -> Page:
    """The page of a run at work that has changed nothing so far."""
    stub.side = told(3)
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    expect(watched.locator("#connection")).to_have_text("Live")
    return watched


def mark(page: Page, path: str) -> Locator:
    return page.locator(f"#file-list li[title='{path}'] .file-mark")


def test_a_file_that_the_run_wrote_is_marked_without_a_reload(stub: Stub, shown: Page) -> None:
    stub.append(written("a.txt", 5, after=3))
    asked(stub)
    stub.side_answers.put(told(4, a="added"))
    expect(mark(shown, "a.txt")).to_have_text("added")
    expect(shown.locator("#files-note")).to_have_text("Run 1 changed 1: see how")


def test_a_change_while_the_page_waits_for_the_answer_is_not_missed(stub: Stub, shown: Page) -> None:
    stub.append(written("a.txt", 5, after=3))
    asked(stub)
    stub.append(written("b.txt", 7, after=4))
    settled(shown, stub)
    stub.side_answers.put(told(4, a="added"))
    asked(stub)
    stub.side_answers.put(told(5, a="added", b="added"))
    expect(mark(shown, "b.txt")).to_have_text("added")


def test_an_answer_from_before_the_change_is_asked_for_again(stub: Stub, shown: Page) -> None:
    """The log shows what Redis has; what stands beside comes from the database, which may be a moment behind."""
    stub.append(written("a.txt", 5, after=3))
    asked(stub)
    stub.side_answers.put(told(3))
    asked(stub)
    stub.side_answers.put(told(4, a="added"))
    expect(mark(shown, "a.txt")).to_have_text("added")


def test_what_could_not_be_asked_is_asked_when_the_stream_is_back(stub: Stub, shown: Page) -> None:
    stub.append(written("a.txt", 5, after=3))
    asked(stub)
    with shown.expect_event("requestfailed", lambda request: request.url.endswith("/side/")):
        stub.side_answers.put(None)
    stub.cut()
    asked(stub)
    stub.side_answers.put(told(4, a="added"))
    expect(mark(shown, "a.txt")).to_have_text("added")


def test_a_list_that_is_cut_says_so_and_how_many_files_there_are(stub: Stub, shown: Page) -> None:
    name = "a-name-that-is-much-longer-than-the-panel-is-wide-on-any-screen-of-ours-2026-11-30.csv"
    stub.append(written(name, 5, after=3))
    for number in range(11):
        stub.append(written(f"{number}.txt", 5, after=4 + number))
    expect(shown.locator("#all-files")).to_have_text("All files (12)")
    box = shown.locator("#file-list").bounding_box()
    row = shown.locator("#file-list li").first.bounding_box()
    assert box
    assert row
    assert 0.2 < (box["height"] / row["height"]) % 1 < 0.8, "the last row that is seen is seen in part"
    long = shown.locator(f"#file-list li[title='{name}'] .name")
    expect(long).to_have_text(name)
    start, end = long.locator("span").all()
    assert start.evaluate("span => span.scrollWidth > span.clientWidth"), "its middle is cut"
    assert end.evaluate("span => span.scrollWidth <= span.clientWidth"), "its end is seen"
    expect(end).to_have_text("1-30.csv")


def test_runs_have_the_numbers_of_the_site_whatever_their_order_in_the_queue(stub: Stub, shown: Page) -> None:
    expect(shown.locator("#run-list a")).to_have_text("Run 1")
    stub.append(written("a.txt", 5, after=3))
    asked(stub)
    stub.side = {**told(4), "numbers": {RUN: 7}}
    stub.side_answers.put(stub.side)
    expect(shown.locator("#run-list a")).to_have_text("Run 7")
