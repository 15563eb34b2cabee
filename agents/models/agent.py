from __future__ import annotations

from django.conf import settings
from django.db import models

from agents.models.ids import new_id


class Agent(models.Model):
    """One living instance of a definition. Its log, state and lease are in `streaming`, under the same id.

    `title` and `status` are copies of the folded state for lists and filters, written in the transaction that commits
    the events behind them.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agents")
    definition = models.CharField(max_length=100)
    title = models.CharField(max_length=200, blank=True)
    wanted_title = models.CharField(max_length=200, null=True, blank=True, help_text="A rename not yet in the log.")
    status = models.CharField(max_length=20, default="idle")
    metadata = models.JSONField(default=dict, blank=True)
    model = models.CharField(max_length=200, blank=True, default="", help_text="In place of its definition's.")
    tools = models.JSONField(null=True, blank=True, help_text="Those of its definition's that were chosen; null: all.")
    budget = models.JSONField(default=dict, blank=True, help_text="What each run may use, below its definition's.")
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-updated_at",)
        indexes = (
            models.Index(fields=["owner", "-updated_at"], name="agent_by_owner"),
            models.Index(fields=["status", "-updated_at"], name="agent_by_status"),
            models.Index(fields=["-updated_at", "-id"], name="agent_by_age"),
        )

    def __str__(self) -> str:
        return self.title or f"{self.definition} {str(self.id)[-8:]}"  # the first digits are the time
