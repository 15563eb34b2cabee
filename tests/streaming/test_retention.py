"""Events are trimmed below the snapshot while others read: never a gap, at worst a reset, and every state is right."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db.models.functions import Now

from agents.log import lease as leases
from streaming.errors import LogBroken, LogMissing
from streaming.model.cursor import Cursor, judge
from streaming.model.events import Event, decode, encode, now
from streaming.model.fold import fold
from streaming.model.folded import Folded
from streaming.models import EventChunk, Snapshot
from streaming.store import journal
from streaming.store.database import in_database
from streaming.store.journal import Commit, Kept, Stored
from tests.streaming.world import World, text

pytestmark = pytest.mark.sqlite
DAY = timedelta(days=1)


class History:
    """A log written by hand, synchronously: what a writer commits, and every event there ever was."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        lease = leases.acquire(agent_id, "by hand")
        assert lease is not None
        self.epoch = lease.epoch
        journal.begin(agent_id, self.epoch, [], "")
        self.events: list[Event] = []

    def commit(self, count: int = 1, *, snapshot: bool = True) -> None:
        """`count` chunks of an event each."""
        for _ in range(count):
            one = text(f"{len(self.events)} ")
            event = Event(one.type, self.agent_id, one.run_id, self.epoch, len(self.events) + 1, now(), one.data)
            self.events.append(event)
            stored = [Stored(Cursor(self.epoch, event.seq), event.encode())]
            folded = Folded()
            folded.take(self.events)
            journal.commit(Commit(self.agent_id, self.epoch, stored, "", Kept.of(folded) if snapshot else None))

    def state(self, seq: int) -> Any:
        return fold(self.events[:seq])


@pytest.fixture
async def history(world: World) -> History:
    return await in_database(History, await world.agent())


@contextlib.contextmanager
def at_point(number: int, action: Callable[[], None]) -> Iterator[list[str]]:
    """`action` happens once, at that one of the points before and after each step in which the journal reads."""
    passed: list[str] = []
    acting = False

    def through(name: str) -> Callable[..., Any]:
        real = getattr(journal, name)

        def step(*args: Any) -> Any:
            point(f"before {name}")
            answer = real(*args, 1) if name == "page" else real(*args)  # a chunk a page
            point(f"after {name}")
            return answer

        return step

    def point(name: str) -> None:
        nonlocal acting
        if acting:
            return
        passed.append(name)
        if len(passed) == number + 1:
            acting = True
            action()
            acting = False

    with contextlib.ExitStack() as stack:
        for name in ("snapshot", "page", "head", "starts_from"):
            stack.enter_context(patch.object(journal, name, through(name)))
        yield passed


@pytest.mark.parametrize("trimmed_to", ["the snapshot", "the end"])
async def test_a_state_is_right_at_whatever_point_a_trim_falls(world: World, trimmed_to: str):
    """The snapshot is at 3 of 6. While the state is loaded, the log grows, gets a newer snapshot, and is trimmed."""

    def load_with(number: int) -> bool:
        journal.create(agent_id := str(new_id()))
        history = History(agent_id)
        history.commit(3)
        history.commit(3, snapshot=False)

        def happen() -> None:
            history.commit(2)
            if trimmed_to == "the snapshot":
                history.commit(2, snapshot=False)
            journal.trim(agent_id, 2**40)

        with at_point(number, happen) as passed:
            folded = journal.load(agent_id)
            at, state = folded.cursor, folded.state
        assert encode(state) == encode(history.state(at.seq)), f"trimmed {passed[: number + 1][-1:]}"
        assert at.seq >= 6
        return len(passed) > number

    number = 0
    while await in_database(load_with, number):
        number += 1
    assert number > 12, "loading has more points than that"


def new_id() -> Any:
    from agents.models.ids import new_id as made

    return made()


async def test_a_page_that_is_trimmed_while_it_is_read_says_so(history: History):
    """All of it, between the two reads: else an empty page would look like the end."""

    def read() -> journal.Page:
        history.commit(4)
        with at_point(1, lambda: in_between()):
            return journal.page(history.agent_id, Cursor(history.epoch, 1))

    def in_between() -> None:
        journal.trim(history.agent_id, 2**40)

    page = await in_database(read)
    assert page.events == []
    assert judge(Cursor(history.epoch, 1), page.starts, page.tip.seq, page.head.first_seq) == "trimmed"


@pytest.mark.parametrize("keep_from", [7, 2**40])
async def test_a_page_ends_where_a_trim_took_the_rows_it_was_about_to_read(history: History, keep_from: int):
    """The next page then says that it is trimmed: never is there a gap between two events of a page."""
    unpack = journal._unpack

    def read() -> list[journal.Page]:
        history.commit(8)

        def unpack_and_trim(chunk: EventChunk, body: str) -> Any:
            if chunk.last_seq == 4:
                journal.trim(history.agent_id, keep_from)
            return unpack(chunk, body)

        with patch.object(journal, "PAGE_CHUNKS", 2), patch.object(journal, "_unpack", unpack_and_trim):
            first = journal.page(history.agent_id, Cursor(history.epoch, 1))
            return [first, journal.page(history.agent_id, first.events[-1].cursor)]

    first, second = await in_database(read)
    # Rows are read by twos, 2 and 3, then 4 and 5: that one was there before the trim.
    assert [stored.cursor.seq for stored in first.events] == [2, 3, 4, 5]
    assert first.complete is False
    assert judge(Cursor(history.epoch, 5), second.starts, second.tip.seq, second.head.first_seq) == "trimmed"


async def test_a_log_that_no_snapshot_explains_is_an_error_and_no_wrong_state(history: History):
    await in_database(history.commit, 4)
    await in_database(journal.trim, history.agent_id, 2**40)
    await in_database(Snapshot.objects.filter(agent_id=history.agent_id).update, seq=1)
    with pytest.raises(LogBroken):
        await in_database(journal.load, history.agent_id)


async def test_trim_goes_by_age_from_the_beginning_on(history: History):
    """By the database's clock, and never over a younger chunk: what is left is one piece."""
    await in_database(history.commit, 6)
    chunks = EventChunk.objects.filter(agent_id=history.agent_id)
    for seqs, age in (((1, 2, 4), 10), ((3, 5), 1)):
        await in_database(chunks.filter(first_seq__in=seqs).update, created_at=Now() - age * DAY)
    assert await in_database(lambda: journal.trim(history.agent_id, 2**40, min_age=11 * DAY)) == 1
    assert await in_database(lambda: journal.trim(history.agent_id, 2**40, min_age=5 * DAY)) == 3
    assert await in_database(lambda: journal.trim(history.agent_id, 5, min_age=DAY)) == 5
    folded = await in_database(journal.load, history.agent_id)
    at, state = folded.cursor, folded.state
    assert (at.seq, state) == (6, history.state(6))


async def test_trim_is_bounded(history: History):
    await in_database(history.commit, 5)
    firsts = [await in_database(lambda: journal.trim(history.agent_id, 5, max_chunks=2)) for _ in range(3)]
    assert firsts == [3, 5, 5]


async def test_trim_of_a_log_that_is_gone(world: World):
    with pytest.raises(LogMissing):
        await in_database(journal.trim, str(new_id()), 1)


@pytest.mark.parametrize("skew_s", [-600, 600])
async def test_chunks_are_dated_by_the_database(history: History, skew_s: float):
    real_time = time.time
    with patch("time.time", lambda: real_time() + skew_s), patch("django.utils.timezone.now", lambda: 1 / 0):
        await in_database(history.commit, 1)
    chunk = await in_database(EventChunk.objects.get, agent_id=history.agent_id)
    assert abs(chunk.created_at.timestamp() - real_time()) < 30


@pytest.mark.faults
@pytest.mark.slow
async def test_followers_of_a_log_that_is_trimmed_again_and_again(world: World, settings: Any, seed: int):
    """Never a gap (a follower fails on one at once), at worst a reset that says why; states are right all the while."""
    settings.TIP_POLL_S = 0.1
    settings.COMMIT_INTERVAL_S = 0.02
    settings.STREAM_QUEUE_EVENTS = 20  # the ring is short, so who is slow reads the log
    rng = random.Random(seed)
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    log: list[str] = []
    followers = [
        world.follow(agent_id, "0-0", cut_after=cut_after, pause_s=lambda: rng.choice([0, 0, 0, 0.005, 0.05]))
        for cut_after in (None, 2, 7, 40)  # 2: a reset and its snapshot
    ]
    stop = asyncio.Event()
    beside = [
        asyncio.create_task(_trim_now_and_then(agent_id, rng, stop)),
        asyncio.create_task(_load_all_the_time(world, agent_id, log, stop)),
    ]
    for _ in range(600):
        events = await writer.append([text(f"{len(log) + at} ") for at in range(rng.randint(1, 4))])
        log.extend(event.encode() for event in events)
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.02]))
        if rng.random() < 0.05:
            followers.append(world.follow(agent_id, rng.choice([None, "0-0", f"1-{rng.randint(1, len(log))}"])))
    stop.set()
    await asyncio.gather(*beside)
    await writer.close()
    for follower in followers:
        await follower.reaches(len(log))
        follower.check(log)
        assert set(follower.resets) <= {"trimmed"}, f"seed {seed}"
    assert sum(len(follower.resets) for follower in followers) > 3, "nobody met a trim"


async def _trim_now_and_then(agent_id: str, rng: random.Random, stop: asyncio.Event) -> None:
    while not stop.is_set():
        tip = (await in_database(journal.head, agent_id)).tip.seq
        keep_from = rng.choice([tip + 1, max(1, tip - rng.randint(0, 100))])
        await in_database(journal.trim, agent_id, keep_from)
        await asyncio.sleep(rng.uniform(0, 0.05))


async def _load_all_the_time(world: World, agent_id: str, log: list[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        folded = await world.hub.reader.at_tip(agent_id)
        at, state = folded.cursor, folded.state
        if at.seq <= len(log):
            assert state == fold(decode(one) for one in log[: at.seq])
        await asyncio.sleep(0.01)
