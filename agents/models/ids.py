"""UUIDv7 (RFC 9562): ids that sort by creation time, so indexes stay local and lists need no second key."""

from __future__ import annotations

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    return uuid.UUID(int=uuid_utils.uuid7().int)
