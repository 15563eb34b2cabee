"""Waiting for things, never for time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from time import monotonic


class Missed(AssertionError):
    """What had to happen did not, in time."""


async def until(condition: Callable[[], object], within_s: float, what: str, every_s: float = 0.02) -> float:
    """Seconds it took until `condition()` was true; it may be a coroutine function."""
    began = monotonic()
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return monotonic() - began
        if monotonic() - began > within_s:
            raise Missed(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(every_s)


async def aside(work: Callable[[], object]) -> None:
    """A blocking call, beside the loop that serves the subscribers."""
    await asyncio.to_thread(work)
