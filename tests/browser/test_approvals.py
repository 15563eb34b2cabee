"""Questions of a program, answered on the agent page: what is asked, by mouse and keyboard, and what is left of it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.logs import RUN, log_of, settled, started, words
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
EDIT: dict[str, object] = {"path": "src/app.py", "old": "a = 1\nb = 2\n", "new": "a = 1\nb = 22\n"}
Steps = list[tuple[str, dict[str, object]]]


def asked(name: str = "bash", arguments: dict[str, object] | None = None, **question: object) -> Steps:
    given = arguments or {"command": "rm -rf build"}
    return [
        *started(),
        ("tool-call", {"call_id": "c", "name": name, "arguments": given}),
        ("approval-request", {"approval_id": "p/1", "call_id": "c", "question": "May it?", **question}),
        ("status", {"status": "waiting"}),
    ]


def decision(stub: Stub) -> dict[str, str]:
    method, path, body = stub.request()
    assert (method, path) == ("POST", f"/api/runs/{RUN}/approvals/p%2F1")
    sent: dict[str, str] = json.loads(body)
    return sent


def answered(**answer: str) -> tuple[str, dict[str, object]]:
    return "approval-response", {"approval_id": "p/1", "by": "ada", **answer}


# What is asked --------------------------------------------------------------------------------------------------------


def test_card_shows_the_command_as_it_will_be_run(stub: Stub, watched: Page) -> None:
    command = "echo \u202eexe.jpg && rm -rf build\n# " + "x" * 15_000
    stub.append(log_of(*asked(arguments={"command": command})))
    watched.goto(stub.page_url)
    shown = watched.locator(".approval .command")
    expect(shown).to_have_text(command.replace("\u202e", "⟨U+202E⟩"))
    watched.locator(".tool summary").click()
    expect(watched.locator(".tool .command")).to_have_text(re.compile("^echo ⟨U\\+202E⟩exe.jpg"))


def test_card_shows_the_diff_of_an_edit(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked("edit_file", EDIT)))
    watched.goto(stub.page_url)
    lines = watched.locator(".approval .diff span")
    expect(lines).to_have_text([" a = 1", "-b = 2", "+b = 22"])
    expect(watched.locator(".approval .removed")).to_have_text("-b = 2")
    expect(watched.locator(".approval .diff-path")).to_have_text("src/app.py")


def test_what_is_too_long_to_be_shown_is_said_and_can_be_had(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked(arguments={"command": "x" * 200_100})))
    watched.goto(stub.page_url)
    card = watched.locator(".approval")
    expect(card).to_contain_text("… 100 more characters")
    card.get_by_role("button", name="Show all 200 KB").click()
    assert len(card.locator(".command").inner_text()) == 200_100
    expect(card).not_to_contain_text("more characters")


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": "x" * 200_100},
        {"command": "ls", "more": "x" * 200_100},
        {"path": "a", "content": "x\n" * 4_100},
    ],
)
def test_only_what_is_shown_whole_can_be_approved(stub: Stub, watched: Page, arguments: dict[str, object]) -> None:
    stub.append(log_of(*asked(arguments=arguments, options=["approve", "later", "deny"])))
    watched.goto(stub.page_url)
    for name, is_possible in (("Approve", False), ("Later", False), ("Deny", True)):
        expect(watched.get_by_role("button", name=name, exact=True)).to_be_enabled(enabled=is_possible)
    expect(watched.locator(".approval")).to_contain_text("Show all of it before you approve it.")
    watched.locator(".approval").focus()
    watched.keyboard.press("a")
    watched.get_by_role("button", name=re.compile("^Show all")).click()
    expect(watched.locator(".approval")).not_to_contain_text("before you approve")
    watched.get_by_role("button", name="Approve", exact=True).click()
    assert decision(stub) == {"decision": "approve"}, "the key before it did nothing"


def test_approval_that_failed_leaves_what_is_not_shown_whole_locked(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked(arguments={"command": "x" * 200_100})))
    watched.goto(stub.page_url)
    watched.route("**/approvals/**", lambda route: route.abort())
    watched.get_by_role("button", name="Deny").click()
    expect(watched.locator(".approval .field-error")).not_to_be_empty()
    expect(watched.get_by_role("button", name="Deny")).to_be_enabled()
    expect(watched.get_by_role("button", name="Approve")).to_be_disabled()


def test_call_that_comes_after_its_question_can_be_approved_when_it_is_shown(stub: Stub, watched: Page) -> None:
    ask, call = asked()[4], asked()[3]
    stub.append(log_of(*started(), ask))
    watched.goto(stub.page_url)
    expect(watched.locator(".approval")).to_contain_text("What it would do is not known yet")
    expect(watched.get_by_role("button", name="Approve")).to_be_disabled()
    expect(watched.get_by_role("button", name="Deny")).to_be_enabled()
    stub.append(log_of(call, after=4))
    expect(watched.locator(".approval .command")).to_have_text("rm -rf build")
    expect(watched.get_by_role("button", name="Approve")).to_be_enabled()


def test_call_says_that_it_waits_and_not_that_it_runs(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked()[:4]))
    watched.goto(stub.page_url)
    tool = watched.locator(".tool")
    expect(tool.locator(".tool-state")).to_have_text("running")
    stub.append(log_of(*asked()[4:], after=4))
    expect(tool.locator(".tool-state")).to_have_text("waiting for you")
    expect(tool).to_have_attribute("data-state", "waiting")
    expect(tool).not_to_have_attribute("open", "")
    stub.append(log_of(answered(decision="approve"), after=6))
    expect(tool.locator(".tool-state")).to_have_text("running")
    expect(tool).to_have_attribute("open", "")


# Answering ------------------------------------------------------------------------------------------------------------


def test_approval_is_answered_with_one_of_its_options(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked(options=["Allow once", "Reject", "Something else"])))
    watched.goto(stub.page_url)
    watched.get_by_role("button", name="Something else").click()
    assert decision(stub) == {"decision": "Something else"}
    expect(watched.get_by_role("button", name="Reject")).to_be_disabled()
    stub.append(log_of(answered(decision="Something else", reason="because"), after=6))
    expect(watched.locator(".approval")).to_have_count(0)
    expect(watched.locator(".answered")).to_contain_text("Something else, by ada: because")


def test_option_is_read_as_words_and_answered_as_it_was_asked(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked(options=["approve_always", "reject-once"])))
    watched.goto(stub.page_url)
    expect(watched.locator(".approval button")).to_have_text(["Approve always", "Reject once"])
    watched.get_by_role("button", name="Approve always").click()
    assert decision(stub) == {"decision": "approve_always"}


def test_reason_goes_along(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked()))
    watched.goto(stub.page_url)
    watched.get_by_label("Reason").fill("not a day for d and a")
    watched.get_by_role("button", name="Deny").click()
    assert decision(stub) == {"decision": "deny", "reason": "not a day for d and a"}


@pytest.mark.parametrize(("key", "wanted"), [("a", "approve"), ("d", "deny")])
def test_focused_card_is_answered_by_a_key(stub: Stub, watched: Page, key: str, wanted: str) -> None:
    stub.append(log_of(*asked()))
    watched.goto(stub.page_url)
    watched.locator(".approval").focus()
    watched.keyboard.press(key)
    assert decision(stub) == {"decision": wanted}


def test_card_takes_no_focus_and_no_key_that_was_meant_for_something_else(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    box = watched.get_by_label("Prompt")
    box.focus()
    stub.append(log_of(*asked()[3:], after=3))
    expect(watched.locator(".approval")).to_be_visible()
    watched.keyboard.type("add a d")
    expect(box).to_have_value("add a d")
    watched.get_by_label("Reason").fill("")
    watched.get_by_label("Reason").press_sequentially("ad")
    watched.locator(".approval").press("Control+a")
    assert stub.requests == []


def test_answer_that_was_refused_says_so_and_can_be_given_again(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked()))
    watched.goto(stub.page_url)
    refusal = {"error": {"code": "already-answered", "message": "Somebody was first."}}
    watched.route("**/approvals/**", lambda route: route.fulfill(status=409, json=refusal))
    watched.get_by_role("button", name="Approve").click()
    expect(watched.locator(".approval [role=alert]")).to_have_text("Somebody was first.")
    expect(watched.get_by_role("button", name="Approve")).to_be_enabled()


def test_typed_reason_and_focus_survive_what_streams_meanwhile(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked()))
    watched.goto(stub.page_url)
    watched.get_by_label("Reason").press_sequentially("half a ")
    stub.append(log_of(*words("something ", "else"), ("usage", USAGE), after=6))
    settled(watched, stub)
    watched.keyboard.type("reason")
    expect(watched.get_by_label("Reason")).to_have_value("half a reason")


USAGE: dict[str, object] = {"model": "m", "input_tokens": 1, "output_tokens": 1}

# What is left ---------------------------------------------------------------------------------------------------------


def test_answered_question_folds_up_and_says_who_when_and_why(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked(), answered(decision="deny", reason="Friday")))
    watched.goto(stub.page_url)
    folded = watched.locator(".answered")
    expect(folded.locator("summary")).to_have_text("Question answered: deny")
    folded.locator("summary").click()
    expect(folded.locator("li")).to_contain_text("May it? deny, by ada: Friday")
    expect(folded.locator("time")).to_have_attribute("datetime", "2026-11-20T12:00:00.000000Z")


def test_question_of_a_run_that_is_over_waits_for_nobody(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*asked()))
    watched.goto(stub.page_url)
    expect(watched.locator(".approval")).to_be_visible()
    stub.append(log_of(("done", {"status": "cancelled"}), after=6))
    expect(watched.locator(".approval")).to_have_count(0)
    expect(watched.locator(".answered summary")).to_have_text("Question answered: by nobody")


def test_waiting_shows_in_the_tab_and_is_read_out_once(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    settled(watched, stub)
    plain = watched.locator("link[rel=icon]").get_attribute("href")
    expect(watched.locator("#news")).to_have_text("")
    stub.append(log_of(*asked()[3:], after=3))
    expect(watched).to_have_title(re.compile("^\\? Waiting: Go"))
    expect(watched.locator("#news")).to_have_text("Approval needed")
    assert watched.locator("link[rel=icon]").get_attribute("href") != plain


def test_hidden_page_sends_a_notification_where_the_reader_wants_one(stub: Stub, watched: Page) -> None:
    watched.context.grant_permissions(["notifications"], origin=stub.url)
    watched.add_init_script(
        """window.sent = [];
        window.Notification = class { constructor(...given) { window.sent.push(given); }
            static permission = "granted"; static requestPermission = async () => "granted"; };
        window.away = false;
        Object.defineProperty(document, "hidden", { get: () => window.away });"""
    )
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    settled(watched, stub)
    button = watched.get_by_role("button", name="Notify me")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    stub.append(log_of(*asked()[3:], after=3))
    expect(watched.locator("#news")).to_have_text("Approval needed")
    assert watched.evaluate("sent") == [], "the reader is looking"
    watched.evaluate("away = true")
    done: Steps = [("status", {"status": "running"}), ("done", {"status": "completed"})]
    stub.append(log_of(answered(decision="deny"), *done, after=6))
    expect(watched.locator("#news")).to_have_text("Run completed")
    assert [given[0] for given in watched.evaluate("sent")] == ["Run completed"]
