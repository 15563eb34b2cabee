"""The law of history: what was once written is read for ever, and written again in the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.model.cursor import Cursor
from streaming.model.events import decode
from streaming.model.fold import fold
from streaming.store import journal
from streaming.store.database import in_database
from streaming.store.journal import Commit, Stored
from tests.streaming.world import World

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.jsonl"))


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def test_there_are_golden_logs():
    assert GOLDEN


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_events_are_written_again_in_the_same_bytes(path: Path):
    for line in lines_of(path):
        assert decode(line).encode() == line


@pytest.mark.sqlite
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_golden_log_comes_out_of_database_and_stream_as_it_went_in(world: World, path: Path):
    agent_id = await world.agent()
    lease = await world.lease(agent_id)
    await in_database(journal.begin, agent_id, lease.epoch, [], "")
    lines = lines_of(path)
    stored = [Stored(Cursor(lease.epoch, seq), line) for seq, line in enumerate(lines, 1)]
    await in_database(journal.commit, Commit(agent_id, lease.epoch, stored, ""))
    follower = world.follow(agent_id, "0-0")
    await follower.reaches(len(lines))
    assert follower.events == lines
    state = (await in_database(journal.load, agent_id)).state
    assert state == fold(map(decode, lines))
