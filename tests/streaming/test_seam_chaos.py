"""The law of the seam again, by chance: a writer goes on publishing while Redis, messages and connections get lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from streaming.read.channel import Channel
from tests.streaming.world import Follower, World, redis_command, text, write_on

pytestmark = [pytest.mark.faults, pytest.mark.long]
EVENTS = 1200


async def nothing(world: World) -> None:
    """Only what goes on anyway: joining, leaving, committing."""


async def flush_redis(world: World) -> None:
    await redis_command(world.redis, "FLUSHALL")


async def kill_subscriptions(world: World) -> None:
    await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "pubsub")


async def kill_all_connections(world: World) -> None:
    await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "normal")
    await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "pubsub")


async def restart_redis_empty(world: World) -> None:
    await asyncio.to_thread(world.redis.restart_empty)


Fault = Callable[[World], Awaitable[None]]
FAULTS: list[Fault] = [nothing, flush_redis, kill_subscriptions, kill_all_connections, restart_redis_empty]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.__name__)
@pytest.mark.slow
async def test_every_subscriber_gets_the_whole_log_through(world: World, settings, seed: int, fault: Fault):
    settings.TIP_POLL_S = 0.2
    rng = random.Random(seed)
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    lossy = World(world.redis)
    _lose_messages(lossy, rng, share=0.3)
    followers = [
        *_followers(world, agent_id),
        *_followers(lossy, agent_id),
    ]
    stop = asyncio.Event()
    trouble = asyncio.create_task(_again_and_again(lambda: fault(world), rng, stop))
    joining = asyncio.create_task(_join_now_and_then(world, agent_id, lambda: writer.sent, rng, followers, stop))
    try:
        await write_on(writer, EVENTS, rng, lambda: asyncio.sleep(rng.choice([0, 0, 0, 0.002, 0.02, 0.05])))
    finally:
        stop.set()
        await asyncio.gather(trouble, joining)
    await writer.append([text("end")])
    await writer.close()
    log = await world.log(agent_id)
    for follower in followers:
        await follower.reaches(len(log))
        follower.check(log)
        assert not follower.resets, f"seed {seed}: the writer lived, so nobody had to be reset"
    await lossy.close()


def _followers(world: World, agent_id: str) -> list[Follower]:
    return [
        world.follow(agent_id, "0-0"),
        world.follow(agent_id),
        world.follow(agent_id, "0-0", cut_after=3),
        world.follow(agent_id, "0-0", cut_after=40),
    ]


async def _again_and_again(fault: Callable[[], Awaitable[None]], rng: random.Random, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(rng.uniform(0.05, 0.5))
        await fault()


async def _join_now_and_then(
    world: World,
    agent_id: str,
    published: Callable[[], int],
    rng: random.Random,
    followers: list[Follower],
    stop: asyncio.Event,
) -> None:
    """Late ones: with no cursor, from the start, or from anywhere that somebody has seen."""
    while not stop.is_set() and len(followers) < 30:
        await asyncio.sleep(rng.uniform(0.02, 0.3))
        seen = max(follower.seq for follower in followers)
        cursor = rng.choice([None, "0-0", f"1-{rng.randint(1, seen)}" if seen else "0-0"])
        followers.append(world.follow(agent_id, cursor, cut_after=rng.choice([None, 3, 20])))


def _lose_messages(world: World, rng: random.Random, share: float) -> None:
    deliver = world.hub._deliver

    def sometimes(channel: Channel, data: bytes) -> None:
        if rng.random() > share:
            deliver(channel, data)

    world.hub._deliver = sometimes  # type: ignore[method-assign]


async def test_subscribers_get_the_whole_log_over_many_takeovers(world: World, settings, seed: int):
    """Workers die without a word and are replaced; Redis lives, so what it has is adopted and nobody is reset."""
    settings.TIP_POLL_S = 0.2
    rng = random.Random(seed)
    agent_id = await world.agent()
    followers = _followers(world, agent_id)
    for _ in range(15):
        writer = await world.writer(agent_id)
        await write_on(writer, rng.randint(1, 60), rng, lambda: asyncio.sleep(rng.choice([0, 0.001, 0.02])))
        await _until_published(writer)
        await writer.abandon()
    writer = await world.writer(agent_id)
    await writer.append([text("end")])
    await writer.close()
    log = await world.log(agent_id)
    for follower in followers:
        await follower.arrives_at(f"{writer.epoch}-{len(log)}")
        follower.check(log)
        assert not follower.resets


async def test_subscribers_agree_in_the_end_whatever_was_lost(world: World, settings, seed: int):
    """Workers and Redis die together, at any moment: the log goes on from what was committed, and everybody is told."""
    settings.TIP_POLL_S = 0.2
    rng = random.Random(seed)
    agent_id = await world.agent()
    followers = _followers(world, agent_id)
    for _ in range(20):
        writer = await world.writer(agent_id)
        await write_on(writer, rng.randint(1, 40), rng, lambda: asyncio.sleep(rng.choice([0, 0.001, 0.02])))
        await writer.abandon()
        if rng.random() < 0.5:
            await rng.choice([flush_redis, restart_redis_empty])(world)
    writer = await world.writer(agent_id)
    await writer.append([text("end")])
    await writer.close()
    log = await world.log(agent_id)
    for follower in followers:
        await follower.arrives_at(f"{writer.epoch}-{len(log)}")
        follower.check(log)


async def _until_published(writer) -> None:
    from tests.streaming.world import until

    await until(lambda: writer.sent == writer.seq, "everything is published")
