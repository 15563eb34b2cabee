from __future__ import annotations

from django.db import models


class DataDirectory(models.Model):
    """One row: the data directory that belongs to this database, by the id in its marker file; see
    agents.fleet.data_directory."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    marker = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.marker
