"""Stops the read side between any two of its steps, so that something else can happen exactly there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import patch

from streaming.read import hub as hub_module
from streaming.read import reader as reader_module
from streaming.read.channel import Channel
from streaming.read.hub import Hub
from streaming.store.database import in_database
from tests.streaming.world import until

READS = ("after", "tips")


class Points:
    """Every point at which the read side is about to ask Redis or the database, or has just been answered.

    At point number `at` the action happens, once.
    """

    def __init__(self, at: int, action: Callable[[], Awaitable[None]]) -> None:
        self.passed = 0
        self.names: list[str] = []
        self._at = at
        self._action = action
        self._acting = False
        self._stopped = False

    async def __call__(self, name: str) -> None:
        task = asyncio.current_task()
        if self._acting or self._stopped or (task and task.get_name() == "hub poll"):
            return
        self.passed += 1
        self.names.append(name)
        if self.passed - 1 == self._at:
            self._acting = True
            try:
                await self._action()
            finally:
                self._acting = False

    async def stop(self) -> None:
        """Nothing happens any more; what has begun is over."""
        self._stopped = True
        await until(lambda: not self._acting, "what happens in between is over")

    @property
    def happened(self) -> bool:
        return self.passed > self._at


@contextlib.contextmanager
def interleaved(hub: Hub, points: Points) -> Iterator[None]:
    """While this lasts, `hub` and its reader stop at every point."""

    async def asked(function: Callable[..., Any], *args: Any) -> Any:
        await points(f"before {function.__name__}")
        answer = await in_database(function, *args)
        await points(f"after {function.__name__}")
        return answer

    def through(real: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await points(f"before {name}")
            answer = await real(*args, **kwargs)
            await points(f"after {name}")
            return answer

        return call

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(hub_module, "in_database", asked))
        stack.enter_context(patch.object(reader_module, "in_database", asked))
        for name in READS:
            stack.enter_context(patch.object(hub.bus, name, through(getattr(hub.bus, name), f"XRANGE {name}")))
        yield


class Delivered:
    """Counts the messages that a hub has worked off."""

    def __init__(self, hub: Hub) -> None:
        self.count = 0
        self._deliver = hub._deliver
        hub._deliver = self._counted  # type: ignore[method-assign]

    @classmethod
    def of(cls, hub: Hub) -> Delivered:
        owner = getattr(hub._deliver, "__self__", None)
        return owner if isinstance(owner, cls) else cls(hub)

    def _counted(self, channel: Channel, data: bytes) -> None:
        self._deliver(channel, data)
        self.count += 1
