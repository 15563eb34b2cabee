"""The published client (clients/js) as its README shows it, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.logs import log_of, started, words
from tests.browser.stub import Stub
from tests.clients.test_javascript import example

pytestmark = pytest.mark.browser


def test_example_of_the_readme_follows_an_agent_over_a_cut_and_gets_what_came_before(stub: Stub, page: Page) -> None:
    stub.append(log_of(*started("Go on."), *words(*(f"[{at}] " + "lorem ipsum " * 200 for at in range(150)))))
    assert stub.state()["earlier"]
    page.goto(f"{stub.url}/elsewhere")
    served = '= await import("/static/agents/client/index.js")'
    body = example().replace("import {", "const {").replace('from "agentsite-client"', served)
    page.evaluate(f"async () => {{ {body}; window.loadEarlier = loadEarlier; }}")
    expect(page.locator("body")).to_contain_text("Go on. (running)")
    stub.cut()
    stub.append(log_of(*words("The end."), ("done", {"status": "completed"}), after=stub.events[-1].seq))
    expect(page.locator("body")).to_contain_text("Go on. (completed)")
    expect(page).to_have_title("live")
    for _ in stub.pages():
        page.evaluate("loadEarlier()")
    text = page.locator("body").text_content()
    assert text is not None
    assert [int(found) for found in re.findall(r"\[(\d+)\]", text)] == list(range(150))
    assert text.endswith("The end.")
