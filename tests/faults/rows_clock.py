"""Machines whose clocks are wrong: a worker ten minutes ahead, one ten minutes behind the database."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from tests.faults.cast import Cast
from tests.faults.row import Row, Scene
from tests.faults.stack import Process, Profile
from tests.faults.waiting import aside, until

TAKEOVER_S = 45.0
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
"""From Debian's package faketime. A machine's monotonic clock does not jump when its clock is set, so it is real."""


def _skewed(minutes: int) -> dict[str, str]:
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{minutes:+d}m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def skewed(scene: Scene) -> None:
    """Nothing changes hands for more than a lease; then each worker in turn is gone, and the other has to do it all."""
    async with scene.cast() as cast:
        epochs, began = await scene.site.epochs(), monotonic()
        calm_s = 1.5 * scene.stack.profile.lease_s
        await until(lambda: monotonic() > began + calm_s, 60, "more than a lease has passed")
        scene.tally.expect(await scene.site.epochs() == epochs, "somebody took over from a living worker")
        for victim in scene.stack.workers:
            await _replace(scene, cast, victim)


async def _replace(scene: Scene, cast: Cast, victim: Process) -> None:
    epochs, owners, began = await scene.site.epochs(), await scene.site.owners(), monotonic()
    held = [agent for agent in cast.agents if owners.get(agent.agent_id) == victim.pid]
    await aside(victim.kill)
    scene.tally.took(await cast.taken_over(held, epochs, began, 90), TAKEOVER_S, "takeover")
    await scene.restart(victim)
    await scene.stack.worker_ready(victim)
    scene.tally.repetitions += len(held)


SKEWED = Profile(worker_settings=(_skewed(10), _skewed(-10)), wall_s=600)
ROWS = [Row("clock-skew", "clocks of two workers 10 min ahead and behind", skewed, SKEWED, needs="faketime")]
