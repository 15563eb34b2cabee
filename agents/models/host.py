from __future__ import annotations

from django.db import models

HOST_CHARS = 64


class Host(models.Model):
    """A machine whose workers share its engines. Its workers renew the row with their leases; see
    agents.fleet.hosts."""

    id = models.CharField(primary_key=True, max_length=HOST_CHARS)
    boot_id = models.CharField(max_length=64, help_text="Of the kernel that its workers run on.")
    seen_at = models.DateTimeField(help_text="When one of its workers was last at work.")
    present_since = models.DateTimeField(help_text="Since when it was seen without a gap.")

    def __str__(self) -> str:
        return self.id
