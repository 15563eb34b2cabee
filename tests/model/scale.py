"""How small the model is: one agent, and bounds to match."""

from __future__ import annotations

from typing import Any

AGENT = "00000000-0000-7000-8000-000000000001"
BATCH_LINES = 3
REDIS_PAGE = 3
SMALL: dict[str, Any] = {
    "COMMIT_INTERVAL_S": 0.5,
    "COMMIT_EVENTS": 4,
    "PENDING_BYTES": 1_000_000,
    "STREAM_MAXLEN": 12,
    "STREAM_QUEUE_EVENTS": 5,
    "STREAM_QUEUE_BYTES": 1_000_000,
    "STREAM_WRITE_BYTES": 600,
    "STREAM_HEARTBEAT_S": 15.0,
    "TIP_POLL_S": 3.0,
    "LEASE_S": 30.0,
}
"""Bounds that are reached with a few events, so that what happens at them happens here."""
