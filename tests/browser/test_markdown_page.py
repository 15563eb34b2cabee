"""Answers on the page: code with its language, colours and a copy button, steady while it streams; wide things."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.logs import log_of, settled, started, words
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
LINE = "    total = total + rows[index]  # one more\n"
PROGRAM = '```Python\ndef count(rows):\n    """Adds them <b>up</b>."""\n' + LINE * 120 + "    return 'total'\n```\n"
HOSTILE_CODE = ["/*", "|\n", " ", "\t", "'", '"', "`", "${", "$(", "a-", "<a b='", "\\", "{", "f'''", "a=", "1e", "/"]


def test_code_shows_its_language_and_colours_and_is_copied_as_it_was_written(stub: Stub, watched: Page) -> None:
    watched.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stub.url)
    stub.append(log_of(*started(), *words(PROGRAM)))
    watched.goto(stub.page_url)
    block = watched.locator(".code")
    expect(block.locator("pre")).to_have_attribute("data-language", "python")
    expect(block.locator(".s-kwd").first).to_have_text("def")
    expect(block.locator(".s-cmnt").first).to_have_text('"""Adds them <b>up</b>."""')
    block.get_by_role("button", name="Copy code").click()
    expect(block.locator("[data-copied]")).to_be_visible()
    assert watched.evaluate("navigator.clipboard.readText()") == PROGRAM.split("\n", 1)[1].removesuffix("```\n")


def test_code_is_copied_where_there_is_no_clipboard(stub: Stub, watched: Page) -> None:
    """Plain HTTP on a local network: the code is selected, and copied as a key would."""
    watched.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    stub.append(log_of(*started(), *words("```\nx = 1\n```\n")))
    watched.goto(stub.page_url)
    watched.get_by_role("button", name="Copy code").click()
    expect(watched.locator("[data-copied]")).to_be_visible()
    assert watched.evaluate("getSelection().toString()").strip() == "x = 1"


def test_code_keeps_what_stands_above_its_end_while_it_streams(stub: Stub, watched: Page) -> None:
    half = len(PROGRAM) // 2
    stub.append(log_of(*started(), *words(PROGRAM[:half])))
    watched.goto(stub.page_url)
    expect(watched.locator(".s-kwd").first).to_have_text("def")
    watched.evaluate(
        """() => {
            window.kept = document.querySelector(".code .s-kwd");
            window.pre = document.querySelector(".code pre");
            window.button = document.querySelector(".copy");
            button.focus();
            getSelection().selectAllChildren(kept);
        }"""
    )
    pieces = [PROGRAM[at : at + 50] for at in range(half, len(PROGRAM), 50)]
    stub.append(log_of(*words(*pieces), after=4))
    settled(watched, stub)
    assert watched.evaluate("kept.isConnected && pre.isConnected && document.activeElement === button")
    assert watched.evaluate("getSelection().toString()") == "def"
    more = watched.get_by_role("button", name="Show more")
    while more.count():
        more.click()
    text = watched.locator(".code code").evaluate("(node) => node.textContent")
    assert text == PROGRAM.split("\n", 1)[1].removesuffix("```\n")


def test_coloured_code_that_arrives_in_pieces_ends_as_code_that_arrives_whole(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    wrong = watched.evaluate(
        """async (text) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            await (await import("/static/agents/code.js")).load();
            const make = () => new Markdown(document.createElement("div"), "/files/");
            const grown = make();
            for (let end = 0; end <= text.length; end += 97) {
                grown.update(text.slice(0, end));
                const whole = make();
                whole.update(text.slice(0, end));
                if (grown.root.innerHTML !== whole.root.innerHTML) return text.slice(0, end);
            }
            return grown.root.querySelector(".s-kwd") ? null : "no colours";
        }""",
        f"Look:\n\n{PROGRAM}\nand\n\n```sh\nls -l | wc\n```\n",
    )
    assert wrong is None


@pytest.mark.parametrize("language", ["bash", "css", "diff", "js", "json", "py", "toml", "yaml"])
def test_hostile_code_is_coloured_soon(stub: Stub, watched: Page, language: str) -> None:
    """20,000 characters of each, as lines of 290: longer ones are not coloured."""
    lines = [(seed * 290)[:290].replace("\n", " ") + "\n" for seed in HOSTILE_CODE]
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    slowest = watched.evaluate(
        """async ([language, lines]) => {
            const { Code, load } = await import("/static/agents/code.js");
            await load();
            const times = lines.map((line) => {
                const began = performance.now();
                new Code({ text: line.repeat(70), lang: language });
                return performance.now() - began;
            });
            return Math.max(...times);
        }""",
        [language, lines],
    )
    assert slowest < 5000


def test_what_stands_on_a_block_of_code_covers_none_of_it(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), *words(f"```python\n{'x' * 1000}\n```\n")))
    watched.set_viewport_size({"width": 360, "height": 740})
    watched.goto(stub.page_url)
    settled(watched, stub)
    boxes = [watched.locator(part).bounding_box() for part in (".copy", ".code code")]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


def test_each_paragraph_has_the_direction_of_its_words(stub: Stub, watched: Page) -> None:
    stub.append(
        log_of(*started(), *words("One.\n\n\u05e9\u05ea\u05d9\u05d9\u05dd.\n\n- three\n- \u05d0\u05e8\u05d1\u05e2\n"))
    )
    watched.goto(stub.page_url)
    settled(watched, stub)
    starts_right = """(nodes) => nodes.map((node) => {
        const words = document.createRange();
        words.selectNodeContents(node);
        const [inner, outer] = [words.getBoundingClientRect(), node.getBoundingClientRect()];
        return outer.right - inner.right < inner.left - outer.left;
    })"""
    assert watched.locator(".markdown :is(p, li)").evaluate_all(starts_right) == [False, True, False, True]


def test_wide_code_and_tables_scroll_in_themselves(stub: Stub, watched: Page) -> None:
    row = "| " + " | ".join(f"column-{n}" for n in range(40)) + " |\n"
    table = row + "|" + "---|" * 40 + "\n" + row
    stub.append(log_of(*started(), *words(f"```js\n{'x' * 1000}\n```\n\n{table}")))
    watched.set_viewport_size({"width": 320, "height": 740})
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert watched.evaluate("document.documentElement.scrollWidth") == 320
    for part in (".markdown table", ".code pre"):
        assert watched.locator(part).evaluate("(node) => node.scrollWidth > node.clientWidth && node.tabIndex === 0")


def test_images_come_from_the_workspace_or_not_at_all(stub: Stub, watched: Page) -> None:
    text = "![mine](chart.svg) ![theirs](https://example.com/pixel.gif) ![out](../../../admin/x.png)"
    stub.append(log_of(*started(), *words(text)))
    watched.goto(stub.page_url)
    image = watched.locator(".markdown img")
    expect(image).to_have_count(1)
    expect(image).to_have_attribute("src", re.compile(r"/files/chart\.svg$"))
    expect(watched.locator(".left-out")).to_have_text(["[image: theirs]", "[image: out]"])
