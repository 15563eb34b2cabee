from __future__ import annotations

from django.db import models


class Spending(models.Model):
    """What an agent has used in its life, or a user on one day (UTC, by the database's clock). Added to in the
    transaction that commits the events, so it is exactly what logs say, whichever workers wrote them; a run's time when
    the run has ended. It stays when its agent is deleted: else a user's day could be begun anew."""

    scope = models.CharField(max_length=100, unique=True, help_text="agent:<id> or user:<id>:<date>")
    tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.FloatField(default=0)
    model_calls = models.PositiveBigIntegerField(default=0)
    tool_calls = models.PositiveBigIntegerField(default=0)
    wall_s = models.FloatField(default=0)

    class Meta:
        verbose_name_plural = "spending"

    def __str__(self) -> str:
        return self.scope
