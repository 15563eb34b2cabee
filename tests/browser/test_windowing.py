"""What is mounted of a long conversation: few nodes, nothing lost, the focus never on nothing, and a search."""

from __future__ import annotations

import random

import pytest
from playwright.sync_api import Page, expect

from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, RUN, log_of, mounted, settled, started, still, words
from tests.browser.stub import Stub
from tests.browser.test_earlier import Step, paragraphs, shown

pytestmark = pytest.mark.browser
CODE = "\n".join(
    f"def function_{at}(x, y=None):\n    return [x * {at} for x in range({at})]  # why" for at in range(60)
)
TABLE = "| id | name | city | note |\n|--|--|--|--|\n" + "".join(f"| {at} | a | Berlin | `b` |\n" for at in range(2000))
LINE = " ".join(f"word{at}" for at in range(25_000))[:200_000]
NODES = "document.querySelectorAll('*').length"
LONGEST_TASK = """() => {
    window.tasks = [0];
    const add = ({ duration }) => tasks.push(duration);
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(add));
    observer.observe({ type: "longtask", buffered: true });
}"""


def runs(count: int) -> list[Event]:
    """A prompt and an answer each."""
    made: list[Event] = []
    for number in range(count):
        run = f"0193467e-7e2b-7d00-8a11-0000000005{number:02d}"
        steps: list[Step] = [
            ("message", {"message_id": "u", "role": "user", "content": f"Prompt {number}"}),
            ("status", {"status": "queued"}),
            ("status", {"status": "running"}),
            ("tool-call", {"call_id": "c", "name": "look", "arguments": {"at": number}}),
            ("tool-result", {"call_id": "c", "result": "ok"}),
            ("text", {"message_id": "m", "content": "Words.\n\n" * 20}),
            ("done", {"status": "completed"}),
        ]
        for type_, data in steps:
            one = draft(type_, run, **data)
            made.append(Event(one.type, AGENT, run, 1, len(made) + 1, "2026-11-20T12:00:00.000000Z", one.data))
    return made


def test_much_code_a_long_table_and_a_long_line_are_few_nodes_and_short_tasks(stub: Stub, watched: Page) -> None:
    code = [("text", {"message_id": f"m{at}", "content": f"{at}\n\n```python\n{CODE}\n```\n\n"}) for at in range(60)]
    stub.append(log_of(*started(), *code))  # type: ignore[arg-type]
    watched.add_init_script(f"({LONGEST_TASK})()")
    watched.goto(stub.page_url)
    settled(watched, stub)
    still(watched)
    assert watched.evaluate(NODES) < 2500
    heavy = f"{TABLE}\n\n{LINE}\n\n"
    pieces = [heavy[at : at + 4000] for at in range(0, len(heavy), 4000)]
    for at in range(0, len(pieces), 10):
        stub.append(log_of(*words(*pieces[at : at + 10]), after=stub.events[-1].seq))
        settled(watched, stub)
    expect(watched.get_by_role("button", name="Show more (1,950 rows")).to_be_visible()
    expect(watched.get_by_role("button", name="Show more (184 KB)")).to_be_visible()
    for _ in range(10):
        watched.evaluate("scrollBy(0, -2000)")
        still(watched)
        assert watched.evaluate(NODES) < 2500
    assert watched.evaluate("Math.max(...tasks)") < 1000, "the limit is 200 ms; this machine may be busy"


def test_pieces_of_a_long_block_end_as_the_block_that_arrives_whole(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    chance = random.Random(5)
    text = f"Before.\n\n```python\n{CODE}\n```\n\nBetween.\n\n{TABLE}\n{LINE[:40_000]}\n\n- a\n- b\n\n```\n{CODE}"
    cuts = sorted(chance.randrange(len(text)) for _ in range(60))
    wrong = watched.evaluate(
        """async ([text, cuts]) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            const { load } = await import("/static/agents/code.js");
            await load();
            const make = () => new Markdown(document.createElement("div"), "/files/");
            const [grown, wrong] = [make(), []];
            for (const cut of [...cuts, text.length]) {
                grown.update(text.slice(0, cut));
                const whole = make();
                whole.update(text.slice(0, cut));
                if (grown.root.innerHTML !== whole.root.innerHTML) wrong.push(cut);
            }
            for (const press of Array(20)) grown.root.querySelector(".show-all")?.click();
            const count = (what) => grown.root.querySelectorAll(what).length;
            return [wrong, count(".show-all"), count("tbody tr"), grown.root.textContent.includes(text.slice(-200))];
        }""",
        [text, cuts],
    )
    assert wrong == [[], 0, 2000, True]


def test_long_code_is_copied_whole(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words(f"```python\n{CODE}\n```\n\nEnd.")))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(watched.get_by_role("button", name="Show more (60 lines")).to_be_visible()
    watched.get_by_role("button", name="Copy code").click()
    expect(watched.locator(".copy")).to_have_attribute("data-copied", "")
    assert watched.evaluate("navigator.clipboard.readText()") == f"{CODE}\n"


def test_focus_and_what_was_opened_are_there_again_when_their_part_is(stub: Stub, watched: Page) -> None:
    call: Step = ("tool-call", {"call_id": "c", "name": "look", "arguments": {"a": "b"}})
    result: Step = ("tool-result", {"call_id": "c", "result": "seen"})
    stub.append(log_of(*started(), call, result, *paragraphs(0, 120)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("scrollTo(0, 0)")
    still(watched)
    summary = watched.locator(".tool summary")
    summary.press("Enter")
    expect(watched.locator(".tool .result")).to_have_text("seen")
    watched.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    still(watched)
    expect(watched.locator(".tool")).to_have_count(0)
    assert watched.evaluate("document.activeElement.className") == "far"
    watched.evaluate("scrollTo(0, 0)")
    still(watched)
    expect(watched.locator(".tool .result")).to_have_text("seen")
    expect(summary).to_be_focused()


def test_turns_are_a_list_that_says_how_many_there_are(stub: Stub, watched: Page) -> None:
    stub.append(runs(30))
    watched.goto(stub.page_url)
    settled(watched, stub)
    places = """() => [...document.querySelectorAll("#conversation > [role=listitem]")].map((node) => {
        return [node.ariaPosInSet, node.ariaSetSize, node.querySelector(".plain")?.textContent ?? ""];
    })"""
    for share in (1, 0.5, 0):
        watched.evaluate("(share) => scrollTo(0, share * document.documentElement.scrollHeight)", share)
        still(watched)
        found = watched.evaluate(places)
        assert 0 < len(found) < 20
        for place, total, prompt in found:
            assert total == "30"
            assert prompt in ("", f"Prompt {int(place) - 1}")
    expect(watched.locator("#conversation")).to_have_attribute("role", "list")


def test_reload_comes_back_to_the_place_of_a_reader_who_was_not_at_the_end(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 400)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    watched.evaluate("scrollTo(0, 9000)")
    still(watched)
    first = """() => {
        const nodes = [...document.querySelectorAll("#conversation .markdown p")];
        const node = nodes.find((one) => one.getBoundingClientRect().top > 0);
        return [node.textContent.slice(0, 8), Math.round(node.getBoundingClientRect().top)];
    }"""
    before = watched.evaluate(first)
    watched.reload()
    settled(watched, stub)
    still(watched)
    assert watched.evaluate(first) == before


def test_selection_is_not_taken_away(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 100)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    still(watched)
    last = "[99] lorem"
    watched.evaluate(
        "getSelection().selectAllChildren(document.querySelector('#conversation .markdown p:last-of-type'))"
    )
    for _ in range(4):
        watched.evaluate("scrollBy(0, -1500)")
        still(watched)
    assert watched.evaluate("getSelection().toString()").startswith("[")
    assert last in watched.locator("#conversation").inner_text()


def test_printing_mounts_all_that_is_here_and_goes_back(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *paragraphs(0, 150)))
    watched.goto(stub.page_url)
    settled(watched, stub)
    few = len(shown(watched))
    mounted(watched)
    assert shown(watched) == list(range(150))
    watched.evaluate("dispatchEvent(new Event('afterprint'))")
    still(watched)
    assert len(shown(watched)) <= few + 20


# Search ---------------------------------------------------------------------------------------------------------------


def test_search_finds_what_is_far_away_and_goes_there(stub: Stub, watched: Page) -> None:
    told = [*paragraphs(0, 200), *words("The needle is here.\n\n"), *paragraphs(200, 500)]
    stub.append(log_of(*started(), *told))
    watched.goto(stub.page_url)
    settled(watched, stub)
    pages = stub.pages()
    before, n = next(
        (cursor, part["n"])
        for cursor, page in pages.items()
        for entry in page["messages"]
        for part in entry["parts"]
        if "needle" in part.get("text", "")
    )
    match = {
        "n": n,
        "run_id": RUN,
        "role": "assistant",
        "type": "text",
        "before": before,
        "excerpt": "The needle is here.",
    }
    answers = {"": {"matches": [], "searched_to": "1-2.9"}, "1-2.9": {"matches": [match], "searched_to": None}}
    asked: list[str] = []

    def answer(route: object) -> None:
        url = route.request.url  # type: ignore[attr-defined]
        asked.append(url.partition("before=")[2])
        route.fulfill(json=answers[asked[-1]])  # type: ignore[attr-defined]

    watched.route("**/messages/search?*", answer)
    watched.get_by_role("button", name="Search").click()
    watched.get_by_role("searchbox").fill("needle")
    watched.get_by_role("searchbox").press("Enter")
    expect(watched.locator("#search [role=status]")).to_have_text("Nothing found so far.")
    watched.get_by_role("button", name="Search further back").click()
    expect(watched.locator("#search [role=status]")).to_have_text("1 place found.")
    watched.get_by_role("button", name="The needle is here.").click()
    expect(watched.get_by_text("The needle is here.", exact=True).last).to_be_in_viewport()
    watched.wait_for_function("() => CSS.highlights.get('found')")
    assert watched.evaluate("document.activeElement.textContent") == "The needle is here."
    assert watched.evaluate("[...CSS.highlights.get('found')].map(String)") == ["needle"]
    watched.get_by_role("searchbox").press("Escape")
    expect(watched.locator("#search")).to_be_hidden()
    expect(watched.get_by_role("button", name="Search")).to_be_focused()
