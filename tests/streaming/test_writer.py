"""The writer: what it gathers, when it waits, and what it does while Redis or the database is away."""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import connection

from streaming import journal
from streaming.bus import Bus
from streaming.cursor import Cursor
from streaming.database import in_database
from streaming.errors import BusUnavailable, Fenced, JournalUnavailable, WriterClosed
from streaming.events import decode, draft
from streaming.fold import fold
from streaming.journal import Commit
from streaming.models import EventChunk, Snapshot
from streaming.writer import Writer
from tests.servers import PostgresServer
from tests.streaming.world import World, redis_command, text, until

pytestmark = pytest.mark.sqlite


async def chunks(agent_id: str) -> list[tuple[int, int]]:
    rows = EventChunk.objects.filter(agent_id=agent_id).order_by("first_seq").values_list("first_seq", "last_seq")
    return await in_database(lambda: list(rows))


class Commits:
    """Counts commits, and lets them fail."""

    def __init__(self) -> None:
        self.tried: list[Commit] = []
        self.failing = False
        self._commit = journal.commit

    def __call__(self, write: Commit) -> None:
        self.tried.append(write)
        if self.failing:
            raise JournalUnavailable("away")
        self._commit(write)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    made = Commits()
    monkeypatch.setattr(journal, "commit", made)
    return made


async def test_events_of_half_a_second_are_one_row(world: World, commits: Commits):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    for at in range(50):
        await writer.append([text(str(at))])
    await until(lambda: writer.committed == 50, "committed by itself")
    assert await chunks(agent_id) == [(1, 50)]
    assert len(commits.tried) == 1


async def test_many_events_are_committed_before_the_interval_is_over(world: World, commits: Commits, settings):
    settings.COMMIT_INTERVAL_S, settings.COMMIT_EVENTS = 3600, 100
    writer = await world.writer(await world.agent())
    await writer.append([text(str(at)) for at in range(99)])
    await until(lambda: writer.sent == 99, "published")
    assert not commits.tried
    await writer.append([text("the hundredth")])
    await until(lambda: writer.committed == 100, "committed")


async def test_silent_writer_does_nothing(world: World, settings):
    """Not even look whether there is something to do; for three intervals, by the clock of another writer."""
    settings.COMMIT_INTERVAL_S = 0.1
    silent, other = await world.writer(await world.agent()), await world.writer(await world.agent())
    await silent.append([text("a")])
    await silent.flush()
    await until(lambda: silent.sent == 1, "published")
    with _watched("_unsent") as publishing, _watched("_try_to_commit") as committing:
        for seq in range(1, 4):
            await other.append([text("b")])
            await until(partial(_has_committed, other, seq), "an interval is over")
    assert {call.args[0].agent_id for call in publishing.call_args_list} == {other.agent_id}
    assert {call.args[0].agent_id for call in committing.call_args_list} == {other.agent_id}


def _watched(method: str) -> Any:
    return patch.object(Writer, method, autospec=True, side_effect=getattr(Writer, method))


def _has_committed(writer: Writer, seq: int) -> bool:
    return writer.committed == seq


async def test_append_gives_the_next_places_in_the_order_of_asking(world: World):
    writer = await world.writer(await world.agent())
    batches = await asyncio.gather(*(writer.append([text("a"), text("b")]) for _ in range(20)))
    for batch in batches:
        assert batch[1].seq == batch[0].seq + 1
    assert sorted(event.seq for batch in batches for event in batch) == list(range(1, 41))
    assert await writer.append([]) == []
    await writer.close()
    assert len(await world.log(writer.agent_id)) == 40


async def test_append_that_fails_leaves_no_hole(world: World):
    """A payload that can't be encoded in the middle of a batch."""
    writer = await world.writer(await world.agent())
    broken = draft("text", "r1", message_id="m1", content="x")
    broken.data["content"] = object()
    with pytest.raises(TypeError):
        await writer.append([text("a"), broken])
    await writer.append([text("b")])
    await writer.close()
    log = await world.log(writer.agent_id)
    assert [decode(line).data["content"] for line in log] == ["b"]


async def test_text_of_a_long_outage_becomes_several_rows(world: World):
    writer = await world.writer(await world.agent())
    await writer.append([text("x" * 100_000) for _ in range(10)])
    await writer.close()
    assert len(await chunks(writer.agent_id)) == 5
    assert len(await world.log(writer.agent_id)) == 10


async def test_position_is_stored_with_what_it_belongs_to(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("a"), text("b")], "1:10:0")
    await writer.append([text("c")])
    await writer.flush()
    assert (await in_database(journal.head, agent_id)).position == "1:10:0"
    await writer.append([], "1:20:0")  # lines that made no event
    await writer.append([text("d")])
    await writer.flush()
    assert (await in_database(journal.head, agent_id)).position == "1:20:0"


# The database is away -------------------------------------------------------------------------------------------------


async def test_writer_goes_on_live_while_the_database_is_away_until_enough_is_pending(
    world: World, commits: Commits, settings
):
    settings.PENDING_BYTES = 20_000
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("begin")])
    await writer.flush()
    follower = world.follow(agent_id, "0-0")
    commits.failing = True
    writing = asyncio.create_task(_write_forever(writer, 500))
    await until(lambda: not writer._has_room(), "it has to wait")
    at = writer.seq
    await follower.reaches(at)
    await asyncio.sleep(0.2)
    assert writer.seq == at, "nothing is taken any more"
    assert writer._pending_bytes < 40_000
    commits.failing = False
    await writing
    await writer.close()
    log = await world.log(agent_id)
    assert len(log) == 501
    await follower.reaches(501)
    follower.check(log)
    assert not follower.resets


async def _write_forever(writer: Any, count: int) -> None:
    for at in range(count):
        await writer.append([text(f"{at}")])
        await asyncio.sleep(0)


async def test_no_more_is_pending_than_redis_keeps(world: World, commits: Commits, settings):
    """Or Redis would drop what the database has not got, and a takeover would find a hole."""
    settings.STREAM_MAXLEN = 200
    writer = await world.writer(await world.agent())
    commits.failing = True
    writing = asyncio.create_task(_write_forever(writer, 500))
    await until(lambda: not writer._has_room(), "it has to wait")
    assert writer.seq - writer.committed <= 100
    commits.failing = False
    await writing
    await writer.close()


async def test_who_waits_for_room_learns_that_the_log_was_lost(world: World, commits: Commits, settings):
    settings.PENDING_BYTES = 100
    writer = await world.writer(await world.agent())
    commits.failing = True
    await writer.append([text("x" * 200)])
    waiting = [asyncio.create_task(one) for one in (writer.append([text("b")]), writer.flush(), writer.wait_lost())]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    writer.lose()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Fenced, Fenced, type(None)]


@pytest.mark.faults
@pytest.mark.skipif(connection.vendor == "sqlite", reason="stops PostgreSQL")
@pytest.mark.slow
async def test_everything_is_committed_once_after_postgres_crashed(
    world: World, healthy_postgres: PostgresServer, seed: int
):
    """Commits are broken off at any point, so it is not known which got in."""
    rng = random.Random(seed)
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    follower = world.follow(agent_id, "0-0")
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await writer.append([text(f"{writer.seq} ")])
            await asyncio.sleep(rng.choice([0, 0.001, 0.01]))

    writing = asyncio.create_task(write())
    with patch.object(settings, "COMMIT_INTERVAL_S", 0.01):
        for _ in range(4):
            await asyncio.sleep(rng.uniform(0.1, 0.4))
            await asyncio.to_thread(healthy_postgres.kill)
            before = writer.sent
            await until(lambda before=before: writer.sent > before + 3, "live goes on")  # type: ignore[misc]
            await asyncio.to_thread(healthy_postgres.start)
            committed = writer.committed
            await until(lambda seen=committed: writer.committed > seen, "committing goes on")  # type: ignore[misc]
        stop.set()
        await writing
        await writer.close()
    assert not writer.lost
    log = await world.log(agent_id)
    assert len(log) == writer.seq
    await follower.reaches(len(log))
    follower.check(log)
    assert not follower.resets


# Redis is away --------------------------------------------------------------------------------------------------------


async def test_events_reach_followers_by_the_database_while_redis_is_away(world: World, settings):
    settings.TIP_POLL_S = 0.1
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    follower = world.follow(agent_id, "0-0")
    await writer.append([text("a")])
    await follower.reaches(1)
    await asyncio.to_thread(world.redis.kill)
    for at in range(20):
        await writer.append([text(str(at))])
    await writer.flush()
    await follower.reaches(21)
    await asyncio.to_thread(world.redis.start)
    await writer.append([text("back")])
    await follower.reaches(22)
    await until(lambda: writer.sent == 22, "publishing goes on")
    assert not follower.resets


async def test_redis_that_comes_back_empty_gets_what_is_not_committed(world: World, commits: Commits):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("a"), text("b")])
    await writer.flush()
    commits.failing = True
    await writer.append([text("c"), text("d")])
    await until(lambda: writer.sent == 4, "published")
    await redis_command(world.redis, "FLUSHALL")
    await writer.append([text("e")])
    await until(lambda: writer.sent == 5, "published again")
    stream = await redis_command(world.redis, "XRANGE", f"agent:{agent_id}", "-", "+")
    assert [entry[0] for entry in stream] == [b"1-0", b"1-3", b"1-4", b"1-5"]
    await writer.abandon()
    commits.failing = False
    successor = await world.writer(agent_id)
    assert successor.seq == 5


async def test_redis_that_lost_only_its_end_gets_the_rest_again(world: World, commits: Commits):
    """Restored from a file that is a second old."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    commits.failing = True
    await writer.append([text("a")])
    await until(lambda: writer.sent == 1, "published")
    await writer.append([text("b")])
    await until(lambda: writer.sent == 2, "published")
    key = f"agent:{agent_id}"
    dump = await redis_command(world.redis, "XRANGE", key, "-", "1-1")
    await redis_command(world.redis, "DEL", key)
    for entry_id, fields in dump:
        await redis_command(world.redis, "XADD", key, entry_id, *(word for pair in fields.items() for word in pair))
    await writer.append([text("c")])
    await until(lambda: writer.sent == 3, "published again")
    stream = await redis_command(world.redis, "XRANGE", key, "-", "+")
    assert [entry[0] for entry in stream] == [b"1-0", b"1-1", b"1-2", b"1-3"]
    commits.failing = False


# Snapshots ------------------------------------------------------------------------------------------------------------


async def test_small_state_is_stored_with_every_commit(world: World):
    writer = await world.writer(await world.agent())
    for at in range(1, 4):
        await writer.append([text(str(at))])
        await writer.flush()
        row = await in_database(journal.snapshot, writer.agent_id)
        assert row.cursor == Cursor(1, at)
        assert json.loads(row.state) == fold(map(decode, await world.log(writer.agent_id)))


async def test_what_snapshots_of_a_large_state_cost_stays_proportional_to_the_log(world: World):
    writer = await world.writer(await world.agent())
    stored = 0
    sizes = []

    def count(sender: Any = None, instance: Any = None, **kwargs: Any) -> None:
        nonlocal stored
        stored += len(instance.state)
        sizes.append(len(instance.state))

    from django.db.models.signals import post_save

    post_save.connect(count, sender=Snapshot)
    try:
        for at in range(120):
            await writer.append([text("x" * 10_000, message_id=f"m{at}")])
            await writer.flush()
    finally:
        post_save.disconnect(count, sender=Snapshot)
    assert stored < 8 * 120 * 10_000
    assert len(sizes) < 30
    _, state = await in_database(journal.load_state, writer.agent_id)
    assert state == writer.state


async def test_state_is_stored_at_the_end_of_a_run(world: World):
    writer = await world.writer(await world.agent())
    await writer.append([text("x" * 500_000)])
    await writer.flush()
    await writer.append([draft("status", "r1", status="completed"), draft("done", "r1", status="completed")])
    await writer.flush()
    assert (await in_database(journal.snapshot, writer.agent_id)).cursor == Cursor(1, 3)


async def test_trim_keeps_what_the_snapshot_does_not_hold(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("x" * 500_000)])
    await writer.flush()
    for at in range(3):
        await writer.append([text(str(at))])
        await writer.flush()
    assert (await in_database(journal.snapshot, agent_id)).cursor.seq == 1
    assert await in_database(journal.trim, agent_id, 4) == 2
    follower = world.follow(agent_id, "0-0")
    await follower.reaches(4)
    assert follower.resets == ["trimmed"]
    assert [one["seq"] for one in follower.snapshots] == [1]
    assert follower.snapshots[0]["seq"] + len(follower.events) == 4
    assert fold(map(decode, follower.events), follower.snapshots[0]["state"]) == writer.state


# The end --------------------------------------------------------------------------------------------------------------


async def test_closed_writer_has_everything_in_the_database_and_takes_no_more(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    follower = world.follow(agent_id, "0-0")
    await writer.append([text("a"), text("b")])
    await writer.close()
    assert len(await world.log(agent_id)) == 2
    await follower.reaches(2, patience_s=2)
    for refused in (writer.append([text("c")]), writer.flush()):
        with pytest.raises(WriterClosed):
            await refused
    assert not writer.lost
    await writer.abandon()


async def test_closing_does_not_wait_for_a_redis_that_is_away(world: World):
    writer = await world.writer(await world.agent())
    await asyncio.to_thread(world.redis.kill)
    await writer.append([text("a")])
    async with asyncio.timeout(5):
        await writer.close()
    assert len(await world.log(writer.agent_id)) == 1


async def test_what_an_abandoned_writer_published_is_adopted(world: World, settings):
    settings.COMMIT_INTERVAL_S = 3600
    writer = await world.writer(await world.agent())
    await writer.append([text("a"), text("b")])
    await until(lambda: writer.sent == 2, "published")
    await writer.abandon()
    assert await world.log(writer.agent_id) == []
    successor = await world.writer(writer.agent_id)
    assert successor.seq == 2
    assert len(await world.log(writer.agent_id)) == 2


async def test_unexpected_errors_are_tried_again(world: World, settings):
    settings.COMMIT_INTERVAL_S = 3600  # once committed, an event need not be published any more
    writer = await world.writer(await world.agent())
    troubles: list[Exception] = [ValueError("odd"), BusUnavailable("away"), KeyError("odd")]
    publish = Bus.publish

    async def troubled(self: Bus, *args: Any) -> int:
        if troubles:
            raise troubles.pop()
        return await publish(self, *args)

    with patch.object(Bus, "publish", troubled):
        await writer.append([text("a")])
        await until(lambda: not troubles and writer.sent == 1, "published")
    await writer.flush()
