"""In which order an agent's runs are executed, and changing it.

Rows hold what people want: a run's `place` where one was moved, else its number. The log holds what is so: `queue` in
the state. Its writer makes the one follow the other (agents.log.intents), and before it begins a run it takes it.
Taking and moving lock the same rows: who moves a run is in time, or is told that it was not. Synchronous.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now

from agents.errors import InputInvalid, NotFound, RunNotQueued, RunStopping
from agents.models import Run
from agents.models.run import RunStatus, lock


def in_turn(runs: QuerySet[Run]) -> QuerySet[Run]:
    """One agent's runs as they are executed: what was taken, then the rest by place."""
    return runs.order_by(F("taken_at").asc(nulls_last=True), Coalesce("place", "number"), "number")


@transaction.atomic
def take(agent_id: str, queue: Sequence[str]) -> str:
    """Which run of the log's queue is the next; from now on nobody moves it, nor anything before it."""
    runs = Run.objects.filter(agent_id=agent_id, finished_at=None, pk__in=queue)
    lock(runs)
    first = in_turn(runs).first()
    if first is None:  # the agent was deleted; whoever goes on finds that out
        return queue[0]
    Run.objects.filter(pk=first.pk, taken_at=None).update(taken_at=Now())
    return str(first.pk)


@transaction.atomic
def move(run: Run, before: Run | None) -> None:
    """Of a queued run: to directly before another one, or to the end. Raises RunNotQueued, RunStopping, InputInvalid.

    The places that the queued runs have are dealt out anew among them: a run that is posted later comes later still.
    """
    lock(Run.objects.filter(agent_id=run.agent_id, finished_at=None))
    queued = Run.objects.filter(agent_id=run.agent_id, status=RunStatus.QUEUED, taken_at=None, cancel_requested_at=None)
    runs = list(in_turn(queued).annotate(at=Coalesce("place", "number")))
    places = [one.at for one in runs]
    mine = _of(runs, run)
    target = _of(runs, before, "before") if before is not None else None
    if target is mine:
        raise InputInvalid("before: is the run itself", field="before")
    runs.remove(mine)
    runs.insert(len(runs) if target is None else runs.index(target), mine)
    for one, place in zip(runs, places, strict=True):
        if one.at != place:
            Run.objects.filter(pk=one.pk).update(place=place)


def _of(queue: list[Any], run: Run, field: str | None = None) -> Any:
    for one in queue:
        if one.pk == run.pk:
            return one
    now = Run.objects.filter(pk=run.pk).first()
    if now is None:
        raise NotFound("the run was deleted")
    if now.is_finished:
        message = "the run has ended"
    elif now.cancel_requested_at is not None:
        raise RunStopping(str(run.pk), field)
    else:
        message = "the run has begun"
    raise RunNotQueued(f"{message}; only what waits in the queue can be moved", field=field, run_id=str(run.pk))


def moves(queue: Sequence[str], wanted: Sequence[str]) -> list[tuple[str, int]]:
    """Run and new place, one after another, that bring `queue` into the wanted order: as few as there can be. Both have
    the same runs."""
    line, stays = list(queue), _ascending([wanted.index(run_id) for run_id in queue])
    made: list[tuple[str, int]] = []
    for at, run_id in enumerate(wanted):
        if at in stays:
            continue
        line.remove(run_id)
        place = line.index(wanted[at - 1]) + 1 if at else 0
        line.insert(place, run_id)
        made.append((run_id, place))
    return made


def _ascending(numbers: Sequence[int]) -> set[int]:
    """A longest ascending part of `numbers`, by patience sorting: the last of each length, with the one before it."""
    lasts: list[int] = []
    chains: list[tuple[int, Any]] = []
    for number in numbers:
        at = bisect_left(lasts, number)
        lasts[at : at + 1] = [number]
        chains[at : at + 1] = [(number, chains[at - 1] if at else None)]
    found: set[int] = set()
    chain = chains[-1] if chains else None
    while chain is not None:
        found.add(chain[0])
        chain = chain[1]
    return found
