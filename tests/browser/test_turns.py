"""The conversation as turns: what was asked of one run stands with what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from playwright.sync_api import Page, expect

from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, settled, unrolled
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
Step = tuple[str, Mapping[str, object]]
RUNNING: Step = ("status", {"status": "running"})


def run(number: int) -> str:
    return f"0193467e-7e2b-7d00-8a11-{number:012d}"


def say(stub: Stub, number: int, *steps: Step) -> None:
    after = len(stub.events)
    for seq, (type_, data) in enumerate(steps, after + 1):
        one = draft(type_, run(number), **data)
        at = f"2026-11-20T12:{seq // 60 % 60:02d}:{seq % 60:02d}.000000Z"
        stub.append([Event(one.type, AGENT, run(number), 1, seq, at, one.data)])


def ask(stub: Stub, number: int) -> None:
    prompt = {"message_id": "u", "role": "user", "content": f"Ask {number}."}
    say(stub, number, ("message", prompt), ("status", {"status": "queued"}))


def words(text: str) -> Step:
    return "text", {"message_id": f"m {text[:20]}", "content": text}


def ended(status: str = "completed") -> Step:
    return "done", {"status": status}


def parts(page: Page) -> list[list[str]]:
    """The words of each turn."""
    return [turn.locator(".part").all_inner_texts() for turn in page.locator(".turn").all()]


def test_turns_are_in_the_order_in_which_the_queue_was_worked_through(stub: Stub, watched: Page) -> None:
    for number in (1, 2, 3):
        ask(stub, number)
    for number in (1, 3, 2):
        say(stub, number, RUNNING, words(f"Answer {number}."), ended())
    ask(stub, 4)
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert parts(watched) == [[f"Ask {number}.", f"Answer {number}."] for number in (1, 3, 2)]
    expect(watched.locator("#queue li")).to_have_count(1)


def test_prompt_that_was_handed_over_stands_in_the_turn_that_took_it_also_in_old_logs(
    stub: Stub, watched: Page
) -> None:
    ask(stub, 1)
    say(stub, 1, RUNNING, words("Before."))
    ask(stub, 2)
    ask(stub, 3)
    say(stub, 3, ended())  # handed to the first, by a site that did not say so
    say(stub, 1, words("After."), ended())
    say(stub, 2, RUNNING, words("Second."), ended())
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert parts(watched) == [["Ask 1.", "Before.", "Ask 3.", "After."], ["Ask 2.", "Second."]]


def test_end_of_a_turn_says_what_became_of_its_run(stub: Stub, watched: Page) -> None:
    error: Step = ("error", {"code": "x", "message": "y", "retryable": True})
    cases = [
        (1, [ended("cancelled")], "Withdrawn."),
        (2, [RUNNING, ended("cancelled")], "Stopped."),
        (3, [RUNNING, ended("failed")], "The run failed."),
        (4, [RUNNING, error, ended()], "Reported an error."),
    ]
    for number, steps, _ in cases:
        ask(stub, number)
        say(stub, number, *steps)
    call = {"call_id": "c", "name": "shell", "arguments": {"n": 1, "command": "\n ls -l\nrm x"}}
    ask(stub, 5)
    say(stub, 5, RUNNING, ("tool-call", call))
    watched.goto(stub.page_url)
    for at, (_, _, said) in enumerate(cases):
        expect(watched.locator(".turn").nth(at)).to_contain_text(said)
    expect(watched.locator(".tool-gist")).to_have_text("ls -l")


def test_what_left_the_state_keeps_its_answers_and_leads_to_what_is_known_of_its_run(stub: Stub, watched: Page) -> None:
    ask(stub, 1)
    question = {"approval_id": "p", "call_id": "c", "question": "May it?", "options": ["approve"]}
    say(
        stub,
        1,
        RUNNING,
        ("tool-call", {"call_id": "c", "name": "bash", "arguments": {}}),
        ("approval-request", question),
        ("approval-response", {"approval_id": "p", "decision": "approve", "by": "ada"}),
        ("tool-result", {"call_id": "c", "result": ""}),
        ended(),
    )
    for number in range(2, 300):
        ask(stub, number)
        say(stub, number, RUNNING, words("lorem ipsum " * 100), ended())
    assert run(1) not in {one["id"] for one in stub.state()["runs"]}
    watched.goto(stub.page_url)
    settled(watched, stub)
    unrolled(watched)
    first, last = watched.locator(f"#run-{run(1)}"), watched.locator(f"#run-{run(299)}")
    expect(first.locator(".answered")).to_contain_text("approve, by ada")
    expect(first.get_by_role("link", name="How this run ended")).to_have_attribute("href", f"/runs/{run(1)}/")
    expect(last.get_by_role("link")).to_have_count(0)


def test_address_of_a_turn_shows_it(stub: Stub, watched: Page) -> None:
    for number in (1, 2, 3):
        ask(stub, number)
        say(stub, number, RUNNING, words("A line.\n\n" * 60), ended())
    watched.goto(f"{stub.page_url}#run-{run(2)}")
    settled(watched, stub)
    prompt = watched.get_by_text("Ask 2.", exact=True)
    expect(prompt).to_be_in_viewport()
    ask(stub, 4)
    say(stub, 4, RUNNING, words("More.\n\n" * 60))
    settled(watched, stub)
    expect(prompt).to_be_in_viewport()
