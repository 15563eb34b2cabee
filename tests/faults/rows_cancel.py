"""Cancelling in every phase of a run. Each time: one `done` that says cancelled, soon, and no container left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic

from tests.faults.cast import Cast, Watched
from tests.faults.plan import Plan
from tests.faults.row import Row, Scene
from tests.faults.waiting import aside, until

CANCEL_S = 5.0
GRACE_S = 2.0
"""AGENTSITE_STOP_GRACE_S of the stacks here."""
NOISE_S = 3.0
"""Two busy cores, ten runs cancelled in one moment."""
MOST_S = CANCEL_S + GRACE_S + NOISE_S
SLOW_TOOL = Plan(tool_every=1, tool_s=600.0)
USUAL = Plan()
Fault = Callable[[Scene, Cast], Awaitable[float]]
"""Cancels; answers the moment from which the time counts."""


async def _cancel(scene: Scene, plan: Plan, fault: Fault, at_work: int = 12) -> None:
    cast = Cast(scene.stack, scene.site, scene.rng, aged=scene.quick)
    try:
        await cast.start(scene.agents, plan)
        if at_work:
            await cast.at_work(at_work)
        for agent in cast.agents:
            agent.status, agent.attempts = "cancelled", (0, 1)
        began = await fault(scene, cast)
        for agent in cast.agents:
            left = max(0.1, began + 90 - monotonic())
            await until(agent.heard_done_at, left, f"{agent.agent_id} says cancelled")
        scene.tally.took(max(agent.heard_done_at() for agent in cast.agents) - began, MOST_S, "cancelling")
        await scene.stack.start_missing()
        await cast.containers_gone()
        scene.tally.add(await cast.verify())
        scene.tally.repetitions += len(cast.agents)
    finally:
        await cast.stop()


async def _all(scene: Scene, agents: Sequence[Watched]) -> float:
    began = monotonic()
    await asyncio.gather(*(scene.site.cancel(agent.run_id) for agent in agents))
    return began


async def while_queued(scene: Scene) -> None:
    """No worker is there to take the run, nor to cancel it."""
    for worker in scene.stack.workers:
        await aside(worker.kill)
    try:
        await _cancel(scene, USUAL, lambda scene, cast: _all(scene, cast.agents), at_work=0)
    finally:
        await scene.stack.start_missing()


async def while_starting(scene: Scene) -> None:
    async def fault(scene: Scene, cast: Cast) -> float:
        async def one(agent: Watched) -> None:
            await asyncio.sleep(scene.rng.uniform(0.0, 0.5))
            await scene.site.cancel(agent.run_id)

        await asyncio.gather(*map(one, cast.agents))
        return monotonic()

    await _cancel(scene, USUAL, fault, at_work=0)


async def in_a_tool(scene: Scene) -> None:
    await _cancel(scene, SLOW_TOOL, lambda scene, cast: _all(scene, cast.agents), at_work=5)


async def ignored(scene: Scene) -> None:
    await _cancel(scene, replace(USUAL, stubborn=True), lambda scene, cast: _all(scene, cast.agents))


async def in_takeover(scene: Scene) -> None:
    """The worker has died, its lease has not run out. Time counts from the first lease that the next one gets."""

    async def fault(scene: Scene, cast: Cast) -> float:
        epochs = await scene.site.epochs()
        for worker in scene.stack.workers:
            await aside(worker.kill)
        await _all(scene, cast.agents)
        for worker in scene.stack.workers:
            await scene.restart(worker)

        async def taken() -> bool:
            now = await scene.site.epochs()
            return any(now[agent.agent_id] > epochs[agent.agent_id] for agent in cast.agents)

        await until(taken, 90, "takeover", 0.05)
        return monotonic()

    await _cancel(scene, USUAL, fault)


async def twice(scene: Scene) -> None:
    async def fault(scene: Scene, cast: Cast) -> float:
        began = monotonic()
        await asyncio.gather(*(_all(scene, cast.agents) for _ in range(2)))
        await asyncio.sleep(scene.moment(0.5))
        await _all(scene, cast.agents)
        return began

    await _cancel(scene, USUAL, fault)


async def without_redis(scene: Scene) -> None:
    """The poke is lost, and so is the live way back: the worker polls, and so do the streams."""

    async def fault(scene: Scene, cast: Cast) -> float:
        await aside(scene.stack.redis.kill)
        return await _all(scene, cast.agents)

    await _cancel(scene, USUAL, fault)


async def while_frozen(scene: Scene) -> None:
    """The worker stands still while people cancel, and goes on before its lease is over."""

    async def fault(scene: Scene, cast: Cast) -> float:
        for worker in scene.stack.workers:
            worker.signal(signal.SIGSTOP)
        await _all(scene, cast.agents)
        await asyncio.sleep(scene.moment())
        for worker in scene.stack.workers:
            worker.signal(signal.SIGCONT)
        return monotonic()

    await _cancel(scene, USUAL, fault)


ROWS = [
    Row("cancel-queued", "cancel before a worker took the run", while_queued),
    Row("cancel-starting", "cancel while starting", while_starting),
    Row("cancel-tool", "cancel in a tool call", in_a_tool),
    Row("cancel-ignored", "cancel, ignored by the program (grace 2 s)", ignored),
    Row("cancel-takeover", "cancel during takeover", in_takeover),
    Row("cancel-twice", "cancel three times, two at once", twice),
    Row("cancel-redis", "cancel with Redis away", without_redis),
    Row("cancel-frozen", "cancel while the workers stand still", while_frozen),
]
