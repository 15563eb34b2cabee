"""Containers that nobody owns any more: of deleted agents and of runs that have ended. Never those of open runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from agents import attempts
from agents.attempts import LABEL
from agents.engines import Engines
from containers.engine import Engine, Inspection
from containers.errors import EngineError
from streaming.database import in_database

log = structlog.get_logger(__name__)
GRACE_S = 60.0
"""A container younger than this is left alone: its run may just be being written down, or its end being read."""


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
    try:
        for engine in await engines.all_open():
            removed += await _sweep(engine)
    except EngineError as error:
        log.warning("sweep not finished", error=str(error))
    await in_database(attempts.close_stale, GRACE_S)
    return removed


async def _sweep(engine: Engine) -> int:
    ours = [container for container in await engine.list({LABEL: attempts.site_id()}) if _is_old(container)]
    runs = {container.ref: _run_id(container) for container in ours}
    still_open = await in_database(attempts.unfinished, [run for run in runs.values() if run is not None])
    left_over = [container for container in ours if str(runs[container.ref]) not in still_open]
    for container in left_over:
        await engine.remove(container.ref)
    return len(left_over)


async def _remove(engine: Engine, labels: dict[str, str]) -> None:
    for container in await engine.list({LABEL: attempts.site_id(), **labels}):
        await engine.remove(container.ref)


def _is_old(container: Inspection) -> bool:
    started = container.started_at
    return started is None or datetime.now(UTC) - started > timedelta(seconds=GRACE_S)


def _run_id(container: Inspection) -> UUID | None:
    try:
        return UUID(container.labels.get(f"{LABEL}.run", ""))
    except ValueError:
        return None
