"""The writer: what it gathers into a commit, what it stores beside the events, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from streaming.errors import BusUnavailable, WriterClosed
from streaming.model.events import Draft, decode, draft
from streaming.model.fold import fold
from streaming.models import EventChunk
from streaming.store import journal
from streaming.store.bus import Bus
from streaming.store.database import in_database
from streaming.write.writer import Writer
from tests.streaming.commits import Commits
from tests.streaming.world import World, text, until

pytestmark = pytest.mark.sqlite


async def chunks(agent_id: str) -> list[tuple[int, int]]:
    rows = EventChunk.objects.filter(agent_id=agent_id).order_by("first_seq").values_list("first_seq", "last_seq")
    return await in_database(lambda: list(rows))


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


# Snapshots ------------------------------------------------------------------------------------------------------------


async def snapshots_of(writer: Writer, appends: Iterable[list[Draft]]) -> list[tuple[int, int]]:
    """Of each that was stored while these were committed one by one: its seq, and how long its JSON is."""
    found: dict[int, int] = {}
    for drafts in appends:
        await writer.append(drafts)
        await writer.flush()
        row = await in_database(journal.snapshot, writer.agent_id)
        found[row.cursor.seq] = len(row.state)
    return list(found.items())


async def test_first_commit_stores_a_state(world: World):
    writer = await world.writer(await world.agent())
    assert [seq for seq, _ in await snapshots_of(writer, [[text("Hello.")]])] == [1]
    row = await in_database(journal.snapshot, writer.agent_id)
    assert json.loads(row.state) == fold(map(decode, await world.log(writer.agent_id)))


@pytest.mark.parametrize("chars", [50, 10_000])
async def test_snapshots_cost_less_than_the_log_whose_state_they_are(world: World, chars: int):
    writer = await world.writer(await world.agent())
    stored = await snapshots_of(writer, ([text("x" * chars, message_id=f"m{at}")] for at in range(120)))
    written = sum(len(event) for event in await world.log(writer.agent_id))
    assert len(stored) >= 3
    assert sum(length for _, length in stored) < 2 * written
    state = (await in_database(journal.load, writer.agent_id)).state
    assert state == writer.state


async def test_snapshots_of_many_short_runs_cost_less_than_their_log(world: World):
    """Each of them is another writer's, and ends with little that is new."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([text("x" * 30_000, message_id=f"m{at}") for at in range(6)])
    await writer.close()
    before = sum(len(event) for event in await world.log(agent_id))
    length = 0
    for at in range(40):
        writer = await world.writer(agent_id)
        run = [text("x" * 1_000, f"late{at}"), draft("done", "r1", status="completed")]
        length += sum(length for seq, length in await snapshots_of(writer, [[one] for one in run]) if seq > 6 + 2 * at)
        await writer.close()
    assert length < 6 * (sum(len(event) for event in await world.log(agent_id)) - before)


async def test_state_is_stored_at_the_end_of_a_run_that_said_much(world: World):
    writer = await world.writer(await world.agent())
    said = [text("x" * 30_000, message_id=f"m{at}") for at in range(6)]
    stored = await snapshots_of(writer, [said, [text("y" * 60_000)], [draft("done", "r1", status="completed")]])
    assert [seq for seq, _ in stored] == [6, 8]


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
