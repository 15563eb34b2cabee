"""Attempts: which container tries which run. Synchronous; see streaming.store.database."""

from __future__ import annotations

import hashlib
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from agents.errors import RunDeleted
from agents.fleet import hosts
from agents.models import Attempt, Run
from agents.models.attempt import SESSION_CHARS
from containers.registry import ENGINES
from streaming.models import Log

LABEL = "agentsite"


def site_id() -> str:
    """Tells this site's containers from another's on the same engine. From the secret key, which both can't share."""
    return hashlib.sha256(f"site:{settings.SECRET_KEY}".encode()).hexdigest()[:12]


@transaction.atomic
def open_attempt(run_id: str, engine: str, isolation: str, worker: str, host: str) -> Attempt:
    """The unfinished attempt of this run, taken over; else a new one. Raises RunDeleted, OnAnotherHost, HostLost."""
    if not Run.objects.filter(pk=run_id).update(engine=engine, isolation=isolation):  # locks it until we are through
        raise RunDeleted(run_id)
    attempt = unfinished_of(run_id)
    is_new = attempt is None
    if attempt is not None:
        hosts.check(attempt, host)
        if attempt.worker != worker:
            # Another engine only if nothing was started: then the setting has changed meanwhile.
            attempt.worker, attempt.engine, attempt.host = worker, engine, host
            attempt.takeovers += 1
            attempt.save(update_fields=["worker", "engine", "host", "takeovers"])
    else:
        last = Attempt.objects.filter(run_id=run_id).aggregate(last=Max("number"))["last"] or 0
        attempt = Attempt.objects.create(run_id=run_id, number=last + 1, engine=engine, worker=worker, host=host)
        Attempt.objects.filter(pk=attempt.pk).update(started_at=Now())
        attempt.monotonic_start = monotonic()
    if attempt.waiting_since is not None:
        attempt.waited_s += _age_s(attempt, "waiting_since")
    attempt.is_new = is_new
    return attempt


def begin_waiting(attempt: Attempt) -> None:
    Attempt.objects.filter(pk=attempt.pk, waiting_since=None).update(waiting_since=Now())


@transaction.atomic
def end_waiting(attempt: Attempt) -> None:
    """Nothing happens to one that was deleted."""
    row = Attempt.objects.select_for_update().filter(pk=attempt.pk).exclude(waiting_since=None).first()
    if row is not None:
        row.waited_s, row.waiting_since = row.waited_s + _age_s(row, "waiting_since"), None
        row.save(update_fields=["waited_s", "waiting_since"])


def _age_s(attempt: Attempt, moment: str) -> float:
    """On the database's clock: the worker that wrote it may be on a machine whose clock is another."""
    now, then = Attempt.objects.filter(pk=attempt.pk).values_list(Now(), moment).get()
    return max(0.0, float((now - then).total_seconds()))


def unfinished_of(run_id: str) -> Attempt | None:
    attempt = Attempt.objects.filter(run_id=run_id, finished_at=None).order_by("-number").first()
    if attempt is not None:
        attempt.monotonic_start = monotonic() - _age_s(attempt, "started_at")
    return attempt


def engines_of(run_id: str) -> list[str]:
    """Names of the engines that this run was tried on."""
    return sorted(set(Attempt.objects.filter(run_id=run_id).values_list("engine", flat=True)))


def engines_used() -> list[str]:
    """Names of the engines that anything was ever tried on."""
    return [name for name in ENGINES if Attempt.objects.filter(engine=name).exists()]


def start_clock(attempt: Attempt) -> None:
    """Its time begins now. What came before (an image was pulled) does not count."""
    Attempt.objects.filter(pk=attempt.pk).update(started_at=Now())
    attempt.monotonic_start = monotonic()


def note_container(attempt: Attempt, ref: str) -> None:
    """Raises RunDeleted."""
    _change(attempt, container_ref=ref)


def note_start_sent(attempt: Attempt, session: str = "") -> None:
    """`session`: what its program calls the conversation. Raises RunDeleted."""
    _change(attempt, start_sent_at=timezone.now(), session=session if len(session) <= SESSION_CHARS else "")


def session_before(run_id: str) -> str:
    """What the agent's program called the conversation in the run before this one; empty if it did not."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        return ""
    earlier = Attempt.objects.filter(run__agent_id=run.agent_id, run__number__lt=run.number)
    last = earlier.exclude(start_sent_at=None).order_by("-run__number", "-number").first()
    return last.session if last is not None else ""


def close_attempt(attempt: Attempt, exit_code: int | None, outcome: str) -> None:
    """Raises RunDeleted."""
    _change(attempt, exit_code=exit_code, outcome=outcome, finished_at=timezone.now())


def _change(attempt: Attempt, **changes: Any) -> None:
    """In the object and in its row. Not `save`: for a row that was deleted with its agent that is a mistake of ours."""
    for name, value in changes.items():
        setattr(attempt, name, value)
    if not Attempt.objects.filter(pk=attempt.pk).update(**changes):
        raise RunDeleted(str(attempt.run_id))


def close_all(run_id: str, outcome: str) -> None:
    Attempt.objects.filter(run_id=run_id, finished_at=None).update(outcome=outcome, finished_at=timezone.now())


def close_stale() -> None:
    """Attempts whose worker died between the run's `done` and closing them: one that lives holds the lease until it has
    closed them. So no time is compared with another machine's."""
    alive = Log.objects.filter(agent_id=OuterRef("run__agent_id"), lease_until__gte=Now()).exclude(owner=None)
    stale = Attempt.objects.filter(~Exists(alive), finished_at=None).exclude(run__finished_at=None)
    ids = list(stale.values_list("pk", flat=True))
    Attempt.objects.filter(pk__in=ids, finished_at=None).update(outcome="worker-lost", finished_at=timezone.now())


def labels(agent_id: str, attempt: Attempt, epoch: int) -> dict[str, str]:
    return {
        LABEL: site_id(),
        f"{LABEL}.agent": agent_id,
        f"{LABEL}.run": str(attempt.run_id),
        f"{LABEL}.attempt": str(attempt.number),
        f"{LABEL}.epoch": str(epoch),
    }


def unfinished(run_ids: list[UUID]) -> set[str]:
    """Those of `run_ids` that exist and have not finished."""
    rows = Run.objects.filter(pk__in=run_ids, finished_at=None).values_list("pk", flat=True)
    return {str(pk) for pk in rows}
