"""`agentsite up`, started, used, broken and stopped as by a person. Real processes; a real engine if there is one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio

from containers.spec import MIB
from containers.workspace import program_user
from tests.faults import plan as plans
from tests.faults.cast import subscriber_problems
from tests.faults.plan import Plan
from tests.faults.site import Stored
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import aside, until
from tests.journeys import processes
from tests.journeys.acts import (
    LEASE_S,
    QUICK,
    RESTART_S,
    answered,
    has_heard_done,
    inspected,
    kill,
    subscribe,
    whole_log,
)
from tests.journeys.site import UpSite

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(240)]
RUN_S = 60.0
CTRL_C_S = 5.0
"""All processes have ended this soon after Ctrl-C."""
RELEASE_S = 5.0
ASKED_S = 15.0
"""How long the reaper is patient with a run that was handed to a worker (agents/worker/reaper.py)."""
AT_ONCE_S = 4.0
AT_WORK = "engine chosen"
"""What a worker prints when it begins."""
PLAN = Plan(pace_s=(0.02, 0.06))
PROVIDER_KEYS = {"OPENAI_API_KEY": "sk-canary-of-the-environment", "openai_api_key": "sk-canary-in-small-letters"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UpSite]:
    """One for all tests that leave it whole. Its data directory is one of an earlier version, open to all."""
    up = UpSite(tmp_path_factory.mktemp("up"), settings={**QUICK, **PROVIDER_KEYS})
    up.data.mkdir()
    up.data.chmod(0o755)
    try:
        await aside(up.start)
        yield up
    finally:
        await aside(up.close)


@dataclass
class Load:
    """A run of the workload, which goes on until it is told to finish, and somebody who follows it."""

    site: UpSite
    agent_id: str
    run_id: str
    subscriber: Subscriber

    async def at_work(self) -> None:
        await until(lambda: self.subscriber.seq >= 12, RUN_S, "the workload at work")

    async def heard_since(self, moment: float, within_s: float) -> float:
        """Seconds from `moment` until the run was heard of again."""
        left = max(0.1, moment + within_s - monotonic())
        await until(lambda: self.subscriber.since(moment), left, "the run goes on", every_s=0.01)
        return self.subscriber.since(moment)[0].at - moment

    async def finish(self) -> None:
        """Returns when everybody has heard its end, and all of it was right."""
        (self.site.workspace(self.agent_id) / "finish").touch()
        await until(partial(has_heard_done, self.subscriber), RUN_S, "the end of the run")
        await self.subscriber.stop()
        log = await whole_log(self.site, self.agent_id, self.subscriber.seq)
        assert log.problems == []
        assert subscriber_problems(self.subscriber, log) == []
        deeds = plans.deeds(self.site.workspace(self.agent_id), self.run_id)
        assert plans.problems(PLAN, [event for event in log.events if event.run_id == self.run_id], deeds) == []
        assert (deeds.starts, log.events[-1].data["status"]) == (1, "completed")


async def start_load(site: UpSite) -> Load:
    async with site.client() as client:
        agent = await answered(client.post("/api/agents", json={"definition": "load", "input": PLAN.input()}))
        (run,) = (await answered(client.get(f"/api/agents/{agent['id']}/runs")))["runs"]
    load = Load(site, agent["id"], run["id"], subscribe(site, agent["id"], Habits("0-0")))
    await load.at_work()
    return load


# The first minutes ----------------------------------------------------------------------------------------------------


async def test_one_line_says_that_it_is_ready(site: UpSite):
    assert len(site.ready_lines()) == 1
    assert site.ready_lines()[0].startswith(f"ready: {site.url}/ ")
    assert (site.data / "url").read_text() == f"{site.url}/\n", "for links that `agentsite login` prints"


async def test_the_login_link_works_once(site: UpSite):
    async with httpx.AsyncClient(trust_env=False) as first, httpx.AsyncClient(trust_env=False) as second:
        answer = await first.get(site.login_link)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        assert (await first.get(f"{site.url}/api/agents")).status_code == 200
        assert (await second.get(site.login_link)).status_code == 410
        assert (await second.get(f"{site.url}/api/agents")).status_code == 401


async def test_the_token_is_for_its_owner_only_and_works(site: UpSite):
    assert (site.data / "admin-token").stat().st_mode & 0o777 == 0o600
    async with site.client() as client:
        assert (await client.get("/api/agents")).status_code == 200
        wrong = {"Authorization": f"Bearer {site.token[:-1]}"}
        assert (await client.get("/api/agents", headers=wrong)).status_code == 401


async def test_the_data_directory_and_its_secrets_are_private_and_programs_still_have_their_workspaces(
    site: UpSite, demo: Demo
):
    assert site.data.stat().st_mode & 0o777 == 0o700
    secrets = [site.data / name for name in ("admin-token", "secret-key")] + [*site.data.glob("agentsite.sqlite3*")]
    assert len(secrets) >= 3
    assert {path.name: path.stat().st_mode & 0o777 for path in secrets} == {path.name: 0o600 for path in secrets}
    assert demo.log.events[-1].data["files_changed"] > 0


async def test_keys_of_providers_are_in_the_environment_of_the_worker_alone(site: UpSite):
    for name in ("web", "beat", "worker"):
        pid = site.child(name)
        assert pid is not None
        environ = processes.environment_of(pid)
        assert environ, name
        has_keys = any(value in environ.values() for value in PROVIDER_KEYS.values())
        assert has_keys == (name == "worker"), name
    async with site.client() as client:
        providers = (await answered(client.get("/api/providers")))["providers"]
    assert {one["name"]: one["usable"] for one in providers}["openai"]
    assert "canary" not in str(providers)


# A run of the demo, and those who follow it ---------------------------------------------------------------------------


@dataclass
class Demo:
    log: Stored
    subscribers: dict[str, Subscriber]
    container: dict[str, Any] | None
    """What `docker inspect` said while it ran; None without an engine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(site: UpSite) -> AsyncIterator[Demo]:
    """Over; the subscribers have heard it all."""
    async with site.client() as client:
        agent = await answered(client.post("/api/agents", json={"definition": "demo", "input": "Analyse the data."}))
    agent_id = agent["id"]
    subscribers = {
        "from the start": subscribe(site, agent_id, Habits("0-0")),
        "cut": subscribe(site, agent_id, Habits("0-0", cut_every_frames=3)),
    }
    await until(lambda: subscribers["from the start"].seq > 20, RUN_S, "the demo at work")
    subscribers["late"] = subscribe(site, agent_id, Habits(None))
    container = await inspected(site, agent_id) if site.engine_name == "docker" else None
    try:
        for name, subscriber in subscribers.items():
            await until(partial(has_heard_done, subscriber), RUN_S, f"the demo's end, by the one {name}")
        yield Demo(await whole_log(site, agent_id, subscribers["cut"].seq), subscribers, container)
    finally:
        await asyncio.gather(*(one.stop() for one in subscribers.values()))


async def test_a_demo_run_is_one_log_without_a_gap_and_one_done(demo: Demo):
    log = demo.log
    assert log.problems == []
    assert [event.seq for event in log.events] == list(range(1, len(log.events) + 1))
    assert [event.type for event in log.events].count("done") == 1
    assert (log.events[-1].type, log.events[-1].data["status"]) == ("done", "completed")


@pytest.mark.parametrize("name", ["from the start", "late", "cut"])
async def test_every_subscriber_saw_the_same_log(demo: Demo, name: str):
    subscriber = demo.subscribers[name]
    assert subscriber_problems(subscriber, demo.log) == []
    assert (subscriber.lost, subscriber.repeated, subscriber.resets) == (0, 0, [])


async def test_they_joined_and_were_cut_as_they_should(demo: Demo):
    """Otherwise the test before this one would say nothing."""
    late, cut = demo.subscribers["late"], demo.subscribers["cut"]
    assert late.base.seq > 0
    assert late.base_state is not None
    assert len(late.events) > 20
    assert cut.reconnects >= len(cut.events) // 3 - 1


@pytest.mark.docker
async def test_its_container_is_locked_up(demo: Demo):
    assert demo.container is not None
    config, host = demo.container["Config"], demo.container["HostConfig"]
    assert config["User"] == program_user()
    assert not config["User"].startswith("0")
    assert (config["OpenStdin"], config["StdinOnce"], config["Tty"]) == (True, False, False)
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert (host["CapDrop"], host["CapAdd"] or []) == (["ALL"], [])
    assert host["Privileged"] is False
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert any(option.startswith('seccomp={"defaultAction":"SCMP_ACT_ERRNO"') for option in host["SecurityOpt"])
    assert host["Init"] is True
    assert host["AutoRemove"] is False


@pytest.mark.docker
async def test_its_container_has_the_bounds_of_its_definition(demo: Demo):
    assert demo.container is not None
    host = demo.container["HostConfig"]
    assert host["PidsLimit"] == 64
    assert host["Memory"] == host["MemorySwap"] == 512 * MIB
    assert host["NanoCpus"] == 1_000_000_000
    assert {"noexec", "nosuid", "nodev"} <= set(host["Tmpfs"]["/tmp"].split(","))
    assert {"size", "nr_inodes"} <= {option.partition("=")[0] for option in host["Tmpfs"]["/tmp"].split(",")}
    assert 0 < host["ShmSize"] <= 64 * MIB
    assert {"nofile", "core", "fsize"} == {limit["Name"] for limit in host["Ulimits"]}
    assert host["LogConfig"]["Config"]["max-file"] == "1"
    mounts = [(mount["Type"], mount["Destination"]) for mount in demo.container["Mounts"]]
    assert mounts == [("bind", "/workspace")]


# What dies ------------------------------------------------------------------------------------------------------------


async def test_a_worker_that_is_told_to_end_gives_its_leases_back_and_the_run_goes_on(site: UpSite):
    load = await start_load(site)
    worker = site.child("worker")
    assert worker is not None
    assert f"-{worker}-" in (site.owner(load.agent_id) or "")
    begun = site.printed().count(AT_WORK)
    os.kill(worker, signal.SIGTERM)
    moment = monotonic()
    await until(lambda: site.owner(load.agent_id) is None, RELEASE_S, "the lease given back", every_s=0.005)
    await until(lambda: site.printed().count(AT_WORK) > begun, RESTART_S, "the next worker at work")
    at_work = monotonic() - moment
    # Neither the lease nor the reaper's patience had to run out. How long a process takes to start is the machine's.
    assert await taken_over(load, moment) - at_work < AT_ONCE_S
    await load.finish()


async def taken_over(load: Load, moment: float) -> float:
    """Seconds from `moment` until an event of a new writer was heard."""
    epoch = next(seen.cursor.epoch for seen in reversed(load.subscriber.events) if seen.at < moment)

    def later() -> list[float]:
        return [seen.at for seen in load.subscriber.since(moment) if seen.cursor.epoch > epoch]

    await until(later, RESTART_S, "a new writer")
    return later()[0] - moment


async def test_what_is_killed_is_started_again_and_a_run_misses_nothing(site: UpSite):
    load = await start_load(site)
    names = ["web", "beat", *(["redis"] if site.child("redis") else []), "worker"]
    for name in names:
        moment = await kill(site, name, signal.SIGKILL)
        await load.heard_since(moment, LEASE_S + ASKED_S + RESTART_S)
    await load.finish()


# Ctrl-C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.docker
async def test_a_run_goes_on_over_ctrl_c_and_ends_after_the_next_start(tmp_path: Path):
    site = UpSite(tmp_path, engine="docker")
    try:
        await aside(site.start)
        load = await start_load(site)
        container = await inspected(site, load.agent_id)
        before, listed = site.log(load.agent_id), await listing(site, load.agent_id)
        token = site.token

        stopped = await asyncio.to_thread(site.interrupt)
        assert stopped.code == 0
        assert stopped.took_s < CTRL_C_S
        assert processes.of(site.data) == []
        assert (await inspected(site, load.agent_id))["Id"] == container["Id"]

        await aside(site.start)
        assert site.token == token
        assert await listing(site, load.agent_id) == listed
        assert site.log(load.agent_id).payloads[: len(before.payloads)] == before.payloads
        await load.finish()
    finally:
        await aside(site.close)


async def listing(site: UpSite, agent_id: str) -> Any:
    """Agents and runs, as the API has them while a run goes on."""
    async with site.client() as client:
        agents = (await answered(client.get("/api/agents")))["agents"]
        runs = (await answered(client.get(f"/api/agents/{agent_id}/runs")))["runs"]
    return [(one["id"], one["title"], one["status"]) for one in agents], [(one["id"], one["input"]) for one in runs]
