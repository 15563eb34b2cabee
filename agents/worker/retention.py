"""Retention: raw events older than RETENTION_DAYS are trimmed, and with them what is kept of the workspace before and
after their run. What they came to stays, in the snapshot and in the rows of runs. Synchronous.

Never of a run that has not ended, however old it is: whoever takes it over counts its events again. Older cursors get
`reset` with reason `trimmed`, and a snapshot (streaming.model.cursor). By the database's clock only.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from agents.models import Run
from agents.workspace.history import History
from streaming.errors import LogBroken, LogMissing
from streaming.models import EventChunk
from streaming.store import journal

log = structlog.get_logger(__name__)
END = 2**62
"""Behind every event."""
CHUNKS_AT_ONCE = 500
"""Rows deleted in one transaction, for which the log's writer has to wait: about 10 ms."""
TRIMS_A_TURN = 20
"""Such transactions in one turn at most, and a turn is every minute: more than twice what a hundred agents write."""


def trim() -> int:
    """One turn, the oldest first; answers how many transactions it took. Raises DatabaseError."""
    if not settings.RETENTION_DAYS:
        return 0
    min_age = timedelta(days=settings.RETENTION_DAYS)
    stuck: set[UUID] = set()
    trims = 0
    while trims < TRIMS_A_TURN and (chunk := _next(min_age, stuck)) is not None:
        trims += 1
        agent_id = str(chunk.agent_id)
        try:
            if not journal.is_in_snapshot(agent_id, chunk.last_seq):
                journal.refresh_snapshot(agent_id)
            first_seq = journal.trim(agent_id, _keep_from(agent_id), min_age=min_age, max_chunks=CHUNKS_AT_ONCE)
            _forget_workspaces(agent_id, first_seq)
        except LogMissing:  # deleted meanwhile
            first_seq = 0
        except LogBroken as error:
            log.error("events not trimmed", agent_id=agent_id, error=str(error))
            first_seq = 0
        if first_seq <= chunk.first_seq:  # nor is it the next one's turn to wait for ever
            stuck.add(chunk.agent_id)
    if trims:
        log.info("events trimmed", transactions=trims, older_than_days=settings.RETENTION_DAYS)
    return trims


def _forget_workspaces(agent_id: str, first_seq: int) -> None:
    """Of runs that are trimmed. Losing this to a crash is made up for by the next trim of this agent, and at
    last by the bound on what is kept."""
    history = History(agent_id)
    if not (kept := history.runs()):
        return
    ended = Run.objects.filter(agent_id=agent_id, pk__in=kept, first_seq__lt=first_seq).exclude(finished_at=None)
    trimmed = {str(pk) for pk in ended.values_list("pk", flat=True)}
    try:
        history.forget(trimmed)
    except OSError as error:
        log.warning("history of trimmed runs not removed yet", agent_id=agent_id, error=str(error))


def _next(min_age: timedelta, stuck: Collection[UUID]) -> EventChunk | None:
    """The oldest chunk that may go."""
    open_runs = Run.objects.filter(agent_id=OuterRef("agent_id"), finished_at=None)
    needing = open_runs.filter(Q(first_seq=None) | Q(first_seq__lte=OuterRef("last_seq")))
    return (
        journal.trimmable(min_age).filter(~Exists(needing)).exclude(agent_id__in=stuck).defer("body", "packed").first()
    )


def _keep_from(agent_id: str) -> int:
    """The first event of those runs that have not ended. All are kept while one of them has no place yet."""
    firsts = list(Run.objects.filter(agent_id=agent_id, finished_at=None).values_list("first_seq", flat=True))
    return min((first or 0 for first in firsts), default=END)
