"""The broker gives one task to many: one executes it."""

from __future__ import annotations

import asyncio
import signal

from celery import Celery

from tests.faults.cast import Cast
from tests.faults.plan import Plan
from tests.faults.row import Row, Scene
from tests.faults.waiting import aside

COPIES = 10


async def redelivered(scene: Scene) -> None:
    """Copies of the message wait for both workers before either may take one, and come again while the runs go on."""
    cast = Cast(scene.stack, scene.site, scene.rng, aged=scene.quick)
    try:
        for worker in scene.stack.workers:
            worker.signal(signal.SIGSTOP)
        await cast.start(scene.agents, Plan())
        await aside(lambda: _send(scene, cast))
        for worker in scene.stack.workers:
            worker.signal(signal.SIGCONT)
        await cast.at_work()
        for _ in range(3):
            await asyncio.sleep(scene.moment(0.5))
            await aside(lambda: _send(scene, cast))
        await cast.finish()
        scene.tally.add(await cast.verify())
        scene.tally.repetitions += len(cast.agents)
        scene.tally.note_sum("extra messages", 4 * COPIES * len(cast.agents))
    finally:
        await cast.stop()


def _send(scene: Scene, cast: Cast) -> None:
    with Celery("faults", broker=scene.stack.redis.url) as broker:
        for _ in range(COPIES):
            for agent in cast.agents:
                broker.send_task("agents.supervise", args=(agent.agent_id,))


ROWS = [Row("task-twice", "the same task for two workers, 40 times redelivered", redelivered)]
