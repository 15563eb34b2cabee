"""Copies of the log in tables, for lists, filters and the admin: written in the transaction that commits the events.

So a row never says what the log does not, and never lags behind a committed log. Every step can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from agents.gateway.budgets import spending
from agents.log import announcements
from agents.models import Agent, Run
from agents.models.run import ACTIVE, RunStatus, lock
from streaming.model.events import FINAL, Event
from streaming.model.fold import TITLE_LENGTH

_SHOWN = frozenset(("status", "done", "title", "message", "error"))


def projection(agent_id: str, *, spends: bool = True) -> Callable[[Sequence[Event]], None]:
    """What a log's writer calls in its transactions. `spends`: what the events say was used is used here and now."""

    def project(events: Sequence[Event]) -> None:
        if spends:
            spending.add(agent_id, events)
        shown = [event for event in events if event.type in _SHOWN]
        if not shown:
            return
        lock(Run.objects.filter(pk__in={event.run_id for event in shown if event.run_id is not None}))
        _place(shown)
        for event in shown:
            _STEPS[event.type](agent_id, event)
        _settle(agent_id, [event for event in shown if event.type in ("status", "done")])

    return project


def _place(events: Sequence[Event]) -> None:
    """Where in the log each run begins: so that its events are found, and it is known whether they are still there."""
    first = {event.run_id: event.seq for event in reversed(events) if event.run_id is not None}
    for run_id, seq in first.items():
        Run.objects.filter(pk=run_id, first_seq=None).update(first_seq=seq)


def _status(agent_id: str, event: Event) -> None:
    status = event.data["status"]
    if event.data.get("position") is not None:  # it was moved; and one that has begun since does not go back
        return
    changes: dict[str, Any] = {"status": status}
    run = Run.objects.filter(pk=str(event.run_id), finished_at=None)
    if status == RunStatus.RUNNING:
        run.filter(started_at=None).update(started_at=_at(event), started_seq=event.seq)
    if status not in FINAL:  # a final status counts once its `done` is there
        run.update(**changes)


def _done(agent_id: str, event: Event) -> None:
    data = event.data
    Run.objects.filter(pk=str(event.run_id), finished_at=None).update(
        status=data["status"],
        finished_at=_at(event),
        last_seq=event.seq,
        duration_ms=data["duration_ms"],
        result=data.get("result"),
        tool_calls=data["tool_calls"],
        files_changed=data["files_changed"],
        usage=data["usage"],
    )


def _error(agent_id: str, event: Event) -> None:
    Run.objects.filter(pk=str(event.run_id)).update(error_code=event.data["code"], error_message=event.data["message"])


def _title(agent_id: str, event: Event) -> None:
    title = event.data["title"]
    Agent.objects.filter(pk=agent_id).update(title=title)
    Agent.objects.filter(pk=agent_id, wanted_title=title).update(wanted_title=None)


def _message(agent_id: str, event: Event) -> None:
    if event.data["role"] == "user":
        title = event.data["content"].split("\n", 1)[0][:TITLE_LENGTH]
        Agent.objects.filter(pk=agent_id, title="").update(title=title)


def _settle(agent_id: str, changes: Sequence[Event]) -> None:
    """The same rule as in streaming.model.fold: the active run's status, else queued, else that of the run that changed
    last; as it was if none did."""
    runs = Run.objects.filter(agent_id=agent_id)
    status = (
        runs.filter(status__in=ACTIVE).values_list("status", flat=True).first()
        or runs.filter(status=RunStatus.QUEUED).values_list("status", flat=True).first()
        or (changes[-1].data["status"] if changes else None)
    )
    Agent.objects.filter(pk=agent_id).update(updated_at=Now(), **({"status": status} if status else {}))
    transaction.on_commit(lambda: _tell(agent_id))


def _tell(agent_id: str) -> None:
    row = Agent.objects.filter(pk=agent_id).values_list("owner_id", "status", "title").first()
    if row is not None:
        announcements.announce(row[0], agent_id, row[1], row[2])


def _at(event: Event) -> datetime:
    return datetime.fromisoformat(event.timestamp)


_STEPS: dict[str, Callable[[str, Event], None]] = {
    "status": _status,
    "done": _done,
    "error": _error,
    "title": _title,
    "message": _message,
}
