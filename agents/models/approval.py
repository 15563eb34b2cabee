from __future__ import annotations

from django.db import models

from agents.models.run import Run


class ApprovalAnswer(models.Model):
    """Somebody's answer to an approval request: an intent, until the supervisor has put it into the log.

    The constraint makes the first answer win, from whichever page, API call or command line it came.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="answers")
    approval_id = models.CharField(max_length=200)
    decision = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["run", "approval_id"], name="first_answer_wins"),)

    def __str__(self) -> str:
        return f"{self.decision} by {self.by}"
