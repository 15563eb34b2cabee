"""The truth: what the database keeps of every log. Written only through `streaming.store.journal`."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Log(models.Model):
    """One agent's log: its tip, and who may write. A row here is the fencing point of the whole system.

    `epoch` is the fencing token: it grows each time somebody becomes the writer. `owner` and `lease_until` (on the
    database's clock) say who that is. `position` is the writer's own note of how far its source has been read.
    """

    agent_id = models.UUIDField(primary_key=True)
    epoch = models.BigIntegerField(default=0)
    seq = models.BigIntegerField(default=0, help_text="The last committed event.")
    tip_epoch = models.BigIntegerField(default=0, help_text="The epoch in which the last committed event was written.")
    first_seq = models.BigIntegerField(default=1, help_text="The oldest event still stored.")
    position = models.CharField(max_length=200, default="", blank=True)
    owner = models.CharField(max_length=100, null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=["owner"], name="log_owner"),)

    def __str__(self) -> str:
        return f"log of {self.agent_id} at {self.tip_epoch}-{self.seq}"


class EpochStart(models.Model):
    """Every event from `first_seq` on was written in `epoch` or later. Epochs that wrote nothing have no row."""

    agent_id = models.UUIDField()
    epoch = models.BigIntegerField()
    first_seq = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["agent_id", "epoch"], name="epoch_once"),)

    def __str__(self) -> str:
        return f"{self.agent_id}: epoch {self.epoch} from {self.first_seq}"


class EventChunk(models.Model):
    """Consecutive events of one epoch: one row a flush, since a row an event is 14 times slower to write.

    One event's JSON a line, first_seq to last_seq: packed (streaming.store.packing), or in `body` as older sites wrote
    it.
    """

    agent_id = models.UUIDField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    epoch = models.BigIntegerField()
    body = models.TextField(default="", blank=True)
    packed = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False, help_text="By the database's clock.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["agent_id", "first_seq"], name="chunk_once"),)
        indexes = (
            models.Index(fields=["agent_id", "last_seq"], name="chunk_by_last_seq"),
            models.Index(fields=["created_at"], name="chunk_by_age"),
        )

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.epoch}-{self.first_seq}..{self.last_seq}"


class Snapshot(models.Model):
    """The folded state at a cursor, as JSON text: streams embed it as it is, so nobody parses or re-orders it.

    Packed (streaming.store.packing), with all files of the workspace (streaming.model.manifest). `state` is what older
    sites wrote. `fold` is the version of the rules that made it (streaming.model.fold.FOLD); one of an older version is
    made anew before anybody gets it (streaming.model.upgrade).
    """

    agent_id = models.UUIDField(primary_key=True)
    epoch = models.BigIntegerField()
    seq = models.BigIntegerField()
    fold = models.SmallIntegerField(default=1, db_index=True)
    state = models.TextField(default="", blank=True)
    packed_state = models.BinaryField(null=True)
    packed_files = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.agent_id} at {self.epoch}-{self.seq}"


class ConversationPage(models.Model):
    """A stretch of the conversation that has left the state, by the event at which it left. Never changed.

    `packed` is JSON: `messages`, and `earlier`, which names the page before it. `last_n` is the ordinal of its newest
    part. `clears`: it left because the conversation began anew. Events may be trimmed; pages stay.
    """

    agent_id = models.UUIDField()
    epoch = models.BigIntegerField()
    seq = models.BigIntegerField()
    last_n = models.BigIntegerField()
    clears = models.BooleanField(default=False)
    packed = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["agent_id", "epoch", "seq"], name="page_once"),)

    def __str__(self) -> str:
        return f"{self.agent_id}: conversation before {self.epoch}-{self.seq}"
