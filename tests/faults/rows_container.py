"""Containers that are killed, and those that need too much memory. Each run ends with an error and one `done`."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from time import monotonic

from tests.faults.cast import Cast
from tests.faults.plan import Plan
from tests.faults.row import Row, Scene
from tests.faults.stack import Profile
from tests.faults.waiting import aside, until

NOTICED_S = 10.0
RESTORED_S = 15.0


async def killed(scene: Scene) -> None:
    async with scene.cast(finish=False) as cast:
        await asyncio.sleep(scene.moment())
        engine, began = scene.stack.engine(), monotonic()
        try:
            for container in await engine.list({"agentsite": scene.stack.site_id}):
                if container.pid and container.labels["agentsite.agent"] in {one.agent_id for one in cast.agents}:
                    with suppress(ProcessLookupError):
                        os.kill(container.pid, signal.SIGKILL)
        finally:
            await engine.close()
        await _ended(scene, cast, began, "container-exit")


async def out_of_memory(scene: Scene) -> None:
    began = monotonic()
    async with scene.cast(replace(Plan(), eat_at=60), finish=False) as cast:
        await _ended(scene, cast, began + 20, "out-of-memory")


async def daemon_restarted(scene: Scene) -> None:
    """The containers go on, and so do their runs, once the daemon answers again."""
    dockerd = scene.stack.dockerd
    assert dockerd is not None
    async with scene.cast() as cast:
        for how in (dockerd.stop, dockerd.kill):
            await asyncio.sleep(scene.moment())
            await aside(how)
            await asyncio.sleep(scene.moment(3.0))
            await aside(dockerd.start)
            scene.tally.took(await cast.heard_since(monotonic(), 60), RESTORED_S, "hearing again")
            scene.tally.repetitions += len(cast.agents)


async def _ended(scene: Scene, cast: Cast, began: float, code: str) -> None:
    for agent in cast.agents:
        agent.status, agent.errors = "failed", (code,)
        await until(agent.heard_done_at, 90, f"{agent.agent_id} says that it failed")
    scene.tally.took(max(agent.heard_done_at() for agent in cast.agents) - began, NOTICED_S, "noticing")
    scene.tally.repetitions += len(cast.agents)
    await cast.containers_gone()


DOCKER = Profile(engine="docker", memory_mib=64)
OWN = Profile(engine="docker", own_engine=True, memory_mib=64)
ROWS = [
    Row("container-kill", "container SIGKILLed (docker)", killed, DOCKER, needs="docker"),
    Row("program-kill", "program SIGKILLed (process)", killed),
    Row(
        "engine-restart",
        "engine daemon restarted by SIGTERM, SIGKILL (live-restore)",
        daemon_restarted,
        OWN,
        needs="dockerd",
        quick_agents=1,
    ),
    Row("container-memory", "out of memory (docker, 64 MiB)", out_of_memory, DOCKER, needs="docker"),
]
