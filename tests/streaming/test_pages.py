"""Stored pages: with the stored state they are the conversation of the whole log, whoever wrote it."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streaming.model import upgrade
from streaming.model.cursor import Cursor
from streaming.model.events import Draft, Event, decode, draft, encode
from streaming.model.fold import FOLD
from streaming.model.folded import Folded
from streaming.models import ConversationPage, Snapshot
from streaming.store import journal
from streaming.store.database import in_database
from streaming.write.writer import Writer
from tests.golden.test_golden import LOGS, lines_of
from tests.streaming.world import World, until

pytestmark = pytest.mark.sqlite
Told = list[tuple[int, str, Any]]
OLD_LOGS = [log for log in LOGS if log.with_suffix(".v1.state.json").exists()]


def talk(rng: random.Random, count: int) -> list[Draft]:
    """Texts and calls of one run, up to tens of thousands of characters each."""
    said: list[Draft] = [draft("status", "r", status="running")]
    for at in range(count):
        size = rng.choice([10, 3_000, 30_000])
        said.append(draft("text", "r", message_id=f"m{at // 5}", content=f"{at % 10}" * size))
        if rng.random() < 0.5:
            said.append(draft("tool-call", "r", call_id=f"c{at}", name="bash", arguments={"command": "x" * size}))
            said.append(draft("tool-result", "r", call_id=f"c{at}", result="y" * size, is_error=False, duration_ms=1))
    return said


def told(entries: list[dict[str, Any]]) -> Told:
    """Every part of the conversation by its `n`."""
    return sorted(
        ((part["n"], entry["id"], part) for entry in entries for part in entry["parts"]), key=lambda one: one[0]
    )


def stored(agent_id: str) -> Told:
    """From the state and the pages of the database. Synchronous."""
    return told(list(journal.conversation_before(agent_id, journal.load(agent_id))))


def folded(events: list[Event]) -> Told:
    """From the events alone."""
    all_at_once = Folded()
    all_at_once.take(events)
    return told([*(entry for page in all_at_once.pages for entry in page.messages), *all_at_once.state["messages"]])


def is_published(writer: Writer) -> bool:
    return writer.sent == writer.seq


@pytest.mark.parametrize("seed", range(3))
async def test_pages_and_state_are_the_conversation_over_takeovers(world: World, seed: int):
    """Each writer is left in the middle of what it does; the next goes on from what the database and Redis have."""
    rng = random.Random(seed)
    agent_id = await world.agent()
    left = talk(rng, 60)
    while left:
        writer = await world.writer(agent_id)
        count = rng.randint(1, 25)
        some, left = left[:count], left[count:]
        await writer.append(some)
        if rng.random() < 0.5:
            await writer.flush()
        await until(partial(is_published, writer), "published")
        await writer.abandon()
    last = await world.writer(agent_id)
    await last.append([draft("done", "r", status="completed")])
    await last.close()
    events = await in_database(lambda: list(journal.events(agent_id)))
    assert await in_database(stored, agent_id) == folded(events)
    assert await in_database(ConversationPage.objects.filter(agent_id=agent_id).count) >= 3


async def test_pages_stay_when_their_events_are_trimmed(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    for one in talk(random.Random(1), 60):
        await writer.append([one])
    await writer.append([draft("done", "r", status="completed")])
    await writer.close()
    before = await in_database(stored, agent_id)
    assert await in_database(journal.trim, agent_id, 2**40) > 50
    assert await in_database(stored, agent_id) == before
    again = await world.writer(agent_id)
    await again.append([draft("text", "r", message_id="later", content="More.")])
    await again.close()
    assert (await in_database(stored, agent_id))[:-1] == before


async def test_a_page_is_stored_with_the_snapshot_that_lacks_its_parts(world: World):
    """A state that is stored less often than events are committed: what left it meanwhile is in no page yet."""
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    for one in talk(random.Random(2), 60):
        await writer.append([one])
        await writer.flush()
        rows = await in_database(lambda: list(ConversationPage.objects.filter(agent_id=agent_id)))
        snapshot = await in_database(journal.snapshot, agent_id)
        earlier = json.loads(snapshot.state)["earlier"]
        assert {Cursor(row.epoch, row.seq) <= snapshot.cursor for row in rows} <= {True}
        assert earlier is None or earlier["before"] in {f"{row.epoch}-{row.seq}" for row in rows}


async def test_a_deleted_log_takes_its_pages_along(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append(talk(random.Random(3), 60))
    await writer.close()
    assert await in_database(ConversationPage.objects.filter(agent_id=agent_id).exists)
    await in_database(journal.delete, agent_id)
    assert not await in_database(ConversationPage.objects.filter(agent_id=agent_id).exists)


# States of version 1 --------------------------------------------------------------------------------------------------


def old_state(log: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(log.with_suffix(".v1.state.json").read_text("utf-8"))
    return state


def make_old(agent_id: str, state: dict[str, Any], at: Cursor) -> None:
    """As a site of version 1 has stored it."""
    Snapshot.objects.filter(agent_id=agent_id).delete()
    Snapshot.objects.create(agent_id=agent_id, epoch=at.epoch, seq=at.seq, fold=1, state=encode(state))


async def test_an_old_log_is_folded_anew_where_all_its_events_are_there(world: World):
    agent_id = await world.agent()
    writer = await world.writer(agent_id)
    await writer.append(talk(random.Random(4), 60))
    await writer.close()
    before, tip = await in_database(stored, agent_id), (await in_database(journal.head, agent_id)).tip
    await in_database(ConversationPage.objects.filter(agent_id=agent_id).delete)
    await in_database(make_old, agent_id, old_state(LOGS[0]), tip)
    assert await in_database(stored, agent_id) == before
    await (await world.writer(agent_id)).close()
    assert await in_database(journal.trim, agent_id, 2**40) == 1, "not before its pages are stored"
    again = await world.writer(agent_id)
    await again.append([draft("title", None, title="New")])
    await again.close()
    assert await in_database(stored, agent_id) == before
    assert (await in_database(Snapshot.objects.get, agent_id=agent_id)).fold == FOLD


@pytest.mark.parametrize("log", OLD_LOGS, ids=lambda log: log.stem)
def test_nothing_of_an_old_state_is_lost(log: Path):
    """What was trimmed can't be folded again: the state of version 1 is all there is."""
    old = old_state(log)
    made = upgrade.from_version_1(old, Cursor(1, 9))
    said = {
        (message["run_id"], message["id"]): "".join(part.get("text", "") for part in message["parts"])
        for message in old["messages"]
    }
    shown = {
        (entry["run_id"], entry["id"]): "".join(part.get("text", "") for part in entry["parts"])
        for entry in made.state["messages"]
    } | {(one["run_id"], one["message_id"]): one["prompt"] for one in made.state["queue"]}
    assert {key: text for key, text in shown.items() if text} == {key: text for key, text in said.items() if text}
    calls = [part["call_id"] for one in old["messages"] for part in one["parts"] if part["type"] == "tool-call"]
    kept = [part["call_id"] for one in made.state["messages"] for part in one["parts"] if part["type"] == "tool-call"]
    assert kept == calls
    for key in ("status", "title", "active_run", "usage"):
        assert made.state[key] == old[key]
    assert made.files == old["files"]
    assert [decode(line).type for line in lines_of(log)]


def test_an_old_state_that_is_large_becomes_pages():
    parts = [{"type": "text", "text": f"{at:05d} " * 1_000} for at in range(200)]
    messages = [{"id": f"m{at}", "run_id": "r", "role": "assistant", "parts": [part]} for at, part in enumerate(parts)]
    old = {**old_state(LOGS[0]), "messages": messages, "queue": [], "active_run": None}
    made = upgrade.from_version_1(old, Cursor(3, 900))
    assert len(made.pages) > 10
    assert len({page.before for page in made.pages}) == len(made.pages)
    entries = [*(entry for page in made.pages for entry in page.messages), *made.state["messages"]]
    assert [part["text"] for _, _, part in told(entries)] == [part["text"] for part in parts]
