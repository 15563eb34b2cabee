"""The law of the fence: an old writer cannot append, neither to Redis nor to the database, whatever was lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any
from unittest.mock import patch

import pytest

from agents.log import lease as leases
from streaming.errors import BusUnavailable, Fenced, JournalUnavailable, LogMissing, Unbarred
from streaming.model.cursor import START, Cursor
from streaming.models import EventChunk, Log
from streaming.store import journal
from streaming.store.bus import Bus, connect, name
from streaming.store.database import in_database
from streaming.store.journal import Commit, Stored
from streaming.write.takeover import take_over
from streaming.write.writer import Writer
from tests.streaming.world import HandWriter, World, redis_command, text, until, until_async

pytestmark = pytest.mark.sqlite


async def stream_of(agent_id: str) -> list[str]:
    client = connect()
    try:
        entries: list[tuple[bytes, dict[bytes, bytes]]] = await client.xrange(name(agent_id))  # type: ignore[assignment]
        return [entry_id.decode() for entry_id, fields in entries if b"d" in fields]
    finally:
        await client.aclose()


async def answers(bus: Bus) -> bool:
    with contextlib.suppress(BusUnavailable):
        await bus.ping()
        return True
    return False


# The writer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("redis_emptied", [False, True])
async def test_stale_writer_cannot_append(world: World, redis_emptied: bool):
    """It still believes in its lease (a stopped process, say), and Redis may have lost its barrier meanwhile."""
    agent_id = await world.agent()
    lease = await world.lease(agent_id, "old")
    opening = await take_over(world.bus, agent_id, lease.epoch)
    old = Writer(agent_id, lease.epoch, opening, world.bus, lambda: True)
    world.writers.append(old)
    await old.append([text("old")])
    await old.flush()
    new = await world.writer(agent_id)
    if redis_emptied:
        await redis_command(world.redis, "FLUSHALL")
    await old.append([text("too late")])
    await until(lambda: old.lost, "the old writer learns that it was replaced")
    with pytest.raises(Fenced):
        await old.append([text("much too late")])
    with pytest.raises(Fenced):
        await old.flush()
    await new.append([text("new")])
    await new.close()
    log = await world.log(agent_id)
    assert ["old" in log[0], "new" in log[1], len(log)] == [True, True, 2]
    assert "1-2" not in await stream_of(agent_id)


async def test_stale_writer_publishes_nothing_for_anybody_to_see(world: World):
    """Even for a moment: a refused event does not reach the channel either."""
    agent_id = await world.agent()
    old = HandWriter(world.bus, agent_id)
    await old.take_over()
    await old.publish(2)
    follower = world.follow(agent_id, "0-0")
    await follower.reaches(2)
    new = HandWriter(world.bus, agent_id)
    await new.take_over()
    with pytest.raises(Fenced):
        await old.publish()
    await new.publish()
    await follower.arrives_at("2-3")
    assert not follower.resets


@pytest.mark.parametrize("emptied", ["flushed", "restarted", "deleted"])
async def test_late_command_of_a_stale_writer_finds_no_open_door_in_an_emptied_redis(world: World, emptied: str):
    """Nothing is taken from an epoch without its barrier; and putting one up is asked of the database first."""
    agent_id = await world.agent()
    old, new = HandWriter(world.bus, agent_id), HandWriter(world.bus, agent_id)
    await old.take_over()
    await old.publish(2)
    await old.commit()
    await new.take_over()
    if emptied == "flushed":
        await redis_command(world.redis, "FLUSHALL")
    elif emptied == "restarted":
        await asyncio.to_thread(world.redis.restart_empty)
        await until_async(lambda: answers(world.bus), "Redis is back")
    else:
        await world.bus.delete(agent_id)
    with pytest.raises(Unbarred):
        await old.publish()
    assert await stream_of(agent_id) == []
    await new.send_again()
    await new.publish()
    assert await stream_of(agent_id) == ["2-3"]


async def test_writer_without_lease_publishes_nothing_until_it_is_renewed(world: World):
    agent_id = await world.agent()
    lease = await world.lease(agent_id)
    held = False
    opening = await take_over(world.bus, agent_id, lease.epoch)
    writer = Writer(agent_id, lease.epoch, opening, world.bus, lambda: held)
    world.writers.append(writer)
    await writer.append([text("a")])
    await writer.flush()  # the database still says that the log is ours
    assert await stream_of(agent_id) == []
    held = True
    await until(lambda: writer.sent == 1, "publishing goes on")
    assert await stream_of(agent_id) == ["1-1"]


async def test_writers_race_for_one_log_and_each_event_is_there_once(world: World, seed: int):
    """Many workers that all steal from each other: whatever was acknowledged is in the log, in one order."""
    rng = random.Random(seed)
    agent_id = await world.agent()
    acknowledged: list[str] = []

    async def work(worker: int) -> None:
        for turn in range(6):
            lease = await world.steal(agent_id, f"worker-{worker}")
            try:
                opening = await take_over(world.bus, agent_id, lease.epoch)
            except Fenced:
                continue
            writer = Writer(agent_id, lease.epoch, opening, world.bus, lambda: True)
            try:
                for at in range(rng.randint(1, 5)):
                    events = await writer.append([text(f"{worker}.{turn}.{at}")])
                    await asyncio.sleep(rng.choice([0, 0.001, 0.01]))
                    await writer.flush()
                    acknowledged.extend(event.encode() for event in events)
            except Fenced:
                pass
            finally:
                await writer.abandon()

    with patch.object(World, "lease", _lease_or_try_again):
        await asyncio.gather(*(work(worker) for worker in range(4)))
    log = await world.log(agent_id)
    assert set(acknowledged) <= set(log)
    assert len(set(log)) == len(log)
    last = await world.writer(agent_id)
    await last.append([text("end")])
    await last.close()
    assert set(acknowledged) <= set(await world.log(agent_id))


async def _lease_or_try_again(self: World, agent_id: str, owner: str = "worker") -> leases.Lease:
    while (lease := await in_database(leases.acquire, agent_id, owner)) is None:
        await asyncio.sleep(0.001)
        await in_database(Log.objects.filter(agent_id=agent_id).update, lease_until=None, owner=None)
    return lease


# The database --------------------------------------------------------------------------------------------------------


def commit_of(agent_id: str, epoch: int, first: int, last: int) -> Commit:
    events = [Stored(Cursor(epoch, seq), f'{{"n":{seq}}}') for seq in range(first, last + 1)]
    return Commit(agent_id, epoch, events, f"at {last}")


async def begun(world: World) -> tuple[str, int]:
    agent_id = await world.agent()
    lease = await world.lease(agent_id)
    await in_database(journal.begin, agent_id, lease.epoch, [], "")
    return agent_id, lease.epoch


async def test_commit_that_is_repeated_because_nobody_said_that_it_got_in_is_harmless(world: World):
    agent_id, epoch = await begun(world)
    for _ in range(3):
        await in_database(journal.commit, commit_of(agent_id, epoch, 1, 5))
    assert len(await in_database(lambda: list(EventChunk.objects.filter(agent_id=agent_id)))) == 1


@pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 6), (7, 8), (5, 5), (1, 6), (4, 5)])
async def test_commit_that_does_not_follow_is_refused(world: World, first: int, last: int):
    agent_id, epoch = await begun(world)
    await in_database(journal.commit, commit_of(agent_id, epoch, 1, 5))
    if last == 5:  # looks like a repetition: it ends where the log ends, and the writer of this epoch wrote that
        await in_database(journal.commit, commit_of(agent_id, epoch, first, last))
    else:
        with pytest.raises(Fenced):
            await in_database(journal.commit, commit_of(agent_id, epoch, first, last))
    assert (await in_database(journal.head, agent_id)).tip == (epoch, 5)


async def test_commit_of_an_old_epoch_is_refused_even_if_its_numbers_fit(world: World):
    agent_id, epoch = await begun(world)
    await in_database(journal.commit, commit_of(agent_id, epoch, 1, 5))
    new = await world.steal(agent_id)
    for first, last in ((6, 7), (1, 5)):
        with pytest.raises(Fenced):
            await in_database(journal.commit, commit_of(agent_id, epoch, first, last))
    await in_database(journal.begin, agent_id, new.epoch, [], "")
    with pytest.raises(Fenced):
        await in_database(journal.begin, agent_id, epoch, [], "")


async def test_nothing_is_appended_to_a_deleted_log(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("a")])
    await writer.flush()
    await in_database(journal.delete, agent_id)
    await world.bus.delete(agent_id)
    await writer.append([text("b")])
    await until(lambda: writer.lost, "the writer learns that its log is gone")
    assert await stream_of(agent_id) == []
    assert not await in_database(EventChunk.objects.filter(agent_id=agent_id).exists)
    with pytest.raises(LogMissing):
        await take_over(world.bus, agent_id, 9)


async def test_commit_is_never_torn_from_its_projection(world: World):
    """The projection fails: nothing is committed. It works again: everything is, once."""
    agent_id = await world.agent()
    failing = True
    seen: list[Any] = []

    def project(events: Any) -> None:
        if failing:
            raise RuntimeError("a projection that fails")
        seen.extend(event.seq for event in events)

    writer = await world.writer(agent_id, project=project)
    await writer.append([text("a"), text("b")])
    await until(lambda: writer.sent == 2, "it is live")
    await until(lambda: writer._trying, "a commit is tried")
    assert await world.log(agent_id) == []
    failing = False
    await writer.flush()
    assert len(await world.log(agent_id)) == 2
    assert seen == [1, 2]


# Taking over ---------------------------------------------------------------------------------------------------------


async def test_takeover_that_is_repeated_is_harmless(world: World):
    """Its transaction got in, but nobody said so."""
    agent_id = await world.agent()
    old = HandWriter(world.bus, agent_id)
    await old.take_over()
    await old.publish(3)
    lease = await world.steal(agent_id)
    first = await take_over(world.bus, agent_id, lease.epoch)
    again = await take_over(world.bus, agent_id, lease.epoch)
    assert (first.adopted, again.adopted) == (3, 0)
    assert (first.tip, first.folded, first.position) == (again.tip, again.folded, again.position)
    starts = await in_database(journal.starts_from, agent_id, 0)
    assert starts == [(1, 1), (2, 4)]


async def test_takeover_that_was_overtaken_itself_changes_nothing(world: World):
    agent_id = await world.agent()
    slow, fast = await world.lease(agent_id), await world.steal(agent_id)
    await take_over(world.bus, agent_id, fast.epoch)
    with pytest.raises(Fenced):
        await take_over(world.bus, agent_id, slow.epoch)
    assert (await in_database(journal.head, agent_id)).tip == START


async def test_ambiguous_commit_is_repeated_as_it_was_although_more_has_come(world: World):
    """The database took it, the connection broke before it could say so, and more was appended meanwhile."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    cut = [True, True]
    commit = journal.commit

    def cut_off(write: Commit) -> None:
        commit(write)
        if cut:
            cut.pop()
            raise JournalUnavailable("the connection was cut")

    with patch.object(journal, "commit", cut_off):
        await writer.append([text("a")])
        await until(lambda: len(cut) < 2, "the first commit is cut off")
        await writer.append([text("b"), text("c")])
        await writer.flush()
    assert not writer.lost
    assert len(await world.log(agent_id)) == 3
