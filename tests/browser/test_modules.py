"""The page's modules in a real browser: safe, and fast enough on hostile text."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from agents.pages import markdown
from agents.workspace.paths import escape
from tests.browser.stub import Stub
from tests.pages.hostile import DEEP, HOSTILE
from tests.pages.test_measures import DURATIONS, SIZES

pytestmark = pytest.mark.browser
HERE = Path(__file__).resolve().parent
PROSE = """# Title *with* `code`

A paragraph with **bold**, a [link](report.md), a [reference][r], ~~gone~~ and &copy; 2026.
Second line  \nafter a hard break.

- one
- two
  1. nested
  2. list

  with a paragraph
- [x] done

| a | b |
|:--|--:|
| 1 | `x` |

```py
def f(x):

    return x < 1
```

    indented

> quote
> ## with a heading

![chart](charts/x.svg)

Setext
======

[r]: https://example.com "title"

Last words\r\nwith other line ends.
"""


@pytest.fixture
def modules(stub: Stub, page: Page) -> Iterator[Page]:
    """A page of the stub's origin, under the real policy, that can import the modules."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"a script ran: {dialog.message}"))
    page.goto(stub.page_url)
    yield page
    assert errors == []


ALLOWED = (
    "h1 h2 h3 h4 h5 h6 p blockquote pre hr br ul ol li table thead tbody tr th td a img em strong del code span "
    "div button"  # around code, to copy it
)


def test_hostile_markdown_gets_only_harmless_nodes(modules: Page) -> None:
    problems = modules.evaluate(
        r"""async ([texts, tags]) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            const allowed = new Set(tags.split(" "));
            const harmless = (node) => {
                const names = node.getAttributeNames();
                if (!allowed.has(node.localName)) return false;
                if (names.some((name) => name.startsWith("on") || name === "style")) return false;
                if (node.localName === "img") return node.getAttribute("src").startsWith("/files/");
                if (node.localName !== "a") return true;
                if (node.rel !== "noopener nofollow" || node.target !== "_blank") return false;
                return /^(https?:\/\/|mailto:|\/files\/)/.test(node.getAttribute("href"));
            };
            const problems = [];
            for (const text of texts) {
                const root = document.createElement("div");
                document.body.append(root);
                new Markdown(root, "/files/").update(text);
                const harmful = [...root.querySelectorAll("*")].filter((node) => !harmless(node));
                problems.push(...harmful.map((node) => [text, node.outerHTML]));
            }
            await new Promise((done) => setTimeout(done, 200));
            return problems;
        }""",
        [HOSTILE, ALLOWED],
    )
    assert problems == []


def test_deep_markdown_is_rendered_soon(modules: Page) -> None:
    times = modules.evaluate(
        """async (texts) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            return texts.map((text) => {
                const began = performance.now();
                new Markdown(document.createElement("div"), "/files/").update(text);
                return Math.round(performance.now() - began);
            });
        }""",
        DEEP,
    )
    assert max(times) < 5000, times


def test_markdown_that_arrives_in_pieces_ends_as_markdown_that_arrives_whole(modules: Page) -> None:
    chance = random.Random(1)
    texts = [PROSE, *HOSTILE[:20], "\n\n".join(HOSTILE)]
    cuts = [
        sorted(chance.randrange(len(text) + 1) for _ in range(chance.randrange(60))) for text in texts for _ in range(4)
    ]
    cases = [[text, cuts[4 * at + turn]] for at, text in enumerate(texts) for turn in range(4)]
    cases += [[PROSE, list(range(len(PROSE)))]]
    wrong = modules.evaluate(
        """async (cases) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            const make = () => new Markdown(document.createElement("div"), "/files/");
            const wrong = [];
            for (const [text, cuts] of cases) {
                const grown = make();
                for (const cut of [...cuts, text.length]) {
                    grown.update(text.slice(0, cut));
                    const whole = make();
                    whole.update(text.slice(0, cut));
                    if (grown.root.innerHTML !== whole.root.innerHTML) {
                        wrong.push([text.slice(0, cut), grown.root.innerHTML, whole.root.innerHTML]);
                        break;
                    }
                }
            }
            return wrong;
        }""",
        cases,
    )
    assert wrong == []


def test_finished_blocks_keep_their_nodes_while_text_streams(modules: Page) -> None:
    kept = modules.evaluate(
        """async (text) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            const markdown = new Markdown(document.createElement("div"), "/files/");
            let kept = 0;
            for (let end = 0; end < text.length; end += 7) {
                const before = [...markdown.root.children];
                markdown.update(text.slice(0, end));
                kept += before.slice(0, -2).every((node, at) => markdown.root.children[at] === node);
            }
            return [kept, Math.ceil(text.length / 7)];
        }""",
        "A paragraph of words.\n\n- a list\n- of things\n\n```\ncode\n```\n\n" * 20,
    )
    assert kept[0] == kept[1]


def test_links_follow_the_rules_of_the_server(modules: Page) -> None:
    cases = json.loads((HERE.parent / "pages" / "links.json").read_text("utf-8"))
    found = modules.evaluate(
        """async (cases) => {
            const links = await import("/static/agents/links.js");
            return cases.map(({ kind, from }) => links[kind](from, "/files/"));
        }""",
        cases,
    )
    assert found == [case["to"] for case in cases]


def test_names_of_uploads_become_the_paths_of_the_server(modules: Page) -> None:
    names = ["ünï 😀.txt", "two\nlines", "\x9b", r"literal\xff", r"\x5cxff", r"C:\new", r"a\xzz", r"\\x0a"]
    script = """async (names) => {
        const links = await import("/static/agents/links.js");
        return names.map((name) => links.pathOf(name));
    }"""
    assert modules.evaluate(script, names) == [escape(name) for name in names]


def test_terminal_output_is_cut_into_pieces_by_its_colours(modules: Page) -> None:
    cases = json.loads((HERE / "terminal.json").read_text("utf-8"))
    found = modules.evaluate(
        """async (cases) => {
            const { pieces } = await import("/static/agents/terminal.js");
            return cases.map(({ text }) => pieces(text));
        }""",
        cases,
    )
    assert found == [case["pieces"] for case in cases]


def test_markdown_reads_as_on_the_server(modules: Page) -> None:
    text = PROSE.replace("\r\n", "\n")
    theirs, ours = modules.evaluate(
        """async ([text, html]) => {
            const { Markdown } = await import("/static/agents/markdown.js");
            const root = document.createElement("div");
            new Markdown(root, "/files/").update(text);
            const server = new DOMParser().parseFromString(html, "text/html").body;
            const words = (node) => node.localName + " " + node.textContent.replace(/\\s/g, "");
            const ours = ":not(.code, .copy, code span)"; // how code is drawn live
            const flat = (node) => [...node.querySelectorAll(ours)].map(words);
            return [flat(server), flat(root)];
        }""",
        [text, str(markdown.render(text, "/files/"))],
    )
    assert ours == theirs


def test_calls_are_told_as_command_diff_and_fields(modules: Page) -> None:
    cases = json.loads((HERE / "calls.json").read_text("utf-8"))
    found = modules.evaluate(
        """async (text) => {
            const { sections } = await import("/static/agents/call.js");
            const { parse } = await import("/static/agents/client/exact.js");
            const told = ({ kind, name, text, lines, cut }) => [kind, name, text ?? "", lines ?? [], cut];
            return parse(text).map(({ given, kept }) => sections(given, kept).map(told));
        }""",
        json.dumps(cases),
    )
    assert found == [case["sections"] for case in cases]


def test_hostile_terminal_output_is_read_soon(modules: Page) -> None:
    texts = ["\x1b" * 20_000, "\x1b]" * 10_000, "\x1b[31" * 5_000, "x" * 20_000 + "\r", "\r" * 20_000]
    times = modules.evaluate(
        """async (texts) => {
            const { pieces } = await import("/static/agents/terminal.js");
            return texts.map((text) => {
                const began = performance.now();
                pieces(text);
                return Math.round(performance.now() - began);
            });
        }""",
        texts,
    )
    assert max(times) < 2000, times


def test_diffs_of_a_result_are_told_whatever_is_in_it_and_whole_for_a_reader_who_wants_all(modules: Page) -> None:
    good = {"path": "a", "old_text": None, "new_text": "x\n"}
    listed = [good, {"path": 1, "old_text": 2, "new_text": "y"}, {"new_text": None}, "nonsense", None]
    found = modules.evaluate(
        """async (results) => {
            const { diffs, sections, KEPT_ASKED } = await import("/static/agents/call.js");
            const long = { path: "a", content: "x\\n".repeat(41_000) };
            const told = results.map((result) => diffs(result).map(({ name, lines }) => [name, lines]));
            return [told, sections(long, KEPT_ASKED)[0].cut, sections(long, 2_000_000)[0].cut];
        }""",
        [{"text": "", "diffs": listed}, {"diffs": "nonsense"}, "text", None],
    )
    told = [[["a", [["+", "x"]]], ["", [["+", "y"]]]], [], [], []]
    assert found == [told, "… 37,000 more lines", ""]


def test_amounts_are_said_in_words(modules: Page) -> None:
    shares = [
        ("run", "tokens", 810.5, 1000.0, "81 % of this run's budget is used: 810 of 1,000 tokens."),
        ("agent", "model_calls", 2100.0, 2000.0, "This agent's budget is used up: 2,100 of 2,000 model calls."),
        ("user-day", "cost_usd", 0.81, 1.0, "81 % of today's budget is used: $0.8100 of $1.00."),
        ("run", "wall_s", 90.0, 100.0, "90 % of this run's budget is used: 1 min 30 s of 1 min 40 s."),
        ("run", "tokens", 1e21, 1e-07, "This run's budget is used up: 1,000,000,000,000,000,000,000 of 0 tokens."),
    ]
    ticks = [(0, "0 s"), (999, "0 s"), (59_999, "59 s"), (60_000, "1 min 0 s"), (3_725_000, "1 h 2 min")]
    found = modules.evaluate(
        """async ([shares, ticks, durations, sizes]) => {
            const { budget, elapsed, duration, size } = await import("/static/agents/measures.js");
            return [shares.map(budget), ticks.map(elapsed), durations.map(duration), sizes.map(size)];
        }""",
        [
            [dict(zip(("scope", "kind", "used", "limit"), share[:4], strict=True)) for share in shares],
            *([value for value, _ in cases] for cases in (ticks, DURATIONS, SIZES)),
        ],
    )
    assert found == [
        [share[4] for share in shares],
        *([words for _, words in cases] for cases in (ticks, DURATIONS, SIZES)),
    ]
