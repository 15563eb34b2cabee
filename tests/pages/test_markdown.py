from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agents.pages import links, markdown
from tests.pages.hostile import DEEP, HOSTILE

FILES = "/files/"
HERE = Path(__file__).parent
TAGS = markdown.TAGS


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def render(text: str) -> str:
    return str(markdown.render(text, FILES))


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((HERE / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_gets_only_harmless_tags_and_addresses(text: str) -> None:
    for tag, attributes in Seen(render(text)).tags:
        assert tag in TAGS
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag == "img":
            assert (attributes["src"] or "").startswith(FILES)
        if tag == "a":
            assert re.match(r"https?://|mailto:|/files/", attributes["href"] or "")
            assert (attributes["rel"], attributes["target"]) == ("noopener nofollow", "_blank")


@pytest.mark.parametrize("text", DEEP, ids=lambda text: text[:6])
def test_deep_markdown_is_rendered_soon(text: str) -> None:
    began = time.monotonic()
    render(text)
    assert time.monotonic() - began < 5


def test_long_text_is_shown_as_it_is() -> None:
    html = render("# <b>\n" + "x" * markdown.MAX_LENGTH)
    assert html.startswith('<pre tabindex="0">')
    assert "<b>" not in html


def test_tables_tasks_code_and_strikethrough() -> None:
    html = render("| a |\n|--:|\n| 1 |\n\n- [x] done\n- [ ] **not**\n\n```py\nx < 1\n```\n\n~~gone~~")
    assert '<td class="align-right">1</td>' in html
    assert "☑ done" in html
    assert "☐ <strong>not</strong>" in html
    assert '<code class="language-py">x &lt; 1\n</code>' in html
    assert "<del>gone</del>" in html


def test_workspace_links_and_images_point_at_the_files() -> None:
    html = render("![chart](charts/x.svg) [report](./report.md)")
    assert '<img src="/files/charts/x.svg" alt="chart" loading="lazy">' in html
    assert 'href="/files/report.md"' in html


def test_remote_image_leaves_its_words() -> None:
    assert render("![a chart](https://example.com/x.png)") == '<p><span class="left-out">[image: a chart]</span></p>\n'


@pytest.mark.parametrize("case", cases("links.json"), ids=lambda case: repr(case["from"]))
def test_where_links_and_images_may_point(case: dict[str, Any]) -> None:
    assert getattr(links, case["kind"])(case["from"], FILES) == case["to"]


@pytest.mark.parametrize("path", ["a//b", "../x", ".", "", "a/..", "/etc/passwd"])
def test_a_path_that_a_browser_would_resolve_has_no_address(path: str) -> None:
    assert links.file_url(path, FILES) is None


def test_every_other_path_is_quoted_whole() -> None:
    assert links.file_url("a b/%2e%2e/c#d?e\\f.txt", FILES) == "/files/a%20b/%252e%252e/c%23d%3Fe%5Cf.txt"
