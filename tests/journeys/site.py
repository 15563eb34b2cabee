"""The whole site as a person starts it: `python -m agentsite up` on a free port, with a data directory of its own.

Blocking, so that tests without a loop use it, too; coroutines call it through `tests.faults.waiting.aside`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Self

import httpx

from containers.engines.docker import DockerEngine
from containers.engines.process import ProcessEngine
from containers.interface import Engine
from tests.faults.site import Chunk, Stored, stored_log
from tests.faults.stack import REPOSITORY, Process, definition, remove_containers, site_id_of
from tests.journeys import processes
from tests.servers import needs
from tests.servers.ports import ReservedPort

READY_S = 90.0
STOP_S = 30.0
IMAGE = "agentsite/demo:latest"
"""`up` sees to it that it is there."""


class Stopped(NamedTuple):
    code: int
    took_s: float


class UpSite:
    """One data directory, `directory/data`, with which `up` is started, stopped and started again.

    Its definitions are the bundled ones, `load`, the workload of tests/faults, and `definitions`. The bundled demo asks
    for an approval only if `asks`, so that most tests need not answer.
    """

    def __init__(
        self,
        directory: Path,
        engine: str | None = None,
        settings: Mapping[str, str] | None = None,
        definitions: str = "",
        *,
        asks: bool = False,
    ) -> None:
        self.data = directory / "data"
        self.engine_name = engine or best_engine()
        self._port = ReservedPort()
        load = definition("load", IMAGE, memory_mib=128, wall_s=600)
        bundled = (REPOSITORY / "agents.toml").read_text()
        bundled = bundled if asks else re.sub(r"(?m)^approvals = .*\n", "", bundled)
        (directory / "agents.toml").write_text(bundled + load + definitions)
        command = [sys.executable, "-m", "agentsite", "up", "--port", str(self._port.number)]
        options = ["--data-dir", str(self.data), "--engine", self.engine_name]
        self._up = Process("up", [*command, *options], environment(**(settings or {})), directory)
        self._printed_before = 0

    # Life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Returns when it says that it is ready. Raises ServerFailed, with what it printed, if it does not."""
        self._printed_before = len(self._up.log())
        self._up.start()
        self._up.wait_until(self.ready_lines, READY_S)
        return self

    def interrupt(self) -> Stopped:
        """Ctrl-C: a terminal sends SIGINT to the whole process group in front. Raises ServerFailed if it goes on."""
        began = monotonic()
        os.killpg(self._up.pid, signal.SIGINT)
        return Stopped(self._up.wait(STOP_S), monotonic() - began)

    def close(self) -> None:
        """Whatever state it is in; takes its containers along."""
        self._up.kill()
        for pid in processes.of(self.data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.engine_name == "docker" and (self.data / "secret-key").exists():
            asyncio.run(remove_containers(self.engine(), self.site_id))
        self._port.release()

    # What it prints -----------------------------------------------------------------------------------------------

    def printed(self) -> str:
        """Since the last start."""
        return self._up.log()[self._printed_before :]

    def ready_lines(self) -> list[str]:
        return [line for line in self.printed().splitlines(keepends=True) if re.match(r"ready: .*\n", line)]

    @property
    def login_link(self) -> str:
        (line,) = self.ready_lines()
        found = re.search(r"http://\S+/login/link/\S+", line)
        assert found is not None, line
        return found[0]

    # What there is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.number}"

    @property
    def pid(self) -> int:
        return self._up.pid

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    @property
    def site_id(self) -> str:
        return site_id_of((self.data / "secret-key").read_text().strip())

    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", self._port.number)]

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def child(self, name: str) -> int | None:
        """Process id of web, worker, beat or redis."""
        return processes.children_of(self._up.pid).get(name)

    def workspace(self, agent_id: str) -> Path:
        return self.data / "workspaces" / agent_id

    def engine(self) -> Engine:
        """A client of the site's engine; the caller closes it."""
        return DockerEngine() if self.engine_name == "docker" else ProcessEngine(self.data / "process")

    def owner(self, agent_id: str) -> str | None:
        """Who holds its lease."""
        ((owner,),) = self._rows("SELECT owner FROM streaming_log WHERE agent_id = ?", _key(agent_id))
        return str(owner) if owner else None

    def log(self, agent_id: str) -> Stored:
        """As the database has it."""
        columns = "first_seq, last_seq, epoch, body, packed"
        query = f"SELECT {columns} FROM streaming_eventchunk WHERE agent_id = ? ORDER BY first_seq"
        return stored_log([Chunk(*row) for row in self._rows(query, _key(agent_id))])

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.data}/agentsite.sqlite3?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()


def _key(agent_id: str) -> str:
    """As Django keeps a UUID in SQLite."""
    return agent_id.replace("-", "")


def best_engine() -> str:
    return "process" if needs.engine_problem() else "docker"


def environment(**settings: str) -> dict[str, str]:
    """Nothing of the test's own: no addresses of its servers, no keys."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONPATH": str(REPOSITORY), **settings}
