"""The page of docs/events.md in a real browser, from another origin than the site's."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.journeys.site import UpSite

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "events.md"


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The origin that serves the documented page, as it is."""
    found = re.search(r"```html\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    page = found[1].encode()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_documented_page_follows_an_agent_from_another_origin(elsewhere: str, page: Page, tmp_path: Path):
    site = UpSite(tmp_path, engine="process", settings={"AGENTSITE_CORS_ORIGINS": elsewhere})
    try:
        site.start()
        headers = {"Authorization": f"Bearer {site.token}"}
        with httpx.Client(base_url=site.url, headers=headers, trust_env=False, timeout=60) as api:
            agent_id = api.post("/api/agents", json={"definition": "demo"}).json()["id"]
            page.goto(elsewhere)
            page.get_by_label("Site").fill(site.url)
            page.get_by_label("Agent").fill(agent_id)
            page.get_by_label("Token").fill("as_wrong")
            page.get_by_role("button", name="Follow").click()
            expect(page.locator("pre")).to_contain_text("this token is not known here")
            page.get_by_label("Token").fill(site.token)
            page.get_by_role("button", name="Follow").click()
            expect(page.locator("pre")).to_contain_text('"type":"snapshot"')
            api.patch(f"/api/agents/{agent_id}", json={"title": "Seen from elsewhere"})
            expect(page.locator("pre")).to_contain_text('"title":"Seen from elsewhere"', timeout=30_000)
        site.interrupt()
        assert "st_" not in site.printed()
    finally:
        site.close()
