from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q, QuerySet

from agents.models.agent import Agent
from agents.models.ids import new_id


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (RunStatus.RUNNING, RunStatus.WAITING)
OPEN = (RunStatus.QUEUED, *ACTIVE)
AGENT_STATUSES = ("idle", *RunStatus.values)
"""An agent has the status of its run; "idle" before its first."""


class Run(models.Model):
    """One prompt executed by an agent.

    Intents (input, strategy, cancel) are written by whoever asks. Everything else is a copy of what the log says,
    written by the log's writer in the transaction that commits the events.
    """

    Status: ClassVar[type[RunStatus]] = RunStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField(help_text="1, 2, 3 … within its agent.")
    input = models.TextField()
    strategy = models.CharField(max_length=20, default="enqueue")
    metadata = models.JSONField(default=dict, blank=True)
    budget = models.JSONField(default=dict, blank=True, help_text="What it may use at most, below its definition's.")
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries")

    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.CharField(max_length=200, blank=True)
    enqueued_at = models.DateTimeField(null=True, blank=True, help_text="When the broker was last told of it.")

    place = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its place among the runs of its agent, once somebody has moved one."
    )
    taken_at = models.DateTimeField(null=True, blank=True, help_text="When a worker took it from the queue.")

    first_seq = models.BigIntegerField(null=True, blank=True, help_text="Its first event's place in the agent's log.")
    started_seq = models.BigIntegerField(null=True, blank=True, help_text="The event with which it left the queue.")
    last_seq = models.BigIntegerField(null=True, blank=True, help_text="Its last event's place: of its `done`.")
    status = models.CharField(max_length=20, choices=RunStatus.choices, default=RunStatus.QUEUED)
    engine = models.CharField(max_length=20, blank=True)
    isolation = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveBigIntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    tool_calls = models.PositiveIntegerField(default=0)
    files_changed = models.PositiveIntegerField(default=0)
    usage = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=["agent", "-created_at"], name="run_by_agent"),
            models.Index(fields=["status", "-created_at"], name="run_by_status"),
            models.Index(fields=["created_at"], name="run_open", condition=Q(finished_at=None)),
            models.Index(fields=["-created_at", "-id"], name="run_by_age"),
            models.Index(fields=["engine", "-created_at"], name="run_by_engine"),
            models.Index(fields=["error_code", "-created_at"], name="run_by_error", condition=~Q(error_code="")),
        )
        constraints = (
            models.UniqueConstraint(fields=["agent", "number"], name="run_number_once"),
            models.UniqueConstraint(fields=["agent", "idempotency_key"], name="run_idempotency_once"),
            models.UniqueConstraint(fields=["agent"], condition=Q(status__in=ACTIVE), name="one_active_run"),
        )

    def __str__(self) -> str:
        return f"run {self.number} ({self.status})"

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    @property
    def is_stopping(self) -> bool:
        """Told to stop, and not ended yet."""
        return self.cancel_requested_at is not None and self.finished_at is None


def lock(runs: QuerySet[Run]) -> list[UUID]:
    """Until the transaction ends. Whoever changes several runs in one takes all of them first, and in this order: else
    two of them could wait for each other. Answers which those are."""
    return list(runs.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))


def lock_one(run_id: str) -> Run | None:
    """A run as it is now, locked until the transaction ends; None if it is gone."""
    return Run.objects.select_for_update(no_key=True).filter(pk=run_id).first()


@transaction.atomic
def update_together(runs: QuerySet[Run], **changes: Any) -> int:
    """Update any number of runs, in a transaction with nothing else; answers how many."""
    lock(runs)
    return runs.update(**changes)
