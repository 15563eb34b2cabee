"""Taking a log over: what Redis alone has is adopted unseen; what was lost with Redis and worker is told, once."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from agents.log import lease as leases
from streaming.errors import BusUnavailable
from streaming.model.cursor import Cursor, EpochStart
from streaming.model.events import decode
from streaming.model.fold import fold
from streaming.models import Log
from streaming.store import journal
from streaming.store.bus import PAGE, Bus, connect, name
from streaming.store.database import in_database
from streaming.store.journal import Commit, Stored
from streaming.write import takeover
from streaming.write.takeover import take_over
from tests.streaming.world import HandWriter, World, redis_command, text, until

pytestmark = pytest.mark.sqlite


async def written(world: World, committed: int, more: int) -> HandWriter:
    """A writer that has gone: `committed` events in the database, `more` in Redis only."""
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    if committed:
        await writer.publish(committed)
        await writer.commit(snapshot=True)
    if more:
        await writer.publish(more)
    return writer


async def test_events_that_only_redis_had_are_adopted_and_nobody_is_reset(world: World):
    old = await written(world, committed=4, more=3)
    followers = [world.follow(old.agent_id, "0-0"), world.follow(old.agent_id), world.follow(old.agent_id, "1-6")]
    for follower in followers:
        await follower.reaches(7)
    new = HandWriter(world.bus, old.agent_id)
    assert await new.take_over() == 3
    assert await world.log(old.agent_id) == old.history
    await new.publish(2)
    await new.commit()
    for follower in followers:
        await follower.arrives_at("2-9")
        follower.check(old.history + new.history)
        assert not follower.resets
        assert follower.connections == 1


async def test_new_writer_begins_with_state_and_position_behind_what_it_adopted(world: World):
    old = await written(world, committed=4, more=3)
    lease = await world.steal(old.agent_id)
    opening = await take_over(world.bus, old.agent_id, lease.epoch)
    assert opening.tip == (1, 7)
    assert opening.position == "at 7"
    assert opening.folded.state == fold(map(decode, old.history))


async def test_position_stays_that_of_the_database_if_nothing_was_adopted(world: World):
    old = await written(world, committed=4, more=0)
    lease = await world.steal(old.agent_id)
    opening = await take_over(world.bus, old.agent_id, lease.epoch)
    assert (opening.tip, opening.position, opening.adopted) == ((1, 4), "at 4", 0)


async def test_adopted_events_are_projected_in_the_same_transaction(world: World):
    old = await written(world, committed=4, more=3)
    lease = await world.steal(old.agent_id)

    def fails(events: Any) -> None:
        raise RuntimeError(f"{[event.seq for event in events]}")

    with pytest.raises(RuntimeError, match=r"\[5, 6, 7\]"):
        await take_over(world.bus, old.agent_id, lease.epoch, fails)
    assert len(await world.log(old.agent_id)) == 4
    seen: list[int] = []
    await take_over(world.bus, old.agent_id, lease.epoch, lambda events: seen.extend(e.seq for e in events))
    assert seen == [5, 6, 7]
    assert len(await world.log(old.agent_id)) == 7


@pytest.mark.parametrize("more", [PAGE - 2, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 7])
async def test_all_of_many_pages_is_adopted(world: World, more: int):
    """Barriers of several epochs lie between the entries of the first page and count as entries there."""
    old = await written(world, committed=2, more=0)
    for _ in range(3):
        await old.take_over()
    await old.publish(more)
    new = HandWriter(world.bus, old.agent_id)
    assert await new.take_over() == more
    assert len(await world.log(old.agent_id)) == 2 + more


async def test_late_follower_gets_many_pages_that_only_redis_has(world: World):
    old = await written(world, committed=2, more=0)
    for _ in range(3):
        await old.take_over()
    await old.publish(2 * PAGE + 7)
    follower = world.follow(old.agent_id, "0-0")
    await follower.reaches(2 + 2 * PAGE + 7, patience_s=5)
    assert not follower.resets


async def test_entries_without_the_end_of_their_batch_are_not_adopted(world: World):
    """A stream that was restored from a file may end inside a batch: the position there is not known."""
    old = await written(world, committed=2, more=2)
    client = connect()
    for event in old.append(2):
        await client.xadd(name(old.agent_id), {"d": event.encode()}, id=f"1-{event.seq}")
    await client.aclose()
    follower = world.follow(old.agent_id, "0-0")
    await follower.reaches(6)
    new = HandWriter(world.bus, old.agent_id)
    assert await new.take_over() == 2
    await new.publish()
    await follower.arrives_at("2-5")
    assert follower.resets == ["superseded"]


async def test_redis_and_worker_lost_together_reset_exactly_those_who_saw_more_once(world: World, settings):
    settings.TIP_POLL_S = 0.1
    old = await written(world, committed=4, more=3)
    saw_more = [world.follow(old.agent_id, "0-0"), world.follow(old.agent_id, "1-7")]
    for follower in saw_more:
        await follower.reaches(7)
    await redis_command(world.redis, "FLUSHALL")
    new = HandWriter(world.bus, old.agent_id)
    assert await new.take_over() == 0
    await until(lambda: all(follower.resets for follower in saw_more), "they are told")
    stale, fine = world.follow(old.agent_id, "1-6"), world.follow(old.agent_id, "1-4")
    await new.publish(5)
    await new.commit()
    log = old.history[:4] + new.history
    for follower in [*saw_more, stale, fine]:
        await follower.arrives_at("2-9")
        follower.check(log)
    for follower in (*saw_more, stale):
        assert follower.resets == ["superseded"]
        assert len(follower.snapshots) == 1
    assert (fine.resets, fine.snapshots) == ([], [])


async def test_subscribers_that_saw_more_are_told_although_the_new_epoch_has_written_nothing(world: World):
    old = await written(world, committed=4, more=3)
    live = world.follow(old.agent_id, "1-4")
    await live.reaches(7)
    await redis_command(world.redis, "FLUSHALL")
    await HandWriter(world.bus, old.agent_id).take_over()
    await live.arrives_at("1-4")
    assert live.resets == ["superseded"]
    follower = world.follow(old.agent_id, "1-7")
    await until(lambda: follower.snapshots, "a snapshot")
    assert follower.resets == ["superseded"]


async def test_live_end_that_was_not_told_of_a_takeover_finds_out_in_the_silence_after_it(world: World, settings):
    """The announcement is lost, too, and the new epoch writes nothing."""
    settings.TIP_POLL_S = 0.1
    old = await written(world, committed=4, more=3)
    live = world.follow(old.agent_id, "1-4")
    await live.reaches(7)
    await redis_command(world.redis, "FLUSHALL")
    with patch.object(Bus, "begun", _unheard):
        await HandWriter(world.bus, old.agent_id).take_over()
    await live.arrives_at("1-4", patience_s=10)
    assert live.resets == ["superseded"]


async def _unheard(self: Bus, agent_id: str) -> None:
    pass


async def test_page_knows_the_beginning_of_every_epoch_that_it_has_events_of(world: World):
    """A takeover and its first commit come between two of the page's reads. Else a cursor that was superseded there
    would be honoured, and its subscriber's log be wrong for good."""
    old = await written(world, committed=4, more=0)
    agent_id, starts_from = old.agent_id, journal.starts_from

    def taken_over_meanwhile(*args: Any) -> list[EpochStart]:
        starts = starts_from(*args)
        Log.objects.filter(agent_id=agent_id).update(owner=None, lease_until=None)
        lease = leases.acquire(agent_id, "thief")
        assert lease is not None
        journal.begin(agent_id, lease.epoch, [], "")
        events = [Stored(Cursor(lease.epoch, seq), f'{{"n":{seq}}}') for seq in (5, 6)]
        journal.commit(Commit(agent_id, lease.epoch, events, ""))
        return starts

    with patch.object(journal, "starts_from", taken_over_meanwhile):
        page = await in_database(journal.page, agent_id, Cursor(1, 5))
    assert {stored.cursor.epoch for stored in page.events} <= {start.epoch for start in page.starts}
    late = await in_database(journal.page, agent_id, Cursor(1, 5))
    assert [stored.cursor for stored in late.events] == [(2, 6)]
    assert late.starts == [(1, 1), (2, 5)]


async def test_redis_that_comes_back_with_what_it_had_is_not_mixed_in(world: World, settings):
    """A network partition: the log was taken over without Redis, which then is there again with the old tail."""
    settings.TIP_POLL_S = 0.1
    old = await written(world, committed=4, more=PAGE + 100)
    new = HandWriter(world.bus, old.agent_id)
    await new.take_over(without_redis=True)
    followers = [world.follow(old.agent_id, "0-0"), world.follow(old.agent_id), world.follow(old.agent_id, "1-4")]
    new.append(3)
    await new.commit()
    await new.send_again()
    await new.publish(3)
    log = old.history[:4] + new.history
    for follower in followers:
        await follower.arrives_at("2-10")
        follower.check(log)
        assert not follower.resets
    third = HandWriter(world.bus, old.agent_id)
    assert await third.take_over() == 3
    assert await world.log(old.agent_id) == log


async def test_writer_that_took_over_without_redis_publishes_when_it_is_back(world: World, settings):
    settings.TIP_POLL_S = 0.1
    old = await written(world, committed=4, more=3)
    follower = world.follow(old.agent_id, "0-0")
    await follower.reaches(7)
    lease = await world.steal(old.agent_id)
    with patch.object(takeover, "PATIENCE_S", 0.1), patch.object(Bus, "fence", _away):
        opening = await take_over(world.bus, old.agent_id, lease.epoch)
    assert opening.tip == (1, 4)
    writer = await world.writer(old.agent_id, lease)
    await writer.append([text("new")])
    await follower.arrives_at("2-5")
    assert follower.resets == ["superseded"]
    await until(lambda: writer.sent == 5, "it is published")


async def _away(self: Bus, agent_id: str, epoch: int) -> None:
    raise BusUnavailable("away")


async def test_redis_that_is_away_for_a_moment_costs_nobody_a_reset(world: World):
    """The connection breaks between fence and reading: the takeover asks again."""
    old = await written(world, committed=4, more=3)
    after, broken = Bus.after, [True]

    async def breaks_once(self: Bus, *args: Any) -> Any:
        if broken:
            broken.pop()
            raise BusUnavailable("the connection broke")
        return await after(self, *args)

    lease = await world.steal(old.agent_id)
    with patch.object(Bus, "after", breaks_once):
        assert (await take_over(world.bus, old.agent_id, lease.epoch)).adopted == 3


async def test_epochs_that_wrote_nothing_are_no_hole(world: World):
    writer = await written(world, committed=4, more=1)
    follower = world.follow(writer.agent_id, "0-0")
    await follower.reaches(5)
    for _ in range(5):
        await writer.take_over()
    await writer.publish(2)
    await writer.commit()
    await follower.arrives_at("6-7")
    assert not follower.resets
    for cursor in ("1-5", "0-0", "1-2"):
        late = world.follow(writer.agent_id, cursor)
        await late.arrives_at("6-7")
        assert not late.resets


async def test_epoch_that_was_acquired_but_never_began_is_no_hole(world: World):
    """Its worker died between lease and takeover."""
    writer = await written(world, committed=4, more=2)
    await world.steal(writer.agent_id)
    assert await writer.take_over() == 2
    await writer.publish()
    follower = world.follow(writer.agent_id, "1-3")
    await follower.arrives_at("3-7")
    assert not follower.resets


async def test_live_event_of_a_superseded_epoch_that_comes_late_is_not_mixed_into_the_new_one(world: World):
    """While a gap is filled: the reader has seen the takeover, the channel has not yet."""
    old = await written(world, committed=4, more=0)
    follower = world.follow(old.agent_id, "1-4")
    await until(lambda: world.hub._channels and follower.connections, "it is there")
    async with world.hub.watch(old.agent_id) as channel:
        await until(lambda: not channel.wanted.is_set() and not channel.filling.locked(), "filled")
        new = HandWriter(world.bus, old.agent_id)
        await new.take_over(without_redis=True)
        new.append(4)
        await new.commit()
        reader, after = world.hub.reader, world.hub.reader.after
        asked = asyncio.Event()

        async def slow(agent_id: str, cursor: Any, **options: Any) -> Any:
            page = await after(agent_id, cursor, **options)
            if not asked.is_set():
                asked.set()
                late = [event.encode() for event in old.append(3)]
                lines = [f"1-{seq} {payload}" for seq, payload in enumerate(late, 5)]
                world.hub._deliver(channel, "\n".join(lines).encode())
            return page

        with patch.object(reader, "after", slow):
            channel.wanted.set()
            await until(asked.is_set, "the channel is filled")
        await follower.arrives_at("2-8")
        follower.check(await world.log(old.agent_id))


async def test_deleted_log_is_gone_for_takeover_and_followers(world: World, settings):
    settings.TIP_POLL_S = 0.1
    old = await written(world, committed=4, more=2)
    async with world.hub.watch(old.agent_id) as channel:
        await in_database(journal.delete, old.agent_id)
        await until(lambda: channel.deleted, "the hub notices without being told")
