"""Redis: emptied, killed, away, and gone together with the worker."""

from __future__ import annotations

import asyncio
from time import monotonic

from tests.faults.cast import Cast, Watched
from tests.faults.row import Row, Scene
from tests.faults.waiting import aside, until

RECOVERY_S = 15.0
"""From Redis being back to everybody hearing the next event. The tip poll alone would take 3 s."""
TAKEOVER_S = 45.0
PICKED_UP_S = 45.0
"""From Redis being back to a run that was posted without it: Celery reconnects, beat ticks, the reaper looks."""


async def flush(scene: Scene) -> None:
    async with scene.cast() as cast:
        for _ in range(1 if scene.quick else 2):
            await asyncio.sleep(scene.moment())
            began = monotonic()
            await aside(scene.stack.redis.flush)
            await _goes_on(scene, cast.agents, cast, began)


async def restart_empty(scene: Scene) -> None:
    async with scene.cast() as cast:
        for _ in range(1 if scene.quick else 2):
            await asyncio.sleep(scene.moment())
            await aside(scene.stack.redis.restart_empty)
            await _goes_on(scene, cast.agents, cast, monotonic())


async def _goes_on(scene: Scene, agents: list[Watched], cast: Cast, began: float) -> None:
    scene.tally.took(await cast.heard_since(began, 60, agents), RECOVERY_S, "hearing again")
    scene.tally.repetitions += len(agents)


async def away(scene: Scene) -> None:
    """Streams go on from the database meanwhile, and what is posted then is done when Redis is back."""
    away_s = 8.0 if scene.quick else 60.0
    async with scene.cast() as cast:
        await asyncio.sleep(scene.moment())
        await aside(scene.stack.redis.kill)
        began = monotonic()
        # The message of this run is lost for sure: nobody is there to take it.
        late = await cast.add(cast.agents[0].plan)
        await until(lambda: monotonic() > began + away_s / 2, away_s, "half the time is over")
        scene.tally.took(await cast.heard_since(monotonic(), 30, cast.agents[:-1]), RECOVERY_S, "hearing without Redis")
        await until(lambda: monotonic() > began + away_s, 2 * away_s, "the time is over")
        await aside(scene.stack.redis.start)
        back = monotonic()
        await _goes_on(scene, cast.agents[:-1], cast, back)
        await until(lambda: late.has_heard(12), PICKED_UP_S, "the run that was posted without Redis")
        scene.tally.note_most("run posted meanwhile began after", monotonic() - back)


async def with_worker(scene: Scene) -> None:
    """The only row in which something that was seen may be taken back: nobody has it any more. Then: one reset."""
    async with scene.cast(resets_allowed=1) as cast:
        await asyncio.sleep(scene.moment())
        epochs, began = await scene.site.epochs(), monotonic()
        for worker in scene.stack.workers:
            await aside(worker.kill)
        await aside(scene.stack.redis.restart_empty)
        for worker in scene.stack.workers:
            await scene.restart(worker)
        scene.tally.took(await cast.taken_over(cast.agents, epochs, began, 90), TAKEOVER_S, "takeover")
        scene.tally.repetitions += len(cast.agents)
        await asyncio.sleep(scene.moment())


ROWS = [
    Row("redis-flush", "FLUSHALL", flush),
    Row("redis-kill", "SIGKILL of Redis, back and empty", restart_empty),
    Row("redis-away", "Redis away for 60 s", away),
    Row("redis-and-worker", "workers and Redis killed together (one reset allowed)", with_worker),
]
