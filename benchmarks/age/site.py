"""The site that is measured: its processes, its API, its database from within this process, and a browser."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from playwright.async_api import Page, async_playwright

from tests.faults.site import Site
from tests.faults.sse import connect
from tests.faults.stack import Profile, Stack
from tests.faults.waiting import until
from tests.servers import needs

PROGRAM = Path(__file__).with_name("program.py")
DEFINITION = "speaker"
RUN_S = 600.0
VIEWPORT = {"width": 1280, "height": 900}


class AgeSite(Site):
    """A started site whose only definition is `program`."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.stack = stack

    async def new_agent(self) -> str:
        return str((await self.call("POST", "/api/agents", definition=DEFINITION))["id"])

    async def begin_run(self, agent_id: str, say: str, *arguments: int, pause_s: float = 0) -> str:
        prompt = json.dumps({"say": say, "arguments": arguments, "pause_s": pause_s})
        return str((await self.call("POST", f"/api/agents/{agent_id}/runs", input=prompt))["id"])

    async def run(self, agent_id: str, say: str, *arguments: int, pause_s: float = 0) -> str:
        """A run from its beginning to its end."""
        run_id = await self.begin_run(agent_id, say, *arguments, pause_s=pause_s)

        async def has_ended() -> bool:
            run = await self.call("GET", f"/api/runs/{run_id}")
            assert run["status"] in ("queued", "running", "completed"), run
            return bool(run["status"] == "completed")

        await until(has_ended, RUN_S, f"run {run_id} ends", every_s=0.2)
        return run_id

    async def join(self, agent_id: str) -> float:
        """Seconds from connecting to its stream until everything that was in the log has come."""
        tip = await self.tip(agent_id)
        began = monotonic()
        connection = await connect(self.stack.addresses()[0], f"/api/agents/{agent_id}/stream", self.stack.token, None)
        try:
            while (frames := await connection.read()) is not None:
                seqs = [int(frame.id.rpartition("-")[2]) for frame in frames if frame.id]
                if seqs and seqs[-1] >= tip:
                    return monotonic() - began
            raise AssertionError("the stream ended")
        finally:
            connection.abort()


@asynccontextmanager
async def running(workers: int = 1) -> AsyncIterator[AgeSite]:
    """Also sets Django up in this process, on the same database."""
    stack = Stack(Profile(lease_s=30, workers=workers))
    try:
        await stack.start()
        command = json.dumps(["{python}", "-u", str(PROGRAM)])
        (stack.directory / "agents.toml").write_text(
            f'[definitions.{DEFINITION}]\nimage = "none"\nprocess_command = {command}\ntrusted = true\n'
            f"[definitions.{DEFINITION}.limits]\nwall_s = 3600\noutput_mib = 1024\n"
        )
        site = AgeSite(stack)

        async def is_known() -> bool:
            return DEFINITION in json.dumps(await site.call("GET", "/api/definitions"))

        await until(is_known, RUN_S, "the definition is read", every_s=0.1)
        _set_up_django(stack)
        try:
            yield site
        finally:
            await site.close()
    finally:
        await stack.close()


def _set_up_django(stack: Stack) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "agentsite.settings",
        "AGENTSITE_DATA_DIR": str(stack.data),
        "AGENTSITE_SECRET_KEY": stack.secret,
        "AGENTSITE_DEFINITIONS": str(stack.directory / "agents.toml"),
        "DATABASE_URL": stack.postgres.url,
        "REDIS_URL": stack.redis.url,
        **stack.profile.environment(),
    }
    import django

    django.setup()


@asynccontextmanager
async def browser_page(site: AgeSite, script: str = "") -> AsyncIterator[Page]:
    """Logged in. `script` runs at the beginning of each document."""
    cookie = await asyncio.to_thread(_session_cookie)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    async with async_playwright() as playwright:
        path = needs.chromium_path()
        assert path, "needs Chromium"
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        # Without the policy: waiting evaluates strings.
        context = await browser.new_context(base_url=site.stack.url(), bypass_csp=True, viewport=VIEWPORT)
        await context.add_cookies([{"name": cookie[0], "value": cookie[1], "url": site.stack.url()}])
        page = await context.new_page()
        if script:
            await page.add_init_script(script)
        try:
            yield page
        finally:
            await browser.close()


def _session_cookie() -> tuple[str, str]:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get(is_superuser=True))
    return settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value


def state_bytes(snapshot: dict[str, Any]) -> int:
    return len(json.dumps(snapshot["state"], separators=(",", ":"), ensure_ascii=False).encode())
