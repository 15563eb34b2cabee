"""Which workers there are: what each says of itself in Redis, in a key that expires when it is silent. Synchronous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from agents.definitions import Definition
from agents.fleet.hosts import ANY_HOST
from agents.fleet.redis_client import redis_client
from agents.gateway.providers import keys
from agents.gateway.providers.provider import PROVIDERS
from containers import programs

PRESENCE = "agentsite:worker:"
"""Keys that workers renew while they live (agents.worker.runner)."""
WORKERS_MOST = 1000
WITHOUT_IMAGES = {"bwrap": True, "process": False}
"""Engines that run a `process_command`, and whether they isolate it."""


def workers() -> list[dict[str, Any]]:
    """What the living workers say of themselves: worker, engine, active, concurrency, providers. None of
    them if Redis is away."""
    return ask() or []


def ask() -> list[dict[str, Any]] | None:
    """The same, and None if Redis does not answer: then nobody knows."""
    try:
        with redis_client() as at:
            names = [
                name for name, _ in zip(at.scan_iter(f"{PRESENCE}*", count=1000), range(WORKERS_MOST), strict=False)
            ]
            values = at.mget(names) if names else []
    except (RedisError, OSError):
        return None
    return [json.loads(value) for value in values if value is not None]


def messages_waiting() -> int | None:
    """Messages in the broker that no worker has taken yet; None if it does not answer, or is none that can be asked."""
    if not settings.CELERY_BROKER_URL.startswith(("redis://", "rediss://", "unix://")):
        return None
    try:
        with redis_client(settings.CELERY_BROKER_URL) as broker:
            return int(broker.llen(ANY_HOST))
    except (RedisError, OSError, ValueError):
        return None


def provider_reasons() -> dict[str, str | None]:
    """Why a provider can't be used; None if it can. Keys are the workers', and this process may have others."""
    said = [found["providers"] for found in workers() if found.get("providers")]
    own = said[0] if said else keys.reasons()
    return {name: None if any(one.get(name, "") is None for one in said) else own.get(name) for name in PROVIDERS}


def refusal(definition: Definition) -> str | None:
    """Why no worker can run a definition, as its engine says; None if one can, or no worker says anything."""
    said = [_refusal_of(str(found["engine"]), definition) for found in workers() if found.get("engine")]
    return said[0] if said and all(said) else None


def _refusal_of(engine: str, definition: Definition) -> str | None:
    if engine not in WITHOUT_IMAGES:
        return None
    venv = Path(definition.venv) if definition.venv else None
    isolates = WITHOUT_IMAGES[engine]
    return programs.refusal(definition.process_command, venv, isolates=isolates, trusted=definition.trusted)
