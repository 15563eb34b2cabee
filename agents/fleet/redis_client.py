"""A synchronous Redis client that fails at once, for what Django asks outside the bus."""

from __future__ import annotations

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 2.0


def redis_client(url: str | None = None) -> redis.Redis:
    """A client of `url`, by default REDIS_URL. It does not retry: callers decide that."""
    return redis.Redis.from_url(
        url or settings.REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
