"""States of an older version of the fold, upgraded one log at a time: whatever else happens to their logs meanwhile."""

from __future__ import annotations

import random
from functools import partial

import pytest

from agents.worker import state_upgrade, tasks
from streaming.model.cursor import Cursor
from streaming.model.events import draft
from streaming.model.fold import FOLD
from streaming.models import ConversationPage, EventChunk, Snapshot
from streaming.store import journal
from streaming.store.database import in_database
from tests.golden.test_golden import LOGS
from tests.streaming.test_pages import make_old, old_state, stored, talk
from tests.streaming.world import World

pytestmark = pytest.mark.sqlite


async def old_log(world: World, seed: int) -> str:
    """One with some pages, which are not stored."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append(talk(random.Random(seed), 40))
    await writer.close()
    await in_database(ConversationPage.objects.filter(agent_id=agent_id).delete)
    tip = (await in_database(journal.head, agent_id)).tip
    await in_database(make_old, agent_id, old_state(LOGS[0]), tip)
    return agent_id


async def upgrade() -> list[str]:
    return await in_database(lambda: list(state_upgrade.upgrade()))


async def fold_of(agent_id: str) -> int:
    return int((await in_database(Snapshot.objects.get, agent_id=agent_id)).fold)


async def test_an_upgraded_log_has_its_state_and_pages_stored(world: World):
    agent_id = await old_log(world, 1)
    before = await in_database(stored, agent_id)
    assert await upgrade() == [agent_id]
    assert await fold_of(agent_id) == FOLD
    assert await in_database(stored, agent_id) == before
    assert await in_database(ConversationPage.objects.filter(agent_id=agent_id).count) >= 2
    assert await upgrade() == []


async def test_a_log_that_somebody_writes_is_upgraded_too_and_its_writer_goes_on(world: World):
    agent_id = await old_log(world, 2)
    writer = await world.writer(agent_id)
    assert await upgrade() == [agent_id]
    await writer.append(talk(random.Random(3), 40))
    await writer.close()
    folded = await in_database(journal.load, agent_id)
    assert folded.state == writer.state
    assert len(await in_database(stored, agent_id)) == folded.state["parts_total"]


async def test_a_state_that_its_writer_has_stored_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch):
    agent_id = await old_log(world, 4)
    writer = await world.writer(agent_id)
    await writer.append([draft("title", None, title="Newer")])
    replace = journal._replace

    def overtaken(old: Snapshot, *arguments: object) -> bool:
        Snapshot.objects.filter(agent_id=agent_id).update(fold=FOLD, seq=old.seq + 1)
        return replace(old, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "_replace", overtaken)
    assert await upgrade() == []
    assert (await in_database(Snapshot.objects.get, agent_id=agent_id)).packed_state is None


async def test_a_broken_log_keeps_no_other_waiting(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(state_upgrade, "AT_ONCE", 2)
    logs = sorted([await old_log(world, seed) for seed in range(5)])
    for agent_id in logs[:2]:
        await in_database(EventChunk.objects.filter(agent_id=agent_id).delete)
    assert await upgrade() == logs[2:]
    assert [await fold_of(agent_id) for agent_id in logs] == [1, 1, FOLD, FOLD, FOLD]


async def test_a_turn_is_bounded_and_the_next_goes_on(world: World):
    logs = sorted([await old_log(world, seed) for seed in range(3)])
    assert await in_database(lambda: list(state_upgrade.upgrade(most=2))) == logs[:2]
    await in_database(partial(tasks.upgrade))
    assert await in_database(state_upgrade.count_old) == 0


async def test_a_deleted_agent_leaves_no_pages(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "REFRESH_PAGES", 1)
    agent_id = await old_log(world, 6)
    replace = journal._replace

    def deleted(old: Snapshot, *arguments: object) -> bool:
        journal.delete(agent_id)
        return replace(old, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "_replace", deleted)
    assert await upgrade() == []
    assert not await in_database(ConversationPage.objects.filter(agent_id=agent_id).exists)


async def test_pages_are_stored_in_between_where_there_are_many(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "REFRESH_PAGES", 2)
    agent_id = await old_log(world, 7)
    before = await in_database(stored, agent_id)
    assert await upgrade() == [agent_id]
    assert await in_database(stored, agent_id) == before


async def test_events_that_are_old_are_trimmed_although_the_state_was_stored_before_them(world: World):
    """A state is stored when there is enough that is new; retention does not wait for that."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append([draft("text", "r", message_id="m", content="x" * 10_000)])
    await writer.flush()
    await writer.append([draft("text", "r", message_id="m", content="Last.")])
    await writer.close()
    assert not await in_database(journal.is_in_snapshot, agent_id, 2)
    assert await in_database(journal.refresh_snapshot, agent_id)
    assert (await in_database(journal.snapshot, agent_id)).cursor == Cursor(1, 2)
    assert await in_database(journal.trim, agent_id, 2**40) == 3
