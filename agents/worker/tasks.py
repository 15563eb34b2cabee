"""Entry points for Celery. Nothing here but the way in: no logic, no decisions.

`acks_late` is off and prefetch is 1: with late acks a task longer than the broker's visibility timeout was run four
times at once. A lost message is made up for by the reaper; running twice is prevented by the lease.
"""

from __future__ import annotations

import structlog
from celery import shared_task
from django.db import DatabaseError
from kombu.exceptions import OperationalError

from agents.fleet import hosts
from agents.fleet.supervision import SUPERVISE, request_supervision
from agents.worker import container_cleanup, reaper, retention, state_upgrade
from agents.worker.runner import runner
from agents.workspace import cleanup
from streaming.errors import JournalUnavailable

log = structlog.get_logger(__name__)
EXPIRES_S = 1800
"""Of what beat sends while no worker is there. By the clock of beat's machine: with much less, a worker whose clock is
ten minutes ahead would throw all of it away."""


@shared_task(name=SUPERVISE, ignore_result=True)
def supervise(agent_id: str) -> None:
    try:
        ended = runner().submit(runner().supervise(agent_id)).result()
    except JournalUnavailable as error:
        log.warning("database away, the reaper will ask again", agent_id=agent_id, error=str(error))
        return
    if not ended:
        _ask(agent_id)


@shared_task(name="agents.reap", ignore_result=True, expires=EXPIRES_S)
def reap() -> None:
    try:
        for agent_id in reaper.stranded():
            _ask(agent_id)
    except DatabaseError as error:
        log.warning("reaper not through, the next one is", error=str(error))


@shared_task(name="agents.sweep", ignore_result=True, expires=EXPIRES_S)
def sweep() -> None:
    """Each host has leftovers of its own, and workers that can remove them."""
    try:
        for queue in hosts.queues():
            sweep_host.apply_async(queue=queue, retry=False)
        hosts.forget_old()
    except (DatabaseError, OperationalError) as error:
        log.warning("hosts not asked to sweep, the next turn does it", error=str(error))


@shared_task(name="agents.sweep-host", ignore_result=True, expires=EXPIRES_S)
def sweep_host() -> None:
    try:
        runner().submit(container_cleanup.sweep(runner().engines)).result()
    except JournalUnavailable as error:
        log.warning("sweep not finished", error=str(error))


@shared_task(name="agents.sweep-workspaces", ignore_result=True, expires=EXPIRES_S)
def sweep_workspaces() -> None:
    try:
        cleanup.sweep()
    except (DatabaseError, OSError) as error:
        log.warning("workspaces not swept", error=str(error))


@shared_task(name="agents.trim", ignore_result=True, expires=EXPIRES_S)
def trim() -> None:
    try:
        retention.trim()
    except DatabaseError as error:
        log.warning("events not trimmed, the next turn does it", error=str(error))


@shared_task(name="agents.upgrade", ignore_result=True, expires=EXPIRES_S)
def upgrade() -> None:
    try:
        if count := sum(1 for _ in state_upgrade.upgrade()):
            log.info("states upgraded", logs=count, left=state_upgrade.count_old())
    except DatabaseError as error:
        log.warning("states not upgraded, the next turn does it", error=str(error))


def _ask(agent_id: str) -> None:
    try:
        request_supervision(agent_id)
    except (OperationalError, DatabaseError) as error:
        log.warning("nobody asked, the reaper will ask again", agent_id=agent_id, error=str(error))
