"""One name a key: what makes `start` idempotent, also across processes."""

from __future__ import annotations

import hashlib
import re

KEY_LABEL = "agentsite.key"

_SAFE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}")


def name_of(key: str) -> str:
    """`key` itself if it can be a container's and a directory's name; otherwise a digest, so no two keys collide."""
    if _SAFE.fullmatch(key):
        return f"agentsite-{key}"
    return f"agentsite.{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
