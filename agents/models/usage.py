from __future__ import annotations

from django.conf import settings
from django.db import models


class DailyUse(models.Model):
    """What a user's agents of one definition have used of one model on one day (UTC, by the database's clock). Added to
    in the transaction that commits the `usage` events, as Spending is: an overview reads a few rows, and no run."""

    day = models.DateField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    definition = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.FloatField(default=0)
    model_calls = models.PositiveBigIntegerField(default=0)
    unpriced_calls = models.PositiveBigIntegerField(default=0, help_text="Those of which nobody knows the cost.")

    class Meta:
        verbose_name_plural = "daily use"
        constraints = (models.UniqueConstraint(fields=["owner", "day", "definition", "model"], name="daily_use_once"),)
        indexes = (models.Index(fields=["day"], name="daily_use_by_day"),)

    def __str__(self) -> str:
        return f"{self.day} {self.definition} {self.model}"
