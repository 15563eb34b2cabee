"""Streams that end by themselves: with a run, or when nothing is left to do."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from streaming.model.events import draft
from tests.streaming.endpoint import Site
from tests.streaming.world import HandWriter, World, text

pytestmark = pytest.mark.sqlite


async def run_of(world: World, *drafts: Any) -> Any:
    writer = await world.writer(await world.agent())
    await writer.append(list(drafts))
    await writer.flush()
    return writer


def status(status: str, run_id: str = "r1") -> Any:
    return draft("status", run_id, status=status)


def done(run_id: str = "r1") -> Any:
    return draft("done", run_id, status="completed")


async def test_until_done_ends_behind_the_done_of_the_first_queued_run(site: Site, world: World):
    writer = await run_of(world, status("queued"), status("queued", "r2"))
    response = site.get(writer.agent_id, "until=done")
    await response.shows("1-2")
    await writer.append([status("running"), done(), status("running", "r2"), done("r2")])
    await response.ends()
    assert response.ids[-1] == "1-4"


@pytest.mark.parametrize(("query", "ids"), [("", ["1-3"]), ("&after=0-0", ["1-1", "1-2", "1-3"]), ("&after=1-3", [])])
async def test_until_done_ends_at_once_if_nothing_is_active_or_queued(
    site: Site, world: World, query: str, ids: list[str]
):
    writer = await run_of(world, status("queued"), status("running"), done())
    response = site.get(writer.agent_id, f"until=done{query}")
    await response.ends(patience_s=2)
    assert response.ids == ids


async def test_until_done_on_a_log_without_events_ends_behind_the_snapshot(site: Site, world: World):
    response = site.get(await world.agent(), "until=done")
    await response.ends(patience_s=2)
    assert response.ids == ["0-0"]


async def test_until_done_of_a_run_that_ended_while_we_were_looking_ends(site: Site, world: World):
    """Its `done` is in the snapshot already, which is read a moment later, and would be waited for in vain."""
    writer = await run_of(world, status("queued"), status("running"))
    snapshot = world.hub.reader.snapshot

    async def late(agent_id: str) -> Any:
        await writer.append([done()])
        await writer.flush()
        return await snapshot(agent_id)

    with patch.object(world.hub.reader, "snapshot", late):
        response = site.get(writer.agent_id, "until=done")
        await response.ends()
    assert response.ids == ["1-3"]


async def test_until_done_of_a_run_that_the_state_has_let_go_since_ends(site: Site, world: World):
    """So many runs have ended after it that a bounded state lists it no more."""
    writer = await run_of(world, status("queued"), status("running"))
    later = [f"{number:032}" for number in range(300)]
    snapshot = world.hub.reader.snapshot

    async def late(agent_id: str) -> Any:
        await writer.append([done(), *(one for run in later for one in (status("running", run), done(run)))])
        await writer.flush()
        return await snapshot(agent_id)

    with patch.object(world.hub.reader, "snapshot", late):
        response = site.get(writer.agent_id, "until=done")
        await response.ends()
    runs = response.data[-1]["state"]["runs"]
    assert "r1" not in {run["id"] for run in runs}
    assert len(runs) < len(later)


async def test_stream_of_a_run_ends_with_it_although_it_was_over_before_we_looked(site: Site, world: World):
    """What `POST …/stream` asks for: from where the log stood before, until that run is done."""
    writer = await run_of(world, status("queued"), status("running"), text("a"), done(), text("later", run_id="r2"))
    for query in ("run=r1&after=0-0", "run=r1"):
        response = site.get(writer.agent_id, query)
        await response.ends()
    assert response.data[-1]["type"] == "snapshot"


async def test_until_done_sends_what_is_known_although_the_channel_is_behind(site: Site, world: World, settings):
    """The message of the last events was lost: the end of the log is what both stores say, not what arrived here."""
    settings.TIP_POLL_S = 0.2
    writer = HandWriter(world.bus, await world.agent())
    await writer.take_over()
    await writer.publish(2)
    watching = site.get(writer.agent_id, "after=0-0")
    await watching.shows("1-2")
    with patch.object(world.hub, "_compare", return_value=None):
        await writer.publish(3, silently=True)
        response = site.get(writer.agent_id, "until=done&after=1-2")
        await response.ends()
    assert response.ids == ["1-3", "1-4", "1-5"]
