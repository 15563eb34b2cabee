"""A data directory of version 1 with a thousand agents: `agentsite migrate` brings it up to date while it serves, is
killed twice on the way, and nothing is lost."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from streaming.model.events import encode
from streaming.model.fold import fold
from streaming.model.folded import Folded
from tests.faults.stack import Process
from tests.journeys.old_site import AGENTS, SHAPES, OldAgent, old_agents
from tests.journeys.site import environment
from tests.servers import RedisServer, needs
from tests.servers.ports import ReservedPort

pytestmark = [pytest.mark.sqlite, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
PATIENCE_S = 240.0
ADMIN = "from agentsite.cli import accounts; accounts.ensure_first_admin()"
PROGRESS = re.compile(r"upgraded the stored state of ([\d,]+) of ([\d,]+) agents")


class OldSite:
    """Its processes, one by one."""

    def __init__(self, directory: Path, database_url: str | None, redis: RedisServer) -> None:
        self._directory = directory
        self.data = directory / "data"
        self.port = ReservedPort()
        database = {"DATABASE_URL": database_url} if database_url else {}
        self._environment = environment(
            AGENTSITE_DATA_DIR=str(self.data),
            AGENTSITE_PORT=str(self.port.number),
            DJANGO_SETTINGS_MODULE="agentsite.settings",
            REDIS_URL=redis.url,
            **database,
        )
        self.started: list[Process] = []

    def start(self, *arguments: str) -> Process:
        process = Process(
            f"process{len(self.started)}", [sys.executable, *arguments], self._environment, self._directory
        )
        process.start()
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        code = process.wait(PATIENCE_S)
        assert code == 0, process.log()
        return process.log()

    def client(self) -> httpx.Client:
        token = (self.data / "admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port.number}", headers=headers, trust_env=False, timeout=60
        )

    def close(self) -> None:
        for process in self.started:
            process.kill()
        self.port.release()


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[OldSite]:
    database_url = None
    if not needs.on_sqlite():
        database_url = request.getfixturevalue("postgres_server").create_database("old_site")
    site = OldSite(tmp_path, database_url, redis_server)
    yield site
    site.close()


def killed_after(migrating: Process, count: int) -> int:
    """Kills `agentsite migrate` when it has upgraded so many agents; answers how many it said there were."""

    def progress() -> int:
        return max((int(done.replace(",", "")) for done, _ in PROGRESS.findall(migrating.log())), default=0)

    migrating.wait_until(lambda: progress() >= count, PATIENCE_S)
    migrating.signal(signal.SIGKILL)
    return total(migrating.log())


def total(printed: str) -> int:
    return int(PROGRESS.findall(printed)[0][1].replace(",", ""))


def read(client: httpx.Client, agent: OldAgent) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Its state, and its whole conversation: the pages, then what the state has."""
    state = client.get(f"/api/agents/{agent.id}/snapshot").raise_for_status().json()["state"]
    entries, earlier = list(state["messages"]), state["earlier"]
    while earlier is not None:
        page = client.get(f"/api/agents/{agent.id}/messages", params=earlier).raise_for_status().json()
        entries, earlier = [*page["messages"], *entries], page["earlier"]
    return state, entries


def check_stream(client: httpx.Client, agent: OldAgent) -> None:
    """It begins with the state at some event."""
    with client.stream("GET", f"/api/agents/{agent.id}/stream") as answer:
        text = b""
        for data in answer.iter_bytes():
            text += data
            if (frame := re.search(rb"^data: (.*)\n\n", text, re.MULTILINE)) is not None:
                break
    assert frame is not None
    snapshot = json.loads(frame[1])
    assert snapshot["state"]["fold"] == 2
    if not agent.is_trimmed:
        assert encode(snapshot["state"]) == encode(fold(agent.events[: snapshot["seq"]]))


def said(entries: Sequence[dict[str, Any]], queue: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    """What is in the conversation, whatever its parts: texts by their message, calls by their id, and what waits."""
    found: dict[Any, Any] = defaultdict(str)
    for entry in entries:
        for part in entry["parts"]:
            if part["type"] == "tool-call":
                kept = ("name", "title", "arguments", "output", "result", "is_error", "duration_ms", "state")
                found[entry["run_id"], part["call_id"]] = {key: part[key] for key in kept}
            else:
                found[entry["run_id"], entry["id"], entry["role"], part["type"]] += part["text"]
    for one in queue:
        found[one["run_id"], one["message_id"], "user", "text"] += one["prompt"] or ""
    return {key: value for key, value in found.items() if value}


def check(client: httpx.Client, agent: OldAgent) -> None:
    """Everything is there. The order of parts too, where their events are: a state of version 1 does not say it."""
    whole = Folded()
    whole.take(agent.events)
    wanted = [*(entry for page in whole.pages for entry in page.messages), *whole.state["messages"]]
    state, entries = read(client, agent)
    assert state["fold"] == 2
    assert said(entries, state["queue"]) == said(wanted, whole.state["queue"]), agent.number
    if agent.is_trimmed:
        for key in ("status", "title", "active_run", "usage", "runs_total", "files_total"):
            assert state[key] == whole.state[key], (agent.number, key)
        assert by_id(state["runs"]) == by_id(whole.state["runs"]), agent.number
    else:
        assert encode(state) == encode(whole.state), agent.number
        assert encode(entries) == encode(wanted), agent.number


def test_a_site_of_version_1_is_upgraded_while_it_serves(site: OldSite):
    agents = list(old_agents())
    site.data.mkdir()
    site.run("-m", "tests.journeys.old_site")
    first_total = killed_after(site.start("-m", "agentsite", "migrate"), 200)
    site.run("-c", ADMIN)
    web = site.start("-m", "agentsite", "web")
    with site.client() as client:
        web.wait_until(lambda: is_up(client), PATIENCE_S)
        served = [*agents[:SHAPES], *agents[-SHAPES:]]  # upgraded in the order of their ids
        for agent in served:
            check(client, agent)
            check_stream(client, agent)
        renamed = client.patch(f"/api/agents/{agents[-1].id}", json={"title": "Renamed"}).raise_for_status()
        second_total = killed_after(site.start("-m", "agentsite", "migrate"), 300)
        for agent in served[:-1]:
            check(client, agent)
        third_total = total(site.run("-m", "agentsite", "migrate"))
        assert AGENTS * 0.9 < first_total <= AGENTS
        assert 0 < third_total <= second_total - 300 < first_total - 500
        assert "upgraded" not in site.run("-m", "agentsite", "migrate")
        for agent in agents[:-1]:
            check(client, agent)
        assert renamed.json()["title"] == "Renamed" == read(client, agents[-1])[0]["title"]


def by_id(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Version 1 had them in the order of the queue."""
    return {run["id"]: run for run in runs}


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
