"""`agentsite up`: the whole stack on one machine, in the foreground.

    check ─► migrate ─► admin, token ─► web, worker, beat ─► ready ─► Ctrl-C: all of it stops

Port, definitions, Redis, broker, database and engine are checked before our first process starts. A problem is one line
and exit code 2.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from agentsite.cli import checks, embedded_redis, images
from agentsite.cli.children import Child, Children
from agentsite.cli.lock import DataDirLock
from agentsite.cli.site_address import URL_FILE, address_of
from agentsite.environment import UP_PID, Environment, load_environment

READY_PATIENCE_S = 60.0


def up() -> int:
    environment = load_environment()
    directory = environment.directory()
    checks.make_directory(directory)
    with DataDirLock(directory):
        return asyncio.run(_Stack(environment, directory).run())


class _Stack:
    def __init__(self, environment: Environment, directory: Path) -> None:
        self._environment = environment
        self._directory = directory
        self._children = Children()
        self._stopping = asyncio.Event()
        self._building: asyncio.Task[None] | None = None

    async def run(self) -> int:
        self._environment.port = checks.find_free_port(self._environment.host, self._environment.port)
        os.environ["AGENTSITE_PORT"] = str(self._environment.port)
        os.environ["AGENTSITE_DATA_DIR"] = str(self._directory)
        os.environ[UP_PID] = str(os.getpid())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._start()
            await self._stopping.wait()
            self._children.say("stopping; runs in containers go on and are taken up again at the next start")
        finally:
            if self._building is not None:
                self._building.cancel()
            await self._children.stop()
        return 0

    async def _start(self) -> None:
        catalog = checks.load_definitions(self._environment, self._children.say)
        for name, mistake in catalog.invalid.items():
            self._children.say(f"definition {name} can't be started until its mistake is corrected: {mistake}")
        await self._start_redis()
        if self._environment.broker_url:
            await asyncio.to_thread(checks.check_broker, self._environment.broker_url)
        await asyncio.to_thread(checks.check_database)
        engine = await checks.choose_engine(self._environment, self._directory, self._children.say)
        link = await asyncio.to_thread(_prepare_site)
        for name in ("web", "worker", "beat"):
            environment = os.environ if name == "worker" else without_provider_keys(os.environ)
            await self._children.start(Child(name, _command(name), environment))
        base = address_of(self._environment)
        if await self._answers(f"{base}/healthz"):
            self._children.say(engine)
            (self._directory / URL_FILE).write_text(f"{base}/\n")
            print(f"ready: {base}/  log in (once, within a day): {base}/login/link/{link}", flush=True)
            self._build_rest()

    def _build_rest(self) -> None:
        """Build the other images in the background: the demo needs none of them, so `ready` does not wait for them."""
        if url := checks.image_api_url(os.environ["AGENTSITE_ENGINE"], self._environment):
            self._building = asyncio.create_task(images.ensure_rest(url, self._children.say))

    async def _start_redis(self) -> None:
        if self._environment.redis_url:
            await checks.check_redis(self._environment.redis_url)
            return
        server = embedded_redis.configure_redis(self._directory)
        os.environ["REDIS_URL"] = server.url
        await self._children.start(Child("redis", server.command, without_provider_keys(os.environ), last=True))
        await checks.check_redis(server.url, patience_s=10)

    async def _answers(self, url: str) -> bool:
        """Wait until the web process answers. Return False if we are told to stop first."""
        import httpx

        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            deadline = asyncio.get_running_loop().time() + READY_PATIENCE_S
            while not self._stopping.is_set():
                try:
                    if (await client.get(url)).status_code == 200:
                        return True
                except httpx.HTTPError:
                    pass
                if asyncio.get_running_loop().time() > deadline:
                    self._children.say("the web process does not answer yet; its log says more")
                    deadline += READY_PATIENCE_S
                await asyncio.sleep(0.1)
        return False


def without_provider_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for processes that call no provider. The keys stay as empty variables, so that none is
    read from a `.env` file."""
    keys = Environment.provider_key_variables()
    kept = {name: value for name, value in environ.items() if name.upper() not in keys}  # settings ignore the case
    return {**kept, **dict.fromkeys(keys, "")}


def _prepare_site() -> str:
    from agentsite.cli.processes import migrate

    migrate()
    checks.check_data_directory()
    from agentsite.cli import accounts

    accounts.ensure_first_admin()
    return accounts.create_login_link_for()


def _command(name: str) -> list[str]:
    import sys

    return [sys.executable, "-m", "agentsite", name]
