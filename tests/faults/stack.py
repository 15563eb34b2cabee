"""The whole site as processes of our own, each of which can be killed, stopped and started again.

Free ports, a data directory below the temporary directory, a secret key of its own (so its containers are told from
those of any other site on the same engine). All of it dies with this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from containers.engines.docker import DockerEngine
from containers.engines.process import ProcessEngine
from containers.interface import Engine
from tests.faults.dockerd import DockerDaemon
from tests.faults.plan import SOURCE
from tests.faults.waiting import aside, until
from tests.servers import PostgresServer, RedisServer
from tests.servers.ports import ReservedPort
from tests.servers.proc import rss_bytes
from tests.servers.process import ServerProcess, new_directory

REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 90.0
MOST_REDIS_S = 0.5
PREPARE = "from agentsite.cli import accounts, processes; processes.migrate(); accounts.ensure_first_admin()"
IMAGE = "agentsite/base:bookworm"


@dataclass(frozen=True)
class Profile:
    """How a site is set up. Rows with the same profile share one."""

    engine: str = "process"
    lease_s: float = 6.0
    workers: int = 2
    webs: int = 1
    memory_mib: int = 256
    wall_s: float = 1200.0
    own_engine: bool = False
    """A container engine of the stack's own, which may be restarted."""
    settings: Mapping[str, str] = field(default_factory=dict)
    worker_settings: tuple[Mapping[str, str], ...] = ()
    """Of each worker by its number, over `settings`."""

    def environment(self) -> dict[str, str]:
        fast = {
            "AGENTSITE_LEASE_S": f"{self.lease_s:g}",
            "AGENTSITE_LEASE_HEARTBEAT_S": f"{self.lease_s / 3:g}",
            "AGENTSITE_ENGINE": self.engine,
            "AGENTSITE_STOP_GRACE_S": "2",
            "AGENTSITE_STREAM_SEND_TIMEOUT_S": "3",
            "AGENTSITE_PENDING_BYTES": str(2**20),
            "AGENTSITE_LOG_LEVEL": "INFO",
        }
        return fast | dict(self.settings)


class Process:
    """One process of the site: started, broken, started again, always with the same settings."""

    def __init__(self, name: str, argv: list[str], environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        variables = [f"{key}={value}" for key, value in environment.items()]
        self._argv = ["/usr/bin/env", "-i", "-C", str(directory), *variables, *argv]
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        if not self.is_running:
            self._process = ServerProcess(self._argv, self._log)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.end(signal.SIGKILL)

    def rss_mib(self) -> float:
        return rss_bytes(self.pid) / 2**20

    def wait_until(self, ready: Callable[[], object], within_s: float) -> None:
        """Raises ServerFailed, with what it printed, if that does not come true."""
        assert self._process is not None
        self._process.wait_until(ready, within_s)

    def wait(self, within_s: float) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_tail(self, lines: int) -> str:
        text = self.log()
        return "\n".join(line[:240] for line in text.splitlines()[-lines:])


class Stack:
    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.redis, self.postgres = RedisServer(), PostgresServer()
        self.dockerd = DockerDaemon() if profile.own_engine else None
        self.directory = new_directory("faults", None)
        self.data = self.directory / "data"
        self.secret = secrets.token_urlsafe(40)
        self.site_id = site_id_of(self.secret)
        self._ports = [ReservedPort() for _ in range(profile.webs)]
        self.webs: list[Process] = []
        self.workers: list[Process] = []
        self.beat: Process
        self.token = ""

    # Life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await aside(self._start_servers)
        python = [sys.executable, "-m", "agentsite"]
        prepare = self._process("prepare", [sys.executable, "-c", PREPARE])
        prepare.start()
        await until(lambda: not prepare.is_running, READY_S, "migrations")
        self.token = (self.data / "admin-token").read_text().strip()
        self.beat = self._process("beat", [*python, "beat"])
        self.webs = [
            self._process(f"web{at}", [*python, "web"], {"AGENTSITE_PORT": str(port.number)})
            for at, port in enumerate(self._ports)
        ]
        own = [*self.profile.worker_settings, *([{}] * self.profile.workers)]
        self.workers = [
            self._process(f"worker{at}", [*python, "worker"], own[at]) for at in range(self.profile.workers)
        ]
        for process in (*self.webs, *self.workers, self.beat):
            process.start()
        await self.ready()

    async def ready(self) -> None:
        """Every web process that runs answers, every worker that runs is there."""
        for at, web in enumerate(self.webs):
            if web.is_running:
                await self.web_ready(at)
        for worker in self.workers:
            if worker.is_running:
                await self.worker_ready(worker)

    async def worker_ready(self, worker: Process) -> None:
        await until(lambda: self._is_present(worker), READY_S, f"{worker.name} at work", every_s=0.1)

    async def web_ready(self, at: int) -> None:
        async def answers() -> bool:
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
                    return (await client.get(f"{self.url(at)}/healthz")).status_code == 200
            except httpx.HTTPError:
                return False

        await until(answers, READY_S, f"{self.webs[at].name} answers", every_s=0.1)

    async def start_missing(self) -> None:
        """As `agentsite up` does: what has died is started again. Whole again when this returns."""
        await aside(self.redis.start)
        await aside(self.postgres.start)
        if self.dockerd is not None:
            await aside(self.dockerd.start)
        for process in (*self.webs, *self.workers, self.beat):
            process.start()
        await self.ready()

    async def close(self) -> None:
        for process in (*self.webs, *self.workers, *([self.beat] if self.workers else [])):
            process.kill()
        with suppress(Exception):
            await remove_containers(self.engine(), self.site_id)
        if self.dockerd is not None:
            await aside(self.dockerd.close)
        await aside(self.redis.close)
        await aside(self.postgres.close)
        for port in self._ports:
            port.release()

    def _start_servers(self) -> None:
        self.data.mkdir()
        self.redis.start()
        self.postgres.start()
        if self.dockerd is not None:
            self.dockerd.start().load(IMAGE)
        definitions = self.directory / "agents.toml"
        definitions.write_text(definition("load", IMAGE, self.profile.memory_mib, self.profile.wall_s))

    def _process(self, name: str, argv: list[str], own: Mapping[str, str] | None = None) -> Process:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(REPOSITORY),
            "DJANGO_SETTINGS_MODULE": "agentsite.settings",
            "AGENTSITE_DATA_DIR": str(self.data),
            "AGENTSITE_SECRET_KEY": self.secret,
            "AGENTSITE_DEFINITIONS": str(self.directory / "agents.toml"),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            **({"AGENTSITE_DOCKER_HOST": self.dockerd.url} if self.dockerd else {}),
            **self.profile.environment(),
            **(own or {}),
        }
        return Process(name, argv, environment, self.directory)

    def _is_present(self, worker: Process) -> bool:
        with redis.Redis.from_url(self.redis.url, socket_timeout=MOST_REDIS_S) as client:
            return bool(client.keys(f"agentsite:worker:*-{worker.pid}-*"))

    # What there is ------------------------------------------------------------------------------------------------

    def url(self, at: int = 0) -> str:
        return f"http://127.0.0.1:{self._ports[at].number}"

    def addresses(self) -> list[tuple[str, int]]:
        """Of the web processes that run."""
        return [("127.0.0.1", port.number) for web, port in zip(self.webs, self._ports, strict=True) if web.is_running]

    def workspace(self, agent_id: str) -> Path:
        return self.data / "workspaces" / agent_id

    def engine(self) -> Engine:
        """A client of the site's engine; the caller closes it."""
        if self.profile.engine == "docker":
            return DockerEngine(self.dockerd.url) if self.dockerd else DockerEngine()
        return ProcessEngine(self.data / "process")

    def logs(self, lines: int = 25) -> str:
        processes = (*self.webs, *self.workers)
        return "\n".join(f"--- {process.name}\n{process.log_tail(lines)}" for process in processes)


def definition(name: str, image: str, memory_mib: int, wall_s: float) -> str:
    """Of the workload, for agents.toml. `image`: any with a python3."""
    program = json.dumps(["python3", "-u", "-c", SOURCE.read_text()])
    on_host = json.dumps(["{python}", "-u", str(SOURCE)])
    return (
        f"[definitions.{name}]\nimage = {json.dumps(image)}\ncommand = {program}\nprocess_command = {on_host}\n"
        f"trusted = true\n[definitions.{name}.limits]\ncpus = 0.5\nmemory_mib = {memory_mib}\nwall_s = {wall_s}\n"
    )


def site_id_of(secret: str) -> str:
    """The label of a site's containers, by its secret key."""
    return hashlib.sha256(f"site:{secret}".encode()).hexdigest()[:12]


async def remove_containers(engine: Engine, site_id: str) -> None:
    """All of a site's; closes the engine."""
    try:
        for container in await engine.list({"agentsite": site_id}):
            await engine.remove(container.ref)
    finally:
        await engine.close()
