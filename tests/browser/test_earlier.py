"""Earlier messages: what has left the state is fetched or kept, in its order, and what a reader sees does not move."""

from __future__ import annotations

import random
import re

import pytest
from playwright.sync_api import Page, Route, expect

from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, RUN, drawn, log_of, mounted, painted, settled, started, still, unrolled, words
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
Data = dict[str, object]
Step = tuple[str, Data]
FILLER = "lorem ipsum " * 80
OTHER = "0193467e-7e2b-7d00-8a11-000000000102"


def paragraphs(first: int, end: int, per_message: int = 4) -> list[Step]:
    """About a kilobyte each."""
    return [
        ("text", {"message_id": f"m{at // per_message}", "content": f"[{at}] {FILLER}\n\n"}) for at in range(first, end)
    ]


def shown(page: Page) -> list[int]:
    """The paragraphs that are in the page, from above."""
    text = page.locator("#conversation").evaluate("(node) => node.textContent")
    return [int(found) for found in re.findall(r"\[(\d+)\]", text)]


def marked(page: Page) -> tuple[str, float]:
    """Scrolls to the top: the paragraph that stands there then, and where it stands."""
    page.evaluate("scrollTo(0, 0)")
    still(page)
    script = """() => {
        const nodes = [...document.querySelectorAll("#conversation .markdown p")];
        const node = nodes.find((one) => one.getBoundingClientRect().top > 0);
        return [node.textContent.slice(0, 8), node.getBoundingClientRect().top];
    }"""
    text, top = page.evaluate(script)
    return text, top


def top_of(page: Page, text: str) -> float:
    script = """(text) => [...document.querySelectorAll("#conversation .markdown p")]
        .find((node) => node.textContent.startsWith(text)).getBoundingClientRect().top"""
    top: float = page.evaluate(script, text)
    return top


# What is fetched ------------------------------------------------------------------------------------------------------


def test_all_of_it_comes_in_its_order_and_nothing_twice(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 700)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert len(shown(watched)) < 30
    unrolled(watched)
    assert shown(watched) == list(range(700))
    expect(watched.locator(".message.user")).to_have_text(re.compile("Go$"))
    assert stub.pages_asked == list(reversed(stub.pages()))


def test_scrolling_to_the_top_gets_the_page_before_and_moves_nothing(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 500)))
    held: list[Route] = []
    watched.route("**/messages?*", lambda route: held.append(route))
    watched.goto(stub.page_url)
    settled(watched, stub)
    for asked in range(3):
        text, top = marked(watched)
        assert len(held) == asked + 1
        first = shown(watched)[0]
        held[-1].continue_()
        watched.wait_for_function(
            f"() => !document.getElementById('conversation').textContent.includes('[{first}]')"
            f" || document.getElementById('conversation').textContent.includes('[{first - 1}]')"
        )
        still(watched)
        assert top_of(watched, text) == pytest.approx(top, abs=1)
    assert len(stub.pages_asked) == 3
    assert watched.evaluate("scrollY") > 1000


def test_short_conversation_is_not_asked_for_more_by_itself(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 20), ("done", {"status": "completed"}), ("clear", {"by": "ada"})))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator("#earlier button")).to_be_visible()
    expect(watched.locator("#nothing")).to_be_hidden()
    painted(watched)
    assert stub.pages_asked == []


def test_page_that_can_not_be_had_says_so_and_can_be_tried_again(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 300)))
    stub.fail_pages = 1
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("scrollTo(0, 0)")
    expect(watched.locator("#earlier [role=alert]")).to_have_text("Not now.")
    watched.get_by_role("button", name="Try again").click()
    expect(watched.locator("#earlier")).to_be_hidden()
    mounted(watched)
    assert shown(watched) == list(range(300))


# What stays -----------------------------------------------------------------------------------------------------------


def test_what_a_reader_has_on_screen_stays_when_it_leaves_the_state(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 150)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    text, top = marked(watched)
    expect(watched.locator("#latest")).to_be_visible()
    for first in range(150, 650, 100):
        stub.append(log_of(*paragraphs(first, first + 100), after=stub.events[-1].seq))
        settled(watched, stub)
        assert top_of(watched, text) == pytest.approx(top, abs=1)
    mounted(watched)
    assert top_of(watched, text) == pytest.approx(top, abs=1)
    assert shown(watched) == list(range(650))
    assert stub.pages_asked == []


@pytest.mark.long
def test_reader_at_the_end_has_a_bounded_page(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    for first in range(0, 1500, 300):
        stub.append(log_of(*paragraphs(first, first + 300), after=stub.events[-1].seq))
        settled(watched, stub)
    still(watched)
    assert len(shown(watched)) < 30
    mounted(watched)
    held = shown(watched)
    assert held == list(range(1500 - len(held), 1500))
    assert len(held) < 700
    unrolled(watched)
    assert shown(watched) == list(range(1500))


def test_hidden_tab_whose_reader_was_at_the_end_holds_few_pages(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    held = watched.evaluate(
        """async () => {
            const { Past } = await import("/static/agents/past.js");
            const kept = (isAtEnd) => {
                const past = new Past({});
                for (let at = 0; at < 100; at++) past.keep({ before: `1-${at}`, messages: [], earlier: null }, isAtEnd);
                return [past.pages.length, past.pages.at(-1).before];
            };
            return [kept(true), kept(false)];
        }"""
    )
    assert held == [[4, "1-99"], [100, "1-99"]]


def test_reader_keeps_the_place_over_a_reset(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 150)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    text, top = marked(watched)
    expect(watched.locator("#latest")).to_be_visible()
    with stub.changed:
        stub.reset = True
        stub.events.extend(log_of(*paragraphs(150, 600), after=stub.events[-1].seq))
    stub.cut()
    settled(watched, stub)
    watched.wait_for_function("() => document.documentElement.scrollHeight > 100_000")
    mounted(watched)
    assert top_of(watched, text) == pytest.approx(top, abs=1)
    assert shown(watched) == list(range(600))


def test_card_that_the_reader_opened_stays_open_when_its_message_gets_a_beginning(stub: Stub, watched: Page) -> None:
    call: list[Step] = [
        ("tool-call", {"call_id": "c", "name": "x", "arguments": {"a": "b"}}),
        ("tool-result", {"call_id": "c", "result": "ok"}),
    ]
    long = paragraphs(0, 400, per_message=1000)
    stub.append(log_of(*started(), *long[:300], *call, *long[300:]))
    watched.goto(stub.page_url)
    settled(watched, stub)
    mounted(watched)
    watched.locator(".tool summary").click()
    expect(watched.locator(".message.assistant")).to_have_count(1)
    unrolled(watched)
    assert shown(watched) == list(range(400))
    expect(watched.locator(".message.assistant")).to_have_count(1)
    expect(watched.locator(".tool")).to_have_attribute("open", "")


def long_life(chance: random.Random) -> list[Event]:
    """Runs that talk, think and call, with a server that stays up, prompts that are handed over and half a megabyte."""
    made: list[Event] = []

    def say(run: str, type_: str, **data: object) -> None:
        one = draft(type_, run, **data)
        seq = len(made) + 1
        at = f"2026-11-20T{12 + seq // 3600:02d}:{seq // 60 % 60:02d}:{seq % 60:02d}.000000Z"
        made.append(Event(one.type, AGENT, run, 1, seq, at, one.data))

    for number in range(5):
        run = f"0193467e-7e2b-7d00-8a11-0000000003{number:02d}"
        say(run, "message", message_id="u", role="user", content=f"Prompt {number}")
        say(run, "status", status="queued")
        say(run, "status", status="running")
        say(run, "tool-call", call_id="server", name="serve", arguments={"port": number})
        for at in range(60):
            kind = chance.choice(["text", "text", "thinking"])
            end = chance.choice(["", "\n\n"])
            say(run, kind, message_id=f"m{at // 20}", content=f"[{number}.{at}] {FILLER}{end}")
            if at % 3 == 0:
                say(run, "tool-call", call_id=f"c{at}", name="noop", arguments={"at": at})
                say(run, "tool-result", call_id=f"c{at}", result="x" * chance.randrange(3000))
            if at == 30:
                steering = f"0193467e-7e2b-7d00-8a11-0000000004{number:02d}"
                say(steering, "message", message_id="s", role="user", content="Keep it short.")
                say(steering, "status", status="queued")
                say(steering, "status", status="completed", into=run)
                say(steering, "done", status="completed")
        say(run, "done", status="completed")
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_page_that_joined_anywhere_and_was_scrolled_equals_page_that_was_loaded_at_the_end(
    stub: Stub, watched: Page, seed: int
) -> None:
    chance = random.Random(seed)
    events = long_life(chance)
    stub.append(events)
    watched.goto(stub.page_url)
    settled(watched, stub)
    unrolled(watched)
    at_the_end = drawn(watched)
    assert len(stub.pages_asked) > 2
    cut = chance.randrange(50, len(events) - 50)
    stub.events[:] = events[:cut]
    watched.goto(stub.page_url)
    settled(watched, stub)
    for part in (events[cut : (cut + len(events)) // 2], events[(cut + len(events)) // 2 :]):
        watched.evaluate("(share) => scrollTo(0, share * document.documentElement.scrollHeight)", chance.random())
        stub.append(part)
        settled(watched, stub)
    unrolled(watched)
    assert drawn(watched) == at_the_end, f"joined at {cut}"


def test_at_random_places_the_page_shows_the_conversation_that_is_there(stub: Stub, watched: Page) -> None:
    """Scrolled anywhere, while more comes: what is mounted is one stretch of all, and it fills the screen."""
    chance = random.Random(4)
    stub.append(log_of(*started(), *paragraphs(0, 600)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    is_filled = """() => [...document.querySelectorAll(".far")].every((node) => {
        const { top, bottom, height } = node.getBoundingClientRect();
        return height === 0 || bottom <= 0 || top >= innerHeight;
    })"""
    total, places = 600, set()
    for _ in range(12):
        if chance.random() < 0.5:
            watched.evaluate("(share) => scrollTo(0, share * document.documentElement.scrollHeight)", chance.random())
        else:
            watched.mouse.move(400, 300)
            watched.mouse.wheel(0, chance.choice([-700, 700, -3000, 3000]))
        still(watched)
        if chance.random() < 0.3:
            stub.append(log_of(*paragraphs(total, total + 10), after=stub.events[-1].seq))
            total += 10
            settled(watched, stub)
            still(watched)
        held = shown(watched)
        assert held == list(range(held[0], held[0] + len(held)))
        assert len(held) < 60
        assert watched.evaluate(is_filled)
        places.add(held[0])
    assert len(places) > 6
    watched.locator("#latest").click()
    still(watched)
    assert shown(watched)[-1] == total - 1


def test_reader_who_scrolls_line_by_line_sees_every_line_once(stub: Stub, watched: Page) -> None:
    """What is mounted above does not push what is read, and what is unmounted below comes back."""
    stub.append(log_of(*started(), *paragraphs(0, 150)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    still(watched)
    script = """async (step) => {
        const tops = () => new Map([...document.querySelectorAll("#conversation .markdown p")].map((node) => {
            return [node.textContent.slice(0, 6), node.getBoundingClientRect().top];
        }));
        const jumps = [];
        for (let at = 0; at < 60; at++) {
            const [before, y] = [tops(), scrollY];
            scrollBy(0, step);
            const moved = scrollY - y;
            for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
            const kept = [...tops()].filter(([text]) => before.has(text));
            const off = kept.map(([text, top]) => Math.abs(before.get(text) - moved - top));
            if (!kept.length || Math.max(...off) > 1) jumps.push([at, kept.length, ...off]);
        }
        return jumps;
    }"""
    assert watched.evaluate(script, -400) == []
    assert watched.evaluate(script, 400) == []


# How it is put together -----------------------------------------------------------------------------------------------


def test_text_that_was_cut_into_parts_is_one_text(stub: Stub, watched: Page) -> None:
    lines = [f"line {at} {FILLER}" for at in range(120)]
    code = "\n".join(lines)
    stub.append(log_of(*started(), *words(f"```\n{code}\n```\n\nThe end."), *paragraphs(0, 170, per_message=1000)))
    assert 1 < stub.state()["messages"][0]["parts"][0]["n"] <= 5, "a part of it has left"
    watched.goto(stub.page_url)
    settled(watched, stub)
    unrolled(watched)
    answer = watched.locator(".message.assistant").first
    expect(answer.locator(".part")).to_have_count(1)
    more = answer.get_by_role("button", name="Show more")
    expect(more).to_have_text("Show more (114 lines, 110 KB)")
    while more.count():
        more.click()
    assert answer.locator("pre").inner_text().rstrip("\n") == code
    expect(answer.locator("p").last).to_have_text("The end.")


def test_call_that_stays_open_stands_where_it_began(stub: Stub, watched: Page) -> None:
    call: Step = ("tool-call", {"call_id": "c", "name": "server", "arguments": {}})
    stub.append(log_of(*started(), *words("Before."), call, *paragraphs(0, 300)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    unrolled(watched)
    order = watched.locator(".part").evaluate_all("(nodes) => nodes.map((node) => node.className)")
    assert order[:3] == ["part plain", "part markdown", "part call"]
    assert shown(watched) == list(range(300))


def test_clearing_leaves_a_line_between_what_was_and_what_comes(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words("Old words."), ("done", {"status": "completed"}), ("clear", {"by": "ada"})))
    made = [
        draft("message", OTHER, message_id="u", role="user", content="Anew."),
        draft("status", OTHER, status="queued"),
        draft("status", OTHER, status="running"),
    ]
    at = "2026-11-20T12:00:01.000000Z"
    stub.append(Event(one.type, AGENT, OTHER, 1, seq, at, one.data) for seq, one in enumerate(made, 7))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator(".message")).to_have_text([re.compile("Anew.$")])
    expect(watched.locator(".cleared")).to_have_count(0)
    watched.get_by_role("button", name="Earlier messages").click()
    expect(watched.locator(".cleared")).to_have_text("The conversation begins anew here")
    order = "(nodes) => nodes.map((node) => node.className)"
    assert watched.locator("#conversation > *").evaluate_all(order) == ["turn", "cleared", "turn"]
    one = draft("text", OTHER, message_id="m", content="New words.")
    stub.append([Event(one.type, AGENT, OTHER, 1, 10, at, one.data)])
    settled(watched, stub)
    assert watched.locator("#conversation > *").evaluate_all(order) == ["turn", "cleared", "turn"]


def test_steering_prompt_stands_where_it_was_taken_and_is_no_run(stub: Stub, watched: Page) -> None:
    into: Data = {"status": "completed", "reason": "handed to another run", "into": RUN}
    steering: list[Step] = [
        ("message", {"message_id": "s", "role": "user", "content": "Keep it short."}),
        ("status", {"status": "queued"}),
    ]
    stub.append(log_of(*started(), *words("I begin.")))
    watched.goto(stub.page_url)
    seconds = {OTHER: 5, RUN: 1}  # the log's order counts, not clocks, which may differ

    def say(run: str, *steps: Step) -> None:
        made = [draft(type_, run, **data) for type_, data in steps]
        after, at = stub.events[-1].seq, f"2026-11-20T12:00:0{seconds[run]}.000000Z"
        stub.append(Event(one.type, AGENT, run, 1, seq, at, one.data) for seq, one in enumerate(made, after + 1))

    say(OTHER, *steering)
    expect(watched.locator("#queue li")).to_have_count(1)
    say(OTHER, ("status", into), ("done", {"status": "completed"}))
    say(RUN, *words("Short."), ("done", {"status": "completed"}))
    settled(watched, stub)
    expect(watched.locator(".turn")).to_have_count(1)
    assert watched.locator(".part").all_inner_texts() == ["Go", "I begin.", "Keep it short.", "Short."]
    expect(watched.locator(".steering")).to_have_count(1)
    expect(watched.locator(f"#run-{OTHER} .steering")).to_have_text("Steering prompt")
    expect(watched.locator("#run-list li")).to_have_count(1)
    expect(watched.locator("#run-list li").first).to_contain_text("Run 1")
