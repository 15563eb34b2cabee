"""Containers that nobody owns any more: of deleted agents and of runs that have ended. Never those of open runs.

Containers are listed first, and asked for in the database after: whatever is listed was started for a run that is in
the database by then. So it is the rows that protect a new container; its age only spares one that its worker is about
to remove itself, and a clock that is off changes nothing but how long that takes.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings

from agents.gateway import run_gateway
from agents.runs import attempts
from agents.runs.attempts import LABEL
from agents.worker.engine_pool import Engines
from containers.errors import EngineError
from containers.interface import Engine, Inspection
from streaming.store.database import in_database

log = structlog.get_logger(__name__)
TIDY_S = 60.0
"""Starting and removing take far less: what is half made for so long has lost who made it, whatever the grace is."""


async def remove_containers(engine: Engine, agent_id: str) -> None:
    """Of an agent that has been deleted."""
    await _remove(engine, {f"{LABEL}.agent": agent_id})


async def remove_leftovers(engines: Engines, run_id: str) -> None:
    """Of a run whose attempts may have been started by somebody who died before noting it. Raises EngineError."""
    for name in await in_database(attempts.engines_of, run_id):
        await _remove(await engines(name), {f"{LABEL}.run": run_id})


async def sweep(engines: Engines) -> int:
    """Remove containers of this site whose run is finished or gone; answers how many. Errors are logged, and left."""
    removed = 0
    for engine in await engines.reachable(await in_database(attempts.engines_used)):
        try:
            removed += await _sweep(engine)
            removed += await engine.tidy(max(settings.ORPHAN_GRACE_S, TIDY_S))
        except EngineError as error:
            log.warning("sweep not finished", engine=engine.name, error=str(error))
    await in_database(attempts.close_stale)
    await _remove_gateways()
    return removed


async def _sweep(engine: Engine) -> int:
    ours = [container for container in await engine.list({LABEL: attempts.site_id()}) if _is_old(container)]
    runs = {container.ref: _run_id(container) for container in ours}
    still_open = await in_database(attempts.unfinished, [run for run in runs.values() if run is not None])
    removed = 0
    for ref, run_id in runs.items():
        if str(run_id) in still_open:
            continue
        try:
            await engine.remove(ref)
            removed += 1
        except EngineError as error:
            log.warning("container not removed yet", engine=engine.name, ref=ref, error=str(error))
    return removed


async def _remove_gateways() -> None:
    """Directories of gateways whose run has ended without their being removed. Listed first, as containers are."""
    place = run_gateway.place()
    there = {run_id: id_ for run_id in place.run_ids() if (id_ := _uuid(run_id)) is not None}
    still_open = await in_database(attempts.unfinished, list(there.values()))
    for run_id in there:
        if run_id not in still_open:
            await asyncio.to_thread(place.remove, run_id)


async def _remove(engine: Engine, labels: dict[str, str]) -> None:
    for container in await engine.list({LABEL: attempts.site_id(), **labels}):
        await engine.remove(container.ref)


def _is_old(container: Inspection) -> bool:
    """Since its start, or its end if that was later. One that was made and never started has no time, and is old."""
    ended_at = container.exit.finished_at if container.exit else None
    changed_at = ended_at or container.started_at
    return changed_at is None or datetime.now(UTC) - changed_at >= timedelta(seconds=settings.ORPHAN_GRACE_S)


def _run_id(container: Inspection) -> UUID | None:
    return _uuid(container.labels.get(f"{LABEL}.run", ""))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
