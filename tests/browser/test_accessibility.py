"""axe-core finds nothing on the agent page, in light and dark, whatever is on it; and pictures of it as artifacts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import golden
from tests.browser.logs import log_of, settled, started, words
from tests.browser.stub import Stub
from tests.browser.test_composer import STEERED, queued

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS: dict[str, tuple[int, Any]] = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (360, "light")}
ANSWER = (
    "## Done\n\nI *looked* at `it`:\n\n```python\ndef f(x: int) -> str:\n    return f'{x}'  # why\n```\n\n"
    "| name | rows |\n|---|--:|\n| north | 12 |\n\n> quoted\n\n- [x] a [link](https://example.com)\n"
)


def everything() -> list[Any]:
    """A run that uses all that the page can show, and waits for an answer."""
    entries = [
        {"content": "Look", "status": "completed"},
        {"content": "Write", "status": "in_progress", "priority": "high"},
    ]
    edit = {"path": "a.py", "old": "x = 1\n", "new": "x = 2\n"}
    return [
        *started("Tidy up, please."),
        ("plan", {"entries": entries}),
        ("thinking", {"message_id": "m", "content": "Hmm."}),
        *words(ANSWER),
        ("tool-call", {"call_id": "a", "name": "bash", "arguments": {"command": "pytest -q", "timeout_s": 9}}),
        (
            "tool-output",
            {"call_id": "a", "content": "\x1b[32mgood\x1b[0m \x1b[31mbad\x1b[0m \x1b[2mdim\x1b[0m " + "x" * 21_000},
        ),
        ("tool-result", {"call_id": "a", "result": "Exit code 1.", "is_error": True}),
        ("tool-call", {"call_id": "b", "name": "edit_file", "arguments": edit}),
        ("budget", {"scope": "run", "kind": "tokens", "used": 900.0, "limit": 1000.0}),
        ("usage", {"model": "m", "input_tokens": 900, "output_tokens": 1, "cost_usd": 0.01}),
        ("error", {"code": "line-too-long", "message": "A line was cut."}),
        ("files", {"changes": [{"path": "a.py", "change": "added", "size": 7}]}),
        ("approval-request", {"approval_id": "p", "question": "May I?"}),
        ("approval-response", {"approval_id": "p", "decision": "approve", "by": "ada", "reason": "yes"}),
        ("approval-request", {"approval_id": "q", "call_id": "b", "question": "May it change a.py?"}),
        ("status", {"status": "waiting"}),
    ]


def shown(stub: Stub, page: Page, look: str) -> None:
    width, scheme = LOOKS[look]
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    stub.definition = STEERED
    stub.append(log_of(*everything()))
    stub.append(queued("And then this.", after=len(stub.events)))
    page.goto(stub.page_url)
    settled(page, stub)
    expect(page.locator(".s-kwd").first).to_be_visible()
    page.evaluate("for (const node of document.querySelectorAll('details')) node.open = true")
    expect(page.locator(".answered time")).to_be_visible()


def found(page: Page) -> list[Any]:
    page.evaluate(AXE.read_text("utf-8"))
    script = """(rules) => axe.run(document, { runOnly: rules }).then(({ violations }) => violations.map(
        ({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`)]))"""
    problems: list[Any] = page.evaluate(script, RULES)
    return problems


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_on_the_agent_page(stub: Stub, watched: Page, look: str) -> None:
    shown(stub, watched, look)
    assert found(watched) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_behind_a_run_that_failed(stub: Stub, watched: Page, scheme: Any) -> None:
    stub.append(golden("failure-keeps-partial-text"))
    watched.emulate_media(color_scheme=scheme)
    watched.goto(stub.page_url)
    settled(watched, stub)
    assert found(watched) == []


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_of_the_agent_page(stub: Stub, watched: Page, look: str, pictures: Path) -> None:
    shown(stub, watched, look)
    assert watched.evaluate("document.documentElement.scrollWidth") <= LOOKS[look][0]
    watched.evaluate("scrollTo(0, 0)")
    watched.screenshot(path=pictures / f"agent-page-{look}.png")
