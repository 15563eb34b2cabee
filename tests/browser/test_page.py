"""The agent page against a stub of the site: what it shows of the log, and what its reader does with it."""

from __future__ import annotations

import json
import random
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import golden
from tests.browser.logs import AGENT, RUN, drawn, log_of, painted, settled, started, unrolled, words
from tests.browser.stub import Stub
from tests.browser.test_composer import queued
from tests.golden.test_golden import LOGS
from tests.nightly import examples
from tests.pages.hostile import HOSTILE

pytestmark = pytest.mark.browser
Data = dict[str, object]


# What is shown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_page_that_joined_anywhere_equals_page_that_was_loaded_at_the_end(stub: Stub, watched: Page, log) -> None:
    events = golden(log.stem)
    stub.append(events)
    watched.goto(stub.page_url)
    settled(watched, stub)
    unrolled(watched)
    at_the_end = drawn(watched)
    for cut in random.Random(3).sample(range(len(events)), min(examples(3), len(events))):
        stub.page_at = cut
        watched.goto(stub.page_url)
        settled(watched, stub)
        unrolled(watched)
        assert drawn(watched) == at_the_end, f"joined at {cut}"


def test_text_on_the_page_equals_text_in_the_log(stub: Stub, watched: Page) -> None:
    pieces = [f"word{number} " for number in range(500)]
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    for at in range(0, 500, 50):
        stub.append(log_of(*words(*pieces[at : at + 50]), after=stub.events[-1].seq))
    settled(watched, stub)
    assert watched.locator(".message.assistant .markdown").inner_text() == "".join(pieces).strip()


def test_numbers_that_no_double_holds_are_shown_as_they_were_written(stub: Stub, watched: Page) -> None:
    """Of whoever is deleted here somebody else would be shown, and approved."""
    user, amount = 1234567890123456789, 98765432109876543210
    call: Data = {"call_id": "c", "name": "delete_user", "arguments": {"user": user}}
    asked: Data = {"approval_id": "a", "call_id": "c", "question": "May I?", "options": ["approve", "deny"]}
    result: Data = {"call_id": "c", "result": {"left": [amount]}, "is_error": False}
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    stub.append(log_of(("tool-call", call), ("approval-request", asked), after=stub.events[-1].seq))
    expect(watched.locator(".approval")).to_contain_text(str(user))
    stub.append(log_of(("tool-result", result), after=stub.events[-1].seq))
    for _ in range(2):  # live, and from a snapshot
        settled(watched, stub)
        watched.locator(".tool:not([open]) summary").click()
        expect(watched.locator(".tool-about")).to_contain_text(str(user))
        expect(watched.locator(".tool .result")).to_contain_text(str(amount))
        watched.reload()


def test_nothing_an_agent_or_user_writes_runs_in_the_page(stub: Stub, watched: Page) -> None:
    steps = started("<script>alert('title')</script><img src=x onerror=alert(1)>")
    for at, text in enumerate(HOSTILE):
        steps += [
            ("text", {"message_id": f"m{at}", "content": text}),
            ("thinking", {"message_id": f"m{at}", "content": text}),
            (
                "tool-call",
                {"call_id": text[:200], "name": text[:200], "title": text, "arguments": {text: text, "x": [text]}},
            ),
            ("tool-output", {"call_id": text[:200], "content": text}),
            ("tool-result", {"call_id": text[:200], "result": {text: text}, "is_error": at % 2 == 0}),
            ("approval-request", {"approval_id": text[:200], "question": text, "options": [text]}),
            ("approval-request", {"approval_id": f"a{at}", "question": text, "options": [text]}),
            ("approval-response", {"approval_id": f"a{at}", "decision": text, "by": text[:200], "reason": text}),
            ("usage", {"model": text[:200], "input_tokens": 1, "output_tokens": 1}),
            ("files", {"changes": [{"path": text, "change": "added", "size": at}]}),
            ("log", {"content": text}),
            ("error", {"code": "x", "message": text}),
        ]
    steps += [("plan", {"entries": [{"content": text, "status": "pending", "priority": "high"} for text in HOSTILE]})]
    stub.append(log_of(*steps))
    stub.append(queued("\n".join(HOSTILE), after=len(stub.events)))
    stub.page_at = len(steps) // 2
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("for (const node of document.querySelectorAll('details')) node.open = true")
    painted(watched)
    assert watched.locator(":is(#conversation, #queue) :is(script, iframe, style, form, object, embed)").count() == 0


def test_ten_thousand_tool_calls_stay_few_nodes(stub: Stub, watched: Page) -> None:
    steps = started()
    for at in range(10_000):
        steps += [
            ("tool-call", {"call_id": f"c{at}", "name": "noop", "arguments": {"at": at}}),
            ("tool-result", {"call_id": f"c{at}", "result": at}),
        ]
    stub.append(log_of(*steps))
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert watched.locator(".tool").count() <= 150
    watched.locator(".tool").last.locator("summary").click()
    expect(watched.locator(".tool").last).to_contain_text("9999")


# What the reader does -------------------------------------------------------------------------------------------------


def test_enter_sends_and_shift_enter_makes_a_line(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    box = watched.get_by_label("Prompt")
    box.press_sequentially("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    box.press("Enter")
    expect(box).to_have_value("")
    method, path, body = stub.request()
    assert (method, path) == ("POST", f"/api/agents/{AGENT}/runs")
    assert json.loads(body) == {"input": "one\ntwo"}


def test_prompt_that_was_not_taken_stays_in_the_box(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    watched.route(
        "**/runs", lambda route: route.fulfill(status=409, json={"error": {"code": "x", "message": "Not now."}})
    )
    box = watched.get_by_label("Prompt")
    box.fill("precious words")
    box.press("Enter")
    expect(watched.locator("#prompt-error")).to_have_text("Not now.")
    expect(box).to_have_value("precious words")


def test_stop_asks_for_cancelling_the_active_run(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    watched.get_by_role("button", name="Stop").click()
    expect(watched.get_by_role("button", name="Stopping…")).to_be_disabled()
    assert stub.request()[:2] == ("POST", f"/api/runs/{RUN}/cancel")
    stub.append(log_of(("done", {"status": "cancelled"}), after=3))
    expect(watched.locator("#stop-button")).to_be_hidden()
    expect(watched.locator("#status")).to_have_text("cancelled")
    expect(watched).to_have_title(re.compile("^■ Go"))


def test_upload_sends_the_file_itself_and_says_that_it_arrived(stub: Stub, watched: Page) -> None:
    names = [f"b{number:02d}.txt" for number in range(30)]
    changes = [{"path": path, "change": "added", "size": 1} for path in names]
    stub.append(log_of(*started(), ("files", {"changes": changes})))
    watched.goto(stub.page_url)
    files = [{"name": "z b#1.csv", "mimeType": "text/csv", "buffer": b"x,y\n1,2\n"}]
    watched.locator("#upload-input").set_input_files(files)  # type: ignore[arg-type]
    row = watched.locator("#uploads li")
    expect(row).to_have_text("z b#1.csv8 B uploaded")
    expect(row.get_by_role("link")).to_have_attribute("href", f"/agents/{AGENT}/files/z%20b%231.csv")
    expect(watched.locator(".toast")).to_contain_text("z b#1.csv is uploaded.")
    assert stub.requests == [("PUT", f"/api/agents/{AGENT}/files/z%20b%231.csv", "x,y\n1,2\n")]
    arrived = [{"path": "z b#1.csv", "change": "added", "size": 8}]
    stub.append(log_of(("files", {"changes": arrived}), after=4))
    expect(watched.locator("#file-list .arrived")).to_be_in_viewport()


def test_programs_output_is_fetched_when_opened_and_goes_on(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), ("log", {"content": "first\n"})))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.locator("#program-output summary").click()
    expect(watched.locator("#program-output-text")).to_have_text("first")
    stub.append(log_of(("log", {"content": "\x1b[31msecond\x1b[0m"}), after=4))
    expect(watched.locator("#program-output-text .t-red")).to_have_text("second")
    expect(watched.locator("#program-output-text")).to_have_text("first\nsecond")


def test_page_follows_the_end_until_the_reader_scrolls_away(stub: Stub, watched: Page) -> None:
    paragraphs = [f"paragraph {n}\n\n" for n in range(80)]
    stub.append(log_of(*started(), *words(*paragraphs[:40])))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.get_by_text("paragraph 39", exact=True)).to_be_in_viewport()
    watched.evaluate("scrollTo(0, 200)")
    expect(watched.locator("#latest")).to_be_visible()
    stub.append(log_of(*words(*paragraphs[40:]), after=stub.events[-1].seq))
    settled(watched, stub)
    assert watched.evaluate("scrollY") == 200
    watched.locator("#latest").click()
    expect(watched.get_by_text("paragraph 79", exact=True)).to_be_in_viewport()
    expect(watched.locator("#latest")).to_be_hidden()


def test_nothing_jumps_while_an_answer_streams(stub: Stub, watched: Page) -> None:
    """Layout shift as Web Vitals count it; up to 0.1 is good."""
    stub.append(log_of(*started(), *words("# Title\n\nFirst. ")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("""() => {
        window.shifts = [];
        new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => shifts.push(value)))
            .observe({ type: "layout-shift", buffered: true });
    }""")
    for text in (
        "Some words. " * 20,
        "\n\n```python\nreturn 1\n",
        "return 2\n```\n\n",
        "| a | b |\n|--|--|\n",
        "| 1 | 2 |\n",
    ):
        stub.append(log_of(*words(text), after=len(stub.events)))
        settled(watched, stub)
    assert sum(watched.evaluate("shifts")) < 0.1


def test_page_prints_the_conversation(stub: Stub, watched: Page) -> None:
    stub.append(golden("one-run"))
    wide = f"```\n{'some code ' * 100}\n```\n\n| address |\n|---|\n| https://example.com/{'a' * 300} |\n"
    stub.append(log_of(*words(wide), after=len(stub.events)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("for (const node of document.querySelectorAll('details')) node.open = true")
    watched.emulate_media(media="print")
    expect(watched.locator(".markdown table").last).to_be_visible()
    for part in ("#composer", ".agent-side", "header.site", "#notify"):
        expect(watched.locator(part)).to_be_hidden()
    assert watched.locator(".copy:visible").count() == 0
    cut = "(nodes) => nodes.filter((node) => node.scrollWidth > node.clientWidth).map((node) => node.outerHTML)"
    assert watched.locator("pre:visible, .markdown table").evaluate_all(cut) == []


def test_card_that_the_reader_opened_stays_open(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), ("tool-call", {"call_id": "c", "name": "x", "arguments": {"a": "b"}})))
    watched.goto(stub.page_url)
    card = watched.locator(".tool")
    expect(card).to_have_attribute("open", "")
    stub.append(log_of(("tool-result", {"call_id": "c", "result": "ok", "duration_ms": 5}), after=4))
    expect(card).not_to_have_attribute("open", "")
    card.locator("summary").click()
    stub.append(log_of(*words("more"), after=5))
    settled(watched, stub)
    expect(card).to_have_attribute("open", "")
    expect(card.locator(".result")).to_have_text("ok")


def test_page_fits_a_phone(stub: Stub, watched: Page) -> None:
    stub.append(golden("one-run"))
    watched.set_viewport_size({"width": 320, "height": 740})
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert watched.evaluate("document.documentElement.scrollWidth") == 320


def test_a_phone_is_left_to_the_conversation_and_reads_what_it_chooses(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words("Much to say.\n\n" * 60)))
    watched.set_viewport_size({"width": 360, "height": 740})
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(watched.locator(".agent-meta")).not_to_be_in_viewport()
    expect(watched.locator("#status")).to_be_in_viewport()
    needed = """(node) => {
        const free = document.body.appendChild(node.cloneNode(true));
        free.style.font = getComputedStyle(node).font;
        free.style.padding = getComputedStyle(node).padding;
        const { width } = free.getBoundingClientRect();
        free.remove();
        return width;
    }"""
    strategy = watched.locator("#strategy")
    assert strategy.evaluate("(node) => node.getBoundingClientRect().width") >= strategy.evaluate(needed)


def test_a_page_with_little_on_it_does_not_scroll(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.set_viewport_size({"width": 1280, "height": 900})
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert watched.evaluate("document.documentElement.scrollHeight") == 900


def test_an_error_keeps_its_lines_and_a_long_one_its_place(stub: Stub, watched: Page) -> None:
    lines = [f"line {number}" for number in range(200)]
    stub.append(log_of(*started(), ("error", {"code": "x", "message": "\n".join(lines)})))
    watched.goto(stub.page_url)
    message = watched.locator(".run-error [dir]")
    expect(message).to_be_visible()
    assert message.inner_text().splitlines() == lines
    assert message.evaluate("(node) => node.getBoundingClientRect().height") < 300


def test_scripts_and_styles_stay_under_220_kilobytes(stub: Stub, watched: Page) -> None:
    """With what is loaded for colours only."""
    sizes: dict[str, int] = {}
    watched.on(
        "response",
        lambda response: sizes.update({response.url: len(response.body())}) if "/static/" in response.url else None,
    )
    stub.append(log_of(*started(), *words("```python\nreturn 1\n```\n")))
    watched.goto(stub.page_url)
    expect(watched.locator(".s-kwd")).to_have_text("return")
    assert 0 < sum(sizes.values()) < 220_000, sizes
