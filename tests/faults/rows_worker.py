"""Workers that die, leave, or stand still."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from itertools import pairwise
from time import monotonic

from tests.faults.cast import Cast, Watched
from tests.faults.row import Row, Scene
from tests.faults.stack import Profile
from tests.faults.waiting import aside, until

TAKEOVER_S = 45.0
"""With a lease of 30 s."""
DETACH_S = 5.0
LEAVE_S = 15.0


def _of(cast: Cast, ids: set[str]) -> list[Watched]:
    return [agent for agent in cast.agents if agent.agent_id in ids]


def _most_s(scene: Scene) -> float:
    """Lease, the reaper's look, its patience with a run it has asked for (15 s)."""
    return max(TAKEOVER_S, scene.stack.profile.lease_s + 15)


async def kill_worker(scene: Scene) -> None:
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        victim, held = await scene.busiest()
        epochs, began = await scene.site.epochs(), monotonic()
        await aside(victim.kill)
        await scene.restart(victim)
        worst = await cast.taken_over(_of(cast, held), epochs, began, 2 * TAKEOVER_S)
        scene.tally.took(worst, _most_s(scene), "takeover")
        scene.tally.repetitions += len(held)
        await asyncio.sleep(scene.moment())


async def kill_all_workers(scene: Scene) -> None:
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        epochs, began = await scene.site.epochs(), monotonic()
        for worker in scene.stack.workers:
            await aside(worker.kill)
        for worker in scene.stack.workers:
            await scene.restart(worker)
        worst = await cast.taken_over(cast.agents, epochs, began, 2 * TAKEOVER_S)
        scene.tally.took(worst, _most_s(scene), "takeover")
        scene.tally.repetitions += len(cast.agents)
        await asyncio.sleep(scene.moment())


async def end_worker(scene: Scene) -> None:
    """A deploy: SIGTERM, and the next one is started when it has gone."""
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        victim, held = await scene.busiest()
        epochs, began = await scene.site.epochs(), monotonic()
        victim.signal(signal.SIGTERM)

        async def detached() -> bool:
            return victim.pid not in (await scene.site.owners()).values()

        await until(detached, 4 * DETACH_S, f"{victim.name} gives its leases back")
        scene.tally.took(monotonic() - began, DETACH_S, "detaching")
        await until(lambda: not victim.is_running, LEAVE_S, f"{victim.name} gone after SIGTERM")
        scene.tally.note_most("process gone s", monotonic() - began)
        await scene.restart(victim)
        scene.tally.took(await cast.taken_over(_of(cast, held), epochs, began, TAKEOVER_S), DETACH_S, "takeover")
        scene.tally.repetitions += len(held)
        await asyncio.sleep(scene.moment())


async def freeze_worker(scene: Scene) -> None:
    """SIGSTOP for longer than the lease. What it holds in memory must never come out."""
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        victim, held = await scene.busiest()
        frozen = _of(cast, held)
        epochs, began = await scene.site.epochs(), monotonic()
        victim.signal(signal.SIGSTOP)
        try:
            worst = await cast.taken_over(frozen, epochs, began, 2 * TAKEOVER_S)
        finally:
            victim.signal(signal.SIGCONT)
        scene.tally.took(worst, _most_s(scene), "takeover")
        await _old_writer_is_silent(scene, frozen, epochs)
        scene.tally.repetitions += len(held)


async def _old_writer_is_silent(scene: Scene, frozen: list[Watched], epochs: dict[str, int]) -> None:
    """For as long as it could have published what it holds: nothing of its epoch comes after the new one began."""
    for agent in frozen:
        heard = partial(agent.has_heard, len(agent.first.events) + 20)
        await until(heard, 60, "the new writer goes on")
        behind = [seen.cursor.epoch for seen in agent.first.events]
        late = sum(after < before for before, after in pairwise(behind))
        scene.tally.expect(not late, f"{late} events of a stale writer got in (epoch {epochs[agent.agent_id]})")


USUAL_LEASE = Profile(engine="docker", lease_s=30, memory_mib=64)
ROWS = [
    Row("worker-kill", "SIGKILL of a worker (lease 30 s, docker)", kill_worker, USUAL_LEASE, needs="docker"),
    Row("worker-kill-process", "SIGKILL of a worker (lease 6 s, process)", kill_worker),
    Row("workers-kill", "SIGKILL of all workers (lease 6 s)", kill_all_workers),
    Row("worker-term", "SIGTERM of a worker", end_worker),
    Row("worker-stop", "SIGSTOP of a worker beyond its lease (6 s), SIGCONT", freeze_worker),
]
