"""The database: away, standing still, and with its connections cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from time import monotonic

from tests.faults.cast import Cast
from tests.faults.plan import Plan
from tests.faults.row import Row, Scene
from tests.faults.stack import Profile
from tests.faults.subscriber import Habits
from tests.faults.waiting import aside, until

RECOVERY_S = 20.0
"""From the database being back to the next event. Its own start and a backed-off retry are in there."""
LIVE_S = 5.0
GROWTH_MIB = 96.0
"""Most that a process may grow by while the database is away, with PENDING_BYTES at 1 MiB an agent."""
FLOOD = Plan(pace_s=(0.0, 0.01), pad=4000, tool_every=50)


async def away(scene: Scene) -> None:
    """PostgreSQL is shut down. Live goes on over Redis; what floods is slowed, and nobody's memory grows."""
    away_s = 6.0 if scene.quick else 30.0
    async with scene.cast(agents=scene.agents - 1) as cast:
        # These two never reconnect: without the database nobody can be let in.
        flooding = await cast.add(FLOOD, (Habits("0-0"), Habits(None)))
        await until(lambda: flooding.has_heard(12), 60, "the flood")
        await asyncio.sleep(scene.moment())
        before = _memory(scene)
        await aside(scene.stack.postgres.stop)
        began = monotonic()
        if not scene.quick:
            await _live_goes_on(scene, cast, began)
        await until(lambda: monotonic() > began + away_s, 2 * away_s, "the time is over")
        growth = {name: now - before[name] for name, now in _memory(scene).items()}
        await aside(scene.stack.postgres.start)
        await _goes_on(scene, cast, monotonic())
        for name, mib in growth.items():
            scene.tally.expect(mib < GROWTH_MIB, f"{name} grew by {mib:.0f} MiB")
        scene.tally.note_most("growth MiB", max(growth.values()))


async def _live_goes_on(scene: Scene, cast: Cast, began: float) -> None:
    """As long as the lease allows. Not that of the flooding one: its megabyte is full after a second."""
    live_until = scene.stack.profile.lease_s / 2
    await until(lambda: monotonic() > began + live_until, 2 * live_until, "half a lease is over")
    live = await cast.heard_since(monotonic(), 30, cast.agents[:-1])
    scene.tally.expect(live < LIVE_S, f"live events went on after {live:.1f} s only")


async def frozen(scene: Scene) -> None:
    """Every PostgreSQL process stands still: no connection breaks, nothing answers."""
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        backends = await scene.site.backends()
        scene.stack.postgres.pause()
        _signal(backends, signal.SIGSTOP)
        began = monotonic()
        away_s = 4.0 if scene.quick else 15.0
        await until(lambda: monotonic() > began + away_s, 2 * away_s, "the time is over")
        _signal(backends, signal.SIGCONT)
        scene.stack.postgres.resume()
        await _goes_on(scene, cast, monotonic())


async def cut(scene: Scene) -> None:
    async with scene.cast() as cast:
        cuts = 0
        for _ in range(2 if scene.quick else 5):
            await asyncio.sleep(scene.moment())
            began = monotonic()
            cuts += await scene.site.cut_connections()
            scene.tally.took(await cast.heard_since(began, 60), RECOVERY_S, "hearing again")
        scene.tally.repetitions += len(cast.agents)
        scene.tally.note_sum("connections cut", cuts)


async def _goes_on(scene: Scene, cast: Cast, began: float) -> None:
    scene.tally.took(await cast.heard_since(began, 90), RECOVERY_S, "hearing again")
    scene.tally.repetitions += len(cast.agents)


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _memory(scene: Scene) -> dict[str, float]:
    return {process.name: process.rss_mib() for process in (*scene.stack.workers, *scene.stack.webs)}


LONG_LEASE = Profile(lease_s=30)
ROWS = [
    Row("database-cut", "database connections cut (pg_terminate_backend)", cut),
    Row("database-stop", "database stands still for 15 s (SIGSTOP)", frozen),
    Row("database-away", "database away for 30 s, one agent flooding", away, LONG_LEASE),
]
