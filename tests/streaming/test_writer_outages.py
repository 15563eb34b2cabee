"""The writer while Redis or the database is away: what goes on, what waits, and what is made up for."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import connection

from streaming.errors import Fenced
from tests.servers import PostgresServer
from tests.streaming.commits import Commits
from tests.streaming.world import World, redis_command, text, until

pytestmark = pytest.mark.sqlite


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
