"""The whole site behind the proxies of docs/deploying.md, over HTTPS and HTTP/2: forms are accepted, and more tabs are
live side by side than a browser has connections over HTTP/1.1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_journey import agent_of
from tests.journeys.site import UpSite
from tests.servers.proxies import Proxy

pytestmark = [pytest.mark.browser, pytest.mark.proxies, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]
SIDE_BY_SIDE = 8
WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UpSite, dict[str, Proxy]]]:
    """A site, and what is in front of it."""
    proxies = {name: Proxy(name) for name in ("nginx", "caddy")}
    origins = ",".join(f"https://{proxy.address}" for proxy in proxies.values())
    settings = {"AGENTSITE_CSRF_TRUSTED_ORIGINS": origins, "AGENTSITE_ALLOWED_HOSTS": "localhost,127.0.0.1"}
    site = UpSite(tmp_path_factory.mktemp("site"), engine="process", settings=settings)
    try:
        site.start()
        for proxy in proxies.values():
            proxy.start(site.url.removeprefix("http://"))
        yield site, proxies
    finally:
        for proxy in proxies.values():
            proxy.close()
        site.close()


def test_more_tabs_than_six_are_live_side_by_side(browser: Browser, proxies: tuple[UpSite, dict[str, Proxy]]) -> None:
    """Playwright's tabs are all visible, as windows on a large screen."""
    site, fronts = proxies
    context = browser.new_context(ignore_https_errors=True)
    tabs = [context.new_page() for _ in range(SIDE_BY_SIDE)]
    path = site.login_link.removeprefix(site.url)
    for name, front in fronts.items():
        url = f"https://{front.address}"
        tabs[0].goto(url + path)  # the second time it only leads to the list: cookies know no ports
        tabs[0].goto(f"{url}/agents/new/")
        tabs[0].get_by_role("button", name="Start").click()
        agent = agent_of(tabs[0])
        for tab in tabs[1:]:
            tab.goto(f"{url}/agents/{agent}/", timeout=WITHIN_MS)
        for tab in tabs:
            expect(tab.locator("#connection")).to_have_text("Live", timeout=WITHIN_MS)
        assert tabs[-1].evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        tabs[0].get_by_label("Prompt").fill(f"Through {name}")
        tabs[0].get_by_role("button", name="Send").click()
        for tab in tabs:
            expect(tab.locator(".message.user")).to_contain_text(f"Through {name}", timeout=WITHIN_MS)
    context.close()
