"""What is too large for the state: its size is said, it can be had, and what a page has seen live stays in sight."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, RUN, log_of, settled, started
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
Step = tuple[str, dict[str, object]]
BIG = "x" * 19_000


def call(call_id: str = "c/1", name: str = "bash", **arguments: object) -> Step:
    return "tool-call", {"call_id": call_id, "name": name, "arguments": arguments}


def output(content: str, call_id: str = "c/1") -> Step:
    return "tool-output", {"call_id": call_id, "content": content}


def result(value: object, call_id: str = "c/1", **data: object) -> Step:
    return "tool-result", {"call_id": call_id, "result": value, **data}


def asking(stub: Stub, watched: Page, *steps: Step) -> None:
    asked: Step = ("approval-request", {"approval_id": "p", "call_id": "c/1", "question": "May it?"})
    stub.append(log_of(*started(), *steps, asked, ("status", {"status": "waiting"})))
    watched.goto(stub.page_url)


# Calls ----------------------------------------------------------------------------------------------------------------


def test_arguments_output_and_result_are_fetched_together(stub: Stub, watched: Page) -> None:
    steps = call(command=f"echo {BIG}"), output(f"out {BIG}"), result(f"res {BIG}")
    stub.append(log_of(*started(), *steps))
    watched.goto(stub.page_url)
    watched.locator(".tool summary").click()
    notes = watched.locator(".tool .omitted")
    expect(notes).to_have_text(
        [re.compile(f"^19 KB of the {name} not shown . Load") for name in ("arguments", "output", "result")]
    )
    notes.first.get_by_role("button", name="Load").click()
    expect(notes).to_have_count(0)
    expect(watched.locator(".tool .command")).to_have_text(f"echo {BIG}")
    expect(watched.locator(".tool .terminal")).to_contain_text("x" * 18_000)
    expect(watched.locator(".tool .result")).to_contain_text(f"res {BIG}"[:18_000])
    assert stub.calls_asked == ["c/1"]


def test_error_that_is_omitted_is_called_an_error(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), call(a=1), result(BIG, is_error=True)))
    watched.goto(stub.page_url)
    expect(watched.locator(".tool-result")).to_have_text(re.compile("^Error19 KB of the error not shown . Load"))


def test_what_is_not_stored_any_more_says_so(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), call(command=BIG)))
    stub.trimmed = True
    watched.goto(stub.page_url)
    note = watched.locator(".tool .omitted")
    note.get_by_role("button").click()
    expect(note.locator("[role=alert]")).to_have_text("It is not stored any more.")
    expect(note.get_by_role("button")).to_be_hidden()


def test_fetching_that_failed_can_be_tried_again(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), call(command=BIG)))
    watched.goto(stub.page_url)
    watched.route("**/calls/**", lambda route: route.abort())
    note = watched.locator(".tool .omitted")
    note.get_by_role("button", name="Load").click()
    expect(note.locator("[role=alert]")).to_have_text("The server could not be reached.")
    watched.unroute("**/calls/**")
    note.get_by_role("button", name="Try again").click()
    expect(watched.locator(".tool .command")).to_have_text(BIG)


# A live terminal ------------------------------------------------------------------------------------------------------


def test_terminal_that_outgrew_the_state_shows_what_the_page_received(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), call(a=1), output("first\n")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    terminal = watched.locator(".tool .terminal")
    for at in range(6):
        stub.append(log_of(output(f"{at} {'y' * 4000}\n"), after=stub.events[-1].seq))
        settled(watched, stub)
        expect(terminal).to_contain_text(f"{at} yyy")
    assert stub.state()["messages"][-1]["parts"][0]["output"] is None
    watched.get_by_role("button", name=re.compile("^Show all")).click()
    expect(terminal).to_have_text(re.compile("^first"))
    expect(watched.locator(".tool .omitted")).to_have_count(0)
    stub.append(log_of(result("ok"), after=stub.events[-1].seq))
    settled(watched, stub)
    watched.locator(".tool summary").click()
    expect(terminal).to_contain_text("5 yyy")


def test_page_that_joined_later_shows_what_comes_and_can_fetch_what_came_before(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), call(a=1), output("begin\n" + "y\n" * 10_000)))
    watched.goto(stub.page_url)
    note = watched.locator(".tool .omitted")
    expect(note).to_have_text(re.compile("^30 KB of the output not shown . Load"))
    stub.append(log_of(output("live 1\n"), after=5))
    terminal = watched.locator(".tool .terminal")
    expect(terminal).to_have_text("live 1")
    expect(note).to_have_text(re.compile("^30 KB"))
    note.get_by_role("button", name="Load").click()
    expect(note).to_have_count(0)
    stub.append(log_of(output("live 2\n"), after=6))
    expect(terminal).to_contain_text("y y live 1 live 2")
    watched.get_by_role("button", name=re.compile("^Show all")).click()
    expect(terminal).to_contain_text("begin y y")


def test_fetched_output_and_events_that_it_was_ahead_of_are_joined_once(stub: Stub, watched: Page) -> None:
    """The answer may know more than the events that the page has received, or less."""
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    joined = watched.evaluate(
        """async () => {
            const { LiveOutputs } = await import("/static/agents/live-output.js");
            const said = (content) => ({ type: "tool-output", run_id: "r", data: { call_id: "c", content } });
            const part = { call_id: "c", output: null, omitted_bytes: { output: 10 } };
            const before = { messages: [{ run_id: "r", parts: [part] }] };
            const told = [];
            for (const fetched of ["0123456789", "0123456789ab", "0123456789abcdéf", "01234"]) {
                const outputs = new LiveOutputs();
                outputs.hear(said("ab"), before);
                outputs.join("r", "c", fetched, 10);
                for (const content of ["cd", "éf", "gh"]) outputs.hear(said(content), before);
                const { text, missing } = outputs.get("r", "c", 0);
                told.push([text, missing]);
            }
            return told;
        }"""
    )
    whole = "0123456789abcdéfgh"
    assert joined[:3] == [[whole, 0]] * 3
    assert joined[3] == ["01234abcdéfgh", 5], "an answer that lacks the middle is not taken for the whole"


# Approvals ------------------------------------------------------------------------------------------------------------


def test_arguments_that_are_asked_about_are_fetched_and_lock_the_approval_until_then(stub: Stub, watched: Page) -> None:
    held = []
    watched.route("**/calls/**", lambda route: held.append(route))
    asking(stub, watched, call(command=f"rm {BIG}", user=1234567890123456789))
    card = watched.locator(".approval")
    expect(card).to_contain_text("19 KB of the arguments not shown")
    expect(card.get_by_role("button", name="Approve")).to_be_disabled()
    expect(card.get_by_role("button", name="Deny")).to_be_enabled()
    card.press("a")
    held[0].continue_()
    expect(card.locator(".command")).to_have_text(f"rm {BIG}")
    expect(card).to_contain_text("1234567890123456789")
    assert stub.requests == [], "the key before it did nothing"
    card.press("a")
    assert stub.request()[1] == f"/api/runs/{RUN}/approvals/p"


def test_arguments_that_can_not_be_fetched_leave_the_approval_locked(stub: Stub, watched: Page) -> None:
    stub.trimmed = True
    asking(stub, watched, call(command=BIG))
    card = watched.locator(".approval")
    expect(card.locator(".omitted [role=alert]")).to_have_text("It is not stored any more.")
    expect(card.get_by_role("button", name="Approve")).to_be_disabled()


def test_question_that_was_cut_is_answered_when_it_was_read_whole(stub: Stub, watched: Page) -> None:
    long = "Is this right? " + "z" * 20_000
    asked: list[Step] = [
        ("approval-request", {"approval_id": f"p{at}", "question": long, "options": ["approve", "deny"]})
        for at in range(3)
    ]
    stub.append(log_of(*started(), *asked))
    assert any(one.get("omitted_bytes") for one in stub.state()["approvals"])
    watched.goto(stub.page_url)
    card = watched.locator(".approval").first
    expect(card.get_by_role("button", name="Approve")).to_be_disabled()
    card.get_by_role("button", name="Load").click()
    expect(card.locator(".approval-question")).to_have_text(long)
    expect(card.get_by_role("button", name="Approve")).to_be_enabled()


# Prompts --------------------------------------------------------------------------------------------------------------


def test_long_prompts_of_a_long_queue_can_be_read_whole(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    runs = [f"0193467e-7e2b-7d00-8a11-00000000020{n}" for n in range(4)]
    at = "2026-11-20T12:00:01.000000Z"

    def say(run: str, type_: str, **data: object) -> None:
        one = draft(type_, run, **data)
        stub.append([Event(one.type, AGENT, run, 1, stub.events[-1].seq + 1, at, one.data)])

    for run in runs:
        say(run, "message", message_id="u", role="user", content=f"{run[-1]} {BIG}")
        say(run, "status", status="queued")
    watched.goto(stub.page_url)
    row = watched.locator("#queue li").last
    expect(row.locator(".queue-text")).to_have_text(re.compile("^3 x{100,170}…$"))
    row.get_by_role("button", name="Show the whole prompt").click()
    expect(row.locator(".queue-text")).to_have_text(f"3 {BIG}")
    say(RUN, "done", status="completed")
    say(runs[3], "status", status="running")
    note = watched.locator(".message.user .omitted")
    expect(note).to_have_text(re.compile("^19 KB of the prompt not shown . Load"))
    note.get_by_role("button", name="Load").click()
    expect(watched.locator(".message.user .plain").last).to_have_text(f"3 {BIG}")
    expect(note).to_have_count(0)
