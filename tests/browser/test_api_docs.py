"""/api/docs in a real browser. Here and not beside the API's other tests: see pytest_collection_modifyitems in
tests/servers/plugin.py for what Playwright leaves behind in the process."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.filterwarnings("ignore:No directory at:UserWarning")
def test_the_docs_page_works_in_a_browser(live_server, page):
    problems: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url) if live_server.url not in request.url else None)
    page.goto(f"{live_server.url}/api/docs")
    page.get_by_text("/api/agents/{agent_id}/execute").wait_for()
    page.get_by_text("/api/agents/{agent_id}/execute").click()
    page.get_by_text("Idempotency-Key").first.wait_for()
    assert problems == []
    assert [url for url in elsewhere if not url.startswith("data:")] == []
