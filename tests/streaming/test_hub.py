"""One subscription for all who watch: joining, leaving and joining again in any order, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings

from streaming.errors import BusUnavailable, JournalUnavailable, LogMissing
from streaming.model.cursor import Cursor
from streaming.read import hub as hub_module
from streaming.store import journal
from streaming.store.bus import Bus
from streaming.store.database import in_database
from tests.streaming.world import Follower, HandWriter, World, redis_command, until, until_async

pytestmark = pytest.mark.sqlite


async def a_log(world: World, committed: int = 2, more: int = 1) -> HandWriter:
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    await writer.publish(committed)
    await writer.commit(snapshot=True)
    await writer.publish(more)
    return writer


async def goes_live(world: World, writer: HandWriter, follower: Follower) -> None:
    """Until an event reaches it without anybody having looked into the log."""
    looks: list[str] = []
    after = world.hub.reader.after

    async def noted(agent_id: str, *args: Any, **options: Any) -> Any:
        looks.append(agent_id)
        return await after(agent_id, *args, **options)

    with patch.object(world.hub.reader, "after", noted):
        while True:
            await follower.reaches(writer.seq)
            looks.clear()
            await writer.publish()
            await follower.reaches(writer.seq)
            if not looks:
                return


async def test_followers_that_leave_at_any_moment_leave_nothing_behind(world: World, seed: int):
    """A cancellation that got lost on the way would leave a stream that nobody reads, for ever."""
    rng = random.Random(seed)
    writer = await a_log(world, more=700)
    for _ in range(60):
        followers = [world.follow(writer.agent_id, "0-0") for _ in range(rng.randint(1, 3))]
        await asyncio.sleep(rng.choice([0, 0.0005, 0.001, 0.002, 0.004, 0.02]))
        for follower in followers:
            assert follower.task
            follower.task.cancel()
            done, _ = await asyncio.wait([follower.task], timeout=10)
            assert done, f"seed {seed}: a follower does not end"
    world.followers.clear()
    assert world.hub.watched == 0
    await until(lambda: len(world.hub._tasks) == 3, "listening, subscribing, polling: nothing else goes on")
    last = world.follow(writer.agent_id, "0-0")
    await last.reaches(writer.seq)


async def test_many_watchers_of_one_agent_share_one_subscription(world: World):
    writer = await a_log(world)
    followers = [world.follow(writer.agent_id, "0-0") for _ in range(50)]
    for follower in followers:
        await follower.reaches(3)
    assert world.hub.watched == 1
    assert (await redis_command(world.redis, "PUBSUB", "NUMSUB", f"agent:{writer.agent_id}"))[1] == 1
    for follower in followers:
        await follower.stop()
    assert world.hub.watched == 0
    await until_unsubscribed(world, writer.agent_id)


async def until_unsubscribed(world: World, agent_id: str) -> None:
    async def unsubscribed() -> bool:
        return not (await redis_command(world.redis, "PUBSUB", "NUMSUB", f"agent:{agent_id}"))[1]

    await until_async(unsubscribed)


async def test_first_watcher_that_is_cancelled_while_joining_takes_nobody_with_it(world: World):
    writer = await a_log(world)
    for delay_s in (0, 0, 0.0001, 0.001, 0.002, 0.005):
        first, second = world.follow(writer.agent_id, "0-0"), world.follow(writer.agent_id, "0-0")
        await asyncio.sleep(delay_s)
        await first.stop()
        await writer.publish()
        await second.reaches(writer.seq)
        await second.stop()
    assert world.hub.watched == 0


async def test_first_watcher_that_finds_no_database_takes_nobody_with_it(world: World):
    writer = await a_log(world)
    await writer.commit()
    failing = True

    async def sometimes(function, *args):
        if failing:
            raise JournalUnavailable("away")
        return await in_database(function, *args)

    with patch.object(hub_module, "in_database", sometimes):
        with pytest.raises(JournalUnavailable):
            async with world.hub.watch(writer.agent_id):
                pass
        assert world.hub.watched == 0
        follower = world.follow(writer.agent_id, "0-0")
        await until(lambda: follower.ended > 3, "it keeps trying")
        failing = False
        await follower.reaches(3)
    await writer.publish()
    await follower.reaches(4)


async def test_leaving_and_joining_in_a_row_loses_no_subscription(world: World, seed: int):
    """Unsubscribing and subscribing again must reach Redis in that order."""
    rng = random.Random(seed)
    writer = await a_log(world)
    with patch.object(settings, "TIP_POLL_S", 3600):  # nothing but the subscription may help
        for _ in range(40):
            follower = world.follow(writer.agent_id, "0-0")
            await follower.reaches(writer.seq)
            await asyncio.sleep(rng.choice([0, 0, 0.001]))
            await follower.stop()
            again = world.follow(writer.agent_id, follower.last_id)
            await until(lambda f=again: f.connections, "it is back")  # type: ignore[misc]
            await asyncio.sleep(rng.choice([0, 0.001, 0.003]))
            await writer.publish()
            await again.reaches(writer.seq, patience_s=5)
            await again.stop()


@pytest.mark.parametrize("agent_id", [str(uuid.UUID(int=7)), "nonsense", "", "0" * 500, "agent:*"])
async def test_nobody_watches_an_agent_that_is_not_there(world: World, agent_id: str):
    with pytest.raises(LogMissing):
        async with world.hub.watch(agent_id):
            pass
    assert world.hub.watched == 0


async def test_agent_is_the_same_however_its_id_is_spelled(world: World):
    writer = await a_log(world)
    follower = world.follow(writer.agent_id.upper().replace("-", ""), "0-0")
    await follower.reaches(3)
    await writer.publish()
    await follower.reaches(4, patience_s=2)


async def test_joining_does_not_wait_for_a_redis_that_is_away(world: World):
    writer = await a_log(world, more=1)
    await writer.commit()
    await asyncio.to_thread(world.redis.kill)
    follower = world.follow(writer.agent_id, "0-0")
    await follower.reaches(3, patience_s=2)
    with patch.object(settings, "TIP_POLL_S", 0.1):
        writer.append(2)
        await writer.commit()
        await follower.reaches(5, patience_s=5)
        await asyncio.to_thread(world.redis.start)
        await writer_is_back(writer)
        await writer.publish()
        await follower.reaches(6)


async def writer_is_back(writer: HandWriter) -> None:
    from streaming.errors import BusUnavailable

    async with asyncio.timeout(10):
        while True:
            try:
                await writer.send_again()
                return
            except BusUnavailable:
                await asyncio.sleep(0.02)


async def test_subscription_that_hangs_is_replaced(world: World, monkeypatch):
    """Redis stops (SIGSTOP): the connection stays open and says nothing."""
    monkeypatch.setattr(hub_module, "SILENCE_S", 0.2)
    monkeypatch.setattr(hub_module, "CONNECT_S", 0.3)
    writer = await a_log(world)
    follower = world.follow(writer.agent_id, "0-0")
    await follower.reaches(3)
    subscription = world.hub._subscription
    world.redis.pause()
    await until(lambda: world.hub._subscription is not subscription, "the hub notices")
    world.redis.resume()
    await until(lambda: world.hub._subscription is not None, "the hub is back")
    await writer_is_back(writer)
    await writer.publish()
    await follower.reaches(writer.seq)
    assert not follower.resets


async def test_what_was_said_while_the_subscription_was_lost_comes_with_the_next_one(world: World):
    """And nothing more is said, so that nobody could notice a gap."""
    writer = await a_log(world)
    with patch.object(settings, "TIP_POLL_S", 3600):
        follower = world.follow(writer.agent_id, "0-0")
        await goes_live(world, writer, follower)
        await writer.publish(silently=True)
        await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "pubsub")
        await follower.reaches(writer.seq)


async def test_who_comes_anew_is_not_given_what_neither_store_has(world: World):
    """Redis is lost, and the writer silent. Whoever was reset elsewhere would get the lost events again, and be reset
    again; those who have them keep them until a later writer has come."""
    writer = await a_log(world, committed=4, more=2)
    with patch.object(settings, "TIP_POLL_S", 0.1):
        live = world.follow(writer.agent_id, "0-0")
        await goes_live(world, writer, live)
        await redis_command(world.redis, "FLUSHALL")
        await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "pubsub")
        channel = world.hub._channels[writer.agent_id]
        await until(lambda: channel.is_doubtful, "the stores have been asked")
        reset = world.follow(writer.agent_id, "1-4")
        assert channel.after(Cursor(1, 4), 1000) == []
        assert channel.after(Cursor(1, 5), 1000) == []
        await writer.take_over()
        await writer.publish(2)
        for follower in (live, reset):
            await follower.arrives_at(f"{writer.epoch}-{writer.seq}")
            follower.check(writer.history)
        assert (len(live.resets), len(reset.resets)) == (1, 0)


async def test_what_the_writer_says_again_is_given_to_everybody(world: World):
    """Redis was lost, but its writer lives."""
    writer = await a_log(world, committed=4, more=2)
    with patch.object(settings, "TIP_POLL_S", 3600):
        live = world.follow(writer.agent_id, "0-0")
        await goes_live(world, writer, live)
        await redis_command(world.redis, "FLUSHALL")
        await redis_command(world.redis, "CLIENT", "KILL", "TYPE", "pubsub")
        channel = world.hub._channels[writer.agent_id]
        await until(lambda: channel.is_doubtful, "the stores have been asked")
        other = world.follow(writer.agent_id, "1-4")
        await writer.send_again()
        await other.arrives_at(f"1-{writer.seq}")
        assert not other.resets
        assert not live.resets


async def test_silent_subscription_is_kept(world: World, monkeypatch):
    monkeypatch.setattr(hub_module, "SILENCE_S", 0.3)
    writer = await a_log(world)
    follower = world.follow(writer.agent_id, "0-0")
    await follower.reaches(3)
    subscription = world.hub._subscription
    heard_at = world.hub._heard_at
    await until(lambda: world.hub._heard_at > heard_at + 0.5, "pongs are heard")
    assert world.hub._subscription is subscription


async def test_live_goes_on_without_the_database(world: World, monkeypatch):
    """Even over a lost message: Redis has the events of this epoch."""
    monkeypatch.setattr(settings, "TIP_POLL_S", 0.1)
    writer = await a_log(world)
    follower = world.follow(writer.agent_id, "0-0")
    await goes_live(world, writer, follower)

    def away(*args: object) -> None:
        raise JournalUnavailable("away")

    with patch.object(journal, "head", away), patch.object(journal, "page", away), patch.object(journal, "tips", away):
        await writer.publish()
        await follower.reaches(writer.seq)
        await writer.publish(silently=True)
        await writer.publish()
        await follower.reaches(writer.seq)
    await writer.commit()
    follower.check(await world.log(writer.agent_id))


async def test_recheck_with_both_stores_away_says_that_the_database_is_away(world: World):
    """A stream ends with what its caller knows how to handle: it reconnects and resumes."""
    writer = await a_log(world)

    async def no_redis(*args: object) -> None:
        raise BusUnavailable("away")

    def no_database(*args: object) -> None:
        raise JournalUnavailable("away")

    async with world.hub.watch(writer.agent_id) as channel:
        away = patch.object(Bus, "after", no_redis), patch.object(journal, "page", no_database)
        with away[0], away[1], pytest.raises(JournalUnavailable):
            await world.hub.recheck(channel, Cursor(9, 9))


async def test_everybody_may_go_when_the_hub_closes(world: World):
    writer = await a_log(world)
    followers = [world.follow(writer.agent_id, "0-0") for _ in range(5)]
    for follower in followers:
        await follower.reaches(3)
    await world.hub.close()
    await until(lambda: all(follower.ended for follower in followers), "they end")
