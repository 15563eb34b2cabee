from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import Q

from agents.models.host import HOST_CHARS
from agents.models.ids import new_id
from agents.models.run import Run

SESSION_CHARS = 200


class Attempt(models.Model):
    """One container's try at a run. A worker that takes the run over goes on with the same attempt."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    engine = models.CharField(max_length=20)
    container_ref = models.CharField(max_length=200, blank=True)
    worker = models.CharField(max_length=100, help_text="The worker that supervises it, or did last.")
    host = models.CharField(
        max_length=HOST_CHARS,
        blank=True,
        default="",
        help_text="Whose workers alone can go on with it; agents.fleet.hosts.",
    )
    takeovers = models.PositiveIntegerField(default=0)
    start_sent_at = models.DateTimeField(null=True, blank=True)
    session = models.CharField(
        max_length=SESSION_CHARS, blank=True, default="", help_text="What its program calls the conversation."
    )
    started_at = models.DateTimeField(auto_now_add=True)
    waiting_since = models.DateTimeField(null=True, blank=True, help_text="Since when it waits for somebody's answer.")
    waited_s = models.FloatField(default=0, help_text="How long it had waited before that, seconds.")
    finished_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    outcome = models.CharField(max_length=64, blank=True, help_text="Why it ended: exit, cancel, time-limit, …")

    monotonic_start: float
    """When it started, on this process's monotonic clock; set by whoever opens it, never stored."""
    is_new: bool
    """Whoever opened it has made it: nobody else can have started its container. Never stored."""

    class Meta:
        ordering = ("run", "number")
        indexes = (
            models.Index(fields=["engine"], name="attempt_by_engine"),
            models.Index(fields=["worker"], name="attempt_open", condition=Q(finished_at=None)),
            models.Index(fields=["outcome", "-id"], name="attempt_by_outcome"),
        )
        constraints = (models.UniqueConstraint(fields=["run", "number"], name="attempt_number_once"),)

    @property
    def key(self) -> str:
        """By which starting its container twice starts it once (see containers.interface)."""
        return f"{self.run_id}-{self.number}"

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.run_id}"


def runs_with_open_attempts(run_ids: Iterable[str]) -> frozenset[str]:
    """Those that have an attempt which has not ended."""
    rows = Attempt.objects.filter(run_id__in=list(run_ids), finished_at=None).values_list("run_id", flat=True)
    return frozenset(map(str, rows))
