"""Putting intents into the log when no worker is the writer: become the writer for one append, and stop.

So what was posted shows in every tab at once, also when no worker is free. While a run is active its supervisor is the
writer: it is poked, and looks for itself every INTENT_POLL_S in case the poke is lost. A worker that is free is let go
first: whoever writes ahead of it makes it wait, and the log is taken over twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

import structlog
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db.models.functions import Now

from agents.log import lease as leases
from agents.log import wakeups
from agents.log.brief_lease import BRIEF_LEASE_S, acquire_brief, brief_owner
from agents.log.intents import file_changes, read_intents, reconcile
from agents.log.lease import Lease
from agents.log.projection import projection
from agents.models import Run
from agents.workspace import Workspace
from streaming.errors import BusUnavailable, Fenced, LogMissing
from streaming.model.events import Draft, draft
from streaming.models import Log
from streaming.store import journal
from streaming.store.bus import Bus
from streaming.store.database import in_database
from streaming.write.takeover import Opening, take_over
from streaming.write.writer import Writer

log = structlog.get_logger(__name__)
HEADSTART_S = 0.1
"""How long a worker that was asked has to become the writer, before we do."""
LOOK_S = 0.015


async def append_run_intent(agent_id: str, run_id: str) -> None:
    """A run is in the log when this returns, or its writer was told. For who found the log free (`is_held`), and then
    asked the workers: whoever has taken it since then finds the run."""
    began, is_worker_first = monotonic(), True
    while is_worker_first and monotonic() < began + BRIEF_LEASE_S:
        await asyncio.sleep(LOOK_S)
        if await in_database(_is_in_log, run_id):
            return
        is_worker_first = monotonic() < began + HEADSTART_S or await in_database(is_held, agent_id)
    await append_intents(agent_id)


async def append_intents(agent_id: str, *, files: bool = False) -> bool:
    """Bring the log in line with the rows (and, with `files`, with the disk). False if somebody else is the writer, who
    has been told. Raises JournalUnavailable; without Redis it takes a little longer and only the database is told."""
    bus = Bus()
    try:
        lease = await acquire_brief(agent_id, brief_owner())
        if lease is None:
            await _poke(bus, agent_id)
            return False
        try:
            await _write(bus, lease, files)
        finally:
            await in_database(leases.release, lease)
        return True
    except (Fenced, LogMissing) as error:
        log.info("somebody else is the writer now", agent_id=agent_id, error=str(error))
        return False
    finally:
        await bus.close()


async def clear(agent_id: str) -> bool:
    """Have the conversation begin anew. False if a run is open, or somebody else is the writer. Raises LogMissing,
    JournalUnavailable.

    A run that is posted between our look and our append begins behind it: its first event is not in the log yet, and
    no other process can write before this one releases the lease.
    """
    bus = Bus()
    try:
        lease = await acquire_brief(agent_id, brief_owner())
        if lease is None:
            await in_database(journal.head, agent_id)  # it may be gone
            return False
        try:
            if await in_database(_has_open_runs, agent_id):
                return False
            await _append(bus, lease, await _take_over(bus, lease), [draft("clear", None)])
        finally:
            await in_database(leases.release, lease)
        return True
    except Fenced:
        return False
    finally:
        await bus.close()


async def _write(bus: Bus, lease: Lease, files: bool) -> None:
    opening = await _take_over(bus, lease)
    intents = await in_database(read_intents, lease.agent_id)
    drafts = reconcile(opening.folded.state, intents)
    if files and opening.folded.state["active_run"] is None:
        workspace = Workspace(lease.agent_id)
        drafts += await asyncio.to_thread(file_changes, opening.folded.files, workspace, None)
    if drafts:
        await _append(bus, lease, opening, drafts)


async def _take_over(bus: Bus, lease: Lease) -> Opening:
    return await take_over(bus, lease.agent_id, lease.epoch, projection(lease.agent_id))


async def _append(bus: Bus, lease: Lease, opening: Opening, drafts: Sequence[Draft]) -> None:
    writer = Writer(lease.agent_id, lease.epoch, opening, bus, lease.held, projection(lease.agent_id))
    await writer.append(drafts)
    await writer.close()


async def _poke(bus: Bus, agent_id: str) -> None:
    try:
        await wakeups.wake_supervisor(bus, agent_id)
    except BusUnavailable:
        log.info("poke not sent, the supervisor will look for itself", within_s=settings.INTENT_POLL_S)


async def _end_streams(agent_id: str) -> None:
    bus = Bus()
    try:
        await bus.delete(agent_id)
        await wakeups.wake_supervisor(bus, agent_id)  # its supervisor finds that the agent is gone
    except BusUnavailable:
        log.info("Redis not reached, streams of the deleted agent end with the next tip poll", agent_id=agent_id)
    finally:
        await bus.close()


def is_held(agent_id: str) -> bool:
    """Is somebody the log's writer? Synchronous."""
    return Log.objects.filter(agent_id=agent_id, lease_until__gte=Now()).exclude(owner=None).exists()


def _has_open_runs(agent_id: str) -> bool:
    return Run.objects.filter(agent_id=agent_id, finished_at=None).exists()


def _is_in_log(run_id: str) -> bool:
    """Or gone with its agent."""
    return not Run.objects.filter(pk=run_id, first_seq=None).exists()


settle_now = async_to_sync(append_intents)
settle_run_now = async_to_sync(append_run_intent)
clear_now = async_to_sync(clear)
end_streams = async_to_sync(_end_streams)
