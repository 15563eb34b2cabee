"""How often something may happen: `at_once` times, and then `per_s` times a second."""

from __future__ import annotations

import asyncio
from time import monotonic


class Pace:
    """A bucket of `at_once` tokens that is filled by `per_s` of them a second."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s, self._at_once = per_s, at_once
        self._tokens = float(at_once)
        self._tokens_at = monotonic()

    async def turn(self) -> None:
        """Wait for the next one."""
        now = monotonic()
        self._tokens = min(self._at_once, self._tokens + (now - self._tokens_at) * self._per_s) - 1
        self._tokens_at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_s)
