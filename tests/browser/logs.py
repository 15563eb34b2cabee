"""Logs that the browser tests write, and what the page shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from streaming.model.events import Event, draft

if TYPE_CHECKING:
    from tests.browser.stub import Stub

RUN = "0193467e-7e2b-7d00-8a11-000000000101"
AGENT = "0193467e-7e2a-7c1f-9d52-000000000001"


def log_of(*steps: tuple[str, dict[str, object]], after: int = 0) -> list[Event]:
    made = [draft(type_, RUN, **data) for type_, data in steps]
    return [
        Event(one.type, AGENT, RUN, 1, seq, "2026-11-20T12:00:00.000000Z", one.data)
        for seq, one in enumerate(made, after + 1)
    ]


def started(prompt: str = "Go") -> list[tuple[str, dict[str, object]]]:
    return [
        ("message", {"message_id": "u", "role": "user", "content": prompt}),
        ("status", {"status": "queued"}),
        ("status", {"status": "running"}),
    ]


def words(*texts: str) -> list[tuple[str, dict[str, object]]]:
    return [("text", {"message_id": "m", "content": text}) for text in texts]


def settled(page: Page, stub: Stub) -> None:
    """The page has drawn the last event of the log."""
    expect(page.locator("#agent")).to_have_attribute("data-seq", str(stub.events[-1].seq), timeout=30_000)


def painted(page: Page) -> None:
    """Whatever was begun before is on the screen: it takes one frame, and the next comes after it."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def still(page: Page) -> None:
    """The page has stopped to mount and unmount: for five frames nothing changed or moved."""
    script = """async () => {
        const { documentElement: root } = document;
        const look = () => `${scrollY} ${root.scrollHeight} ${root.querySelectorAll("*").length}`;
        for (let same = 0, last = look(); same < 5; ) {
            await new Promise(requestAnimationFrame);
            same = look() === last ? same + 1 : 0;
            last = look();
        }
    }"""
    page.evaluate(script)


def mounted(page: Page) -> None:
    """All that the page has of the conversation is in the document, as for printing."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def unrolled(page: Page) -> None:
    """The page shows the conversation from its beginning, all of it."""
    script = """async () => {
        const earlier = document.getElementById("earlier");
        while (!earlier.hidden) {
            earlier.querySelector("button").click();
            await new Promise((done) => setTimeout(done, 10));
        }
    }"""
    page.evaluate(script)
    mounted(page)


def drawn(page: Page) -> dict[str, str]:
    """What the page shows of the state, as HTML, with every card open: a closed one is filled when it is opened."""
    page.evaluate("for (const node of document.querySelectorAll('#conversation .tool')) node.open = true")
    painted(page)
    parts = ("conversation", "file-list", "run-list", "title", "status", "usage", "prompt-hint", "queue")
    script = "(ids) => Object.fromEntries(ids.map((id) => [id, document.getElementById(id).outerHTML]))"
    shown: dict[str, str] = page.evaluate(script, list(parts))
    return shown
