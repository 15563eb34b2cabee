"""Two hosts of one site: a worker each with engines of its own, one data directory, one PostgreSQL and Redis."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from containers.engines.process import ProcessEngine
from tests.faults.plan import Plan, deeds, problems
from tests.faults.site import Site
from tests.faults.stack import Process, Profile, Stack, remove_containers
from tests.faults.waiting import aside, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long]
HOST_LOST_S = 120.0
PATIENCE_S = 60.0
HOSTS = ("host0", "host1")
PLAN = Plan(pace_s=(0.01, 0.02))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    settings = {"AGENTSITE_HOST_LOST_S": f"{HOST_LOST_S:g}", "AGENTSITE_REAPER_INTERVAL_S": "0.5"}
    own = tuple({"AGENTSITE_LOCAL_DIR": name} for name in HOSTS)  # beneath the directory that they are started in
    stack = Stack(Profile(lease_s=3, workers=2, settings=settings, worker_settings=own))
    try:
        await stack.start()
        yield stack
    finally:
        await stack.close()
        for name in HOSTS:
            await remove_containers(ProcessEngine(stack.directory / name / "process"), stack.site_id)


async def test_a_worker_that_is_told_to_end_leaves_its_run_to_its_own_host(stack: Stack):
    site = Site(stack)
    agent_id, run_id = await site.create(PLAN)
    worker, _ = await at_work(stack, site, agent_id)
    worker.signal(signal.SIGTERM)
    await aside(lambda: worker.wait(20))
    before = await site.tip(agent_id)
    worker.start()
    await until(lambda: grown(site, agent_id, before), PATIENCE_S, "its host goes on with it")
    assert await site.run_row(run_id) == ("running", "")
    (stack.workspace(agent_id) / "finish").touch()
    await until(lambda: site.is_finished(run_id), PATIENCE_S, "the run ends")
    assert await site.run_row(run_id) == ("completed", "")
    assert problems(PLAN, (await site.log(agent_id)).events, deeds(stack.workspace(agent_id), run_id)) == []
    await site.close()


async def test_the_runs_of_a_host_that_is_gone_for_long_end_once_and_say_why(stack: Stack):
    site = Site(stack)
    agent_id, run_id = await site.create(PLAN)
    worker, other = await at_work(stack, site, agent_id)
    await aside(worker.kill)
    await pass_time(site, agent_id, HOST_LOST_S)
    await until(lambda: site.is_finished(run_id), PATIENCE_S, "the run ends")
    assert await site.run_row(run_id) == ("failed", "host-lost")
    assert [event.type for event in (await site.log(agent_id)).events].count("done") == 1
    assert other.is_running
    later = await site.submit(agent_id, PLAN)
    await until(lambda: site.attempts(later), PATIENCE_S, "the other host executes what comes next")
    (stack.workspace(agent_id) / "finish").touch()
    await until(lambda: site.is_finished(later), PATIENCE_S, "it ends")
    worker.start()
    await stack.ready()
    await site.close()


@pytest.mark.parametrize("command", ["web", "worker"])
async def test_a_process_with_another_data_directory_is_refused(stack: Stack, command: str):
    stranger = stack._process(
        f"stranger-{command}", [sys.executable, "-m", "agentsite", command], {"AGENTSITE_DATA_DIR": "elsewhere"}
    )
    stranger.start()
    assert await in_time(stranger) == 2
    (line,) = [line for line in stranger.log().splitlines() if "data directory" in line]
    assert "elsewhere" in line
    assert "AGENTSITE_DATA_DIR" in line
    assert "Traceback" not in stranger.log()


async def pass_time(site: Site, agent_id: str, seconds: float) -> None:
    """The agent's host was not seen for so long, and all the others were."""
    ((host,),) = await site.rows(
        "SELECT host FROM agents_attempt WHERE run_id IN (SELECT id FROM agents_run WHERE agent_id = %s)", agent_id
    )
    ago = "make_interval(secs => %s)"
    await site.rows(f"UPDATE agents_host SET seen_at = seen_at - {ago} WHERE id = %s", seconds, host)
    await site.rows(f"UPDATE agents_host SET present_since = present_since - {ago}", seconds)


async def in_time(process: Process) -> int:
    await until(lambda: not process.is_running, PATIENCE_S, "it ends")
    return process.wait(1)


async def at_work(stack: Stack, site: Site, agent_id: str) -> tuple[Process, Process]:
    """The worker that has the agent, once its run has begun to speak; and the other one."""
    await until(lambda: grown(site, agent_id, 20), PATIENCE_S, "the run speaks")
    pid = (await site.owners())[agent_id]
    first, second = stack.workers
    return (first, second) if first.pid == pid else (second, first)


async def grown(site: Site, agent_id: str, beyond: int) -> bool:
    return await site.tip(agent_id) > beyond
