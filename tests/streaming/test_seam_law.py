"""The law of the seam: whatever is published at whatever point of the switch from replay to live comes exactly once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from streaming.store import journal
from streaming.store.database import in_database
from tests.nightly import some
from tests.streaming.interleave import Delivered, Points, interleaved
from tests.streaming.world import Follower, HandWriter, World, redis_command, text, until, write_on

# What happens in between. Each leaves the log with at least one more event. ------------------------------------------


async def publish(writer: HandWriter) -> None:
    await writer.publish()


async def publish_many(writer: HandWriter) -> None:
    await writer.publish(3)
    await writer.publish(2)


async def publish_and_commit(writer: HandWriter) -> None:
    await writer.publish(2)
    await writer.commit()


async def commit_without_redis(writer: HandWriter) -> None:
    writer.append(2)
    await writer.commit()


async def lose_the_message(writer: HandWriter) -> None:
    await writer.publish(2, silently=True)


async def lose_the_message_of_the_first(writer: HandWriter) -> None:
    await writer.publish(1, silently=True)
    await writer.publish(2)


async def take_over_and_publish(writer: HandWriter) -> None:
    await writer.take_over()
    await writer.publish(2)


async def commit_take_over_and_commit(writer: HandWriter) -> None:
    await writer.commit()
    await writer.take_over()
    await writer.publish(2)
    await writer.commit()


async def empty_redis(writer: HandWriter) -> None:
    client = await _flush()
    assert client
    await writer.send_again()
    await writer.publish(2)


async def empty_redis_and_commit(writer: HandWriter) -> None:
    await _flush()
    writer.append()
    await writer.commit()
    await writer.send_again()
    await writer.publish()


async def lose_redis_and_worker(writer: HandWriter) -> None:
    """What only Redis had is gone. Whoever saw it is told."""
    await _flush()
    await writer.take_over()
    await writer.publish(2)


async def trim(writer: HandWriter) -> None:
    await writer.publish()
    await writer.commit(snapshot=True)
    await in_database(journal.trim, writer.agent_id, writer.seq)


async def _flush() -> bool:
    from streaming.store.bus import connect

    client = connect()
    try:
        return bool(await client.flushall())
    finally:
        await client.aclose()


Happening = Callable[[HandWriter], Awaitable[None]]
HAPPENINGS: list[Happening] = [
    publish,
    publish_many,
    publish_and_commit,
    commit_without_redis,
    lose_the_message,
    lose_the_message_of_the_first,
    take_over_and_publish,
    commit_take_over_and_commit,
    empty_redis,
    empty_redis_and_commit,
    lose_redis_and_worker,
    trim,
]
MAY_RESET = {lose_redis_and_worker, trim}
CURSORS = some([None, "0-0", "1-4", "1-2", "1-6"], 3)


@pytest.mark.sqlite
@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda one: one.__name__)
async def test_whatever_happens_at_whatever_point_of_joining_comes_exactly_once(
    world: World, settings, happening: Happening, cursor: str | None
):
    """Four events are in the database, two more only in Redis. The happening is put at every point, one by one."""
    settings.TIP_POLL_S = 0.1
    at = 0
    while await _join_with(world, happening, cursor, at):
        at += 1
    assert at > 5, "joining has more points than that"


@pytest.mark.sqlite
@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda one: one.__name__)
async def test_whatever_happens_at_whatever_point_of_filling_a_gap_comes_exactly_once(
    world: World, settings, happening: Happening
):
    """A follower is live; the message of an event is lost; while its channel is filled, something happens."""
    settings.TIP_POLL_S = 0.1
    at = 0
    while await _fill_with(world, happening, at):
        at += 1
    assert at > 3, "filling has more points than that"


@pytest.mark.sqlite
async def test_who_is_reset_is_not_given_the_lost_events_again(world: World):
    """The subscriber hears of the takeover before the hub does, whose ring still holds what was lost."""
    writer = await _written(world)
    live = world.follow(writer.agent_id, "0-0")
    await live.reaches(6)
    await until(lambda: _is_idle(world, writer.agent_id), "the channel is filled")
    world.hub._fillers[writer.agent_id].cancel()
    await lose_redis_and_worker(writer)
    other = world.follow(writer.agent_id, "1-7")
    await until(lambda: other.resets, "a reset")
    channel = world.hub._channels[writer.agent_id]
    world.hub._fillers[writer.agent_id] = world.hub._spawn(world.hub._fill_loop(channel), "fill again")
    for follower in (live, other):
        await _finish(writer, follower, lose_redis_and_worker)


async def _join_with(world: World, happening: Happening, cursor: str | None, at: int) -> bool:
    """False if joining was over before point `at`."""
    writer = await _written(world)
    points = Points(at, lambda: _happen(world, writer, happening))
    with interleaved(world.hub, points):
        follower = world.follow(writer.agent_id, cursor)
        await follower.reaches(6)
        await until(lambda: _is_idle(world, writer.agent_id), "the channel is filled")
        await points.stop()
    await _finish(writer, follower, happening)
    return points.happened


def _is_idle(world: World, agent_id: str) -> bool:
    channel = world.hub._channels.get(agent_id)
    if channel is None or channel.last is None or not channel.subscribers:
        return False
    return channel.last.seq >= 6 and not channel.wanted.is_set() and not channel.filling.locked()


async def _fill_with(world: World, happening: Happening, at: int) -> bool:
    writer = await _written(world)
    follower = world.follow(writer.agent_id, "0-0")
    await follower.reaches(6)
    await until(lambda: _is_idle(world, writer.agent_id), "the channel is filled")
    points = Points(at, lambda: _happen(world, writer, happening))
    with interleaved(world.hub, points):
        # The follower may be at a point already: what happens there, and this, take turns.
        async with world.hub._channels[writer.agent_id].filling, writer.turn:
            await writer.publish(silently=True)
            await writer.publish()
        await until(lambda: follower.seq >= 8 or points.happened, "the gap is filled")
        await until(lambda: _is_idle(world, writer.agent_id), "the channel is filled")
        await points.stop()
    await _finish(writer, follower, happening)
    return points.happened


async def _written(world: World) -> HandWriter:
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    await writer.publish(4)
    await writer.commit(snapshot=True)
    await writer.publish(2)
    return writer


async def _happen(world: World, writer: HandWriter, happening: Happening) -> None:
    async with writer.turn:
        await happening(writer)
    # Let the hub work off what was said on the channel, before the read side takes its next step.
    if writer.agent_id in world.hub._acked:
        delivered = Delivered.of(world.hub)
        before = delivered.count
        await redis_command(world.redis, "PUBLISH", f"agent:{writer.agent_id}", "not an event")
        await until(lambda: delivered.count > before, "the hub hears")


async def _finish(writer: HandWriter, follower: Follower, happening: Happening) -> None:
    await writer.publish()
    await writer.commit()
    await follower.arrives_at(f"{writer.epoch}-{writer.seq}")
    follower.check(writer.history)
    if happening not in MAY_RESET:
        assert not follower.resets
    assert len(follower.resets) <= 1
    await follower.stop()


@pytest.mark.sqlite
async def test_three_subscribers_get_the_same_log(world: World, seed: int):
    """From the start, late, and cut after every third frame."""
    rng = random.Random(seed)
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    early, cut = world.follow(agent_id, "0-0"), world.follow(agent_id, "0-0", cut_after=3)
    await write_on(writer, 300, rng, lambda: asyncio.sleep(rng.choice([0, 0, 0.001, 0.01])))
    late, fresh = world.follow(agent_id, "0-0"), world.follow(agent_id)
    last = await write_on(writer, 300, rng, lambda: asyncio.sleep(rng.choice([0, 0, 0.001, 0.01])))
    await writer.append([text("end")])
    await writer.close()
    log = await world.log(agent_id)
    assert len(log) == last + 1
    for follower in (early, late, cut, fresh):
        await follower.reaches(last + 1)
        follower.check(log)
        assert not follower.resets
    assert cut.connections > 100
