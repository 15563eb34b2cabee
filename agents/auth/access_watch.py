"""Watches the access behind everything that is open in one process: streams, feeds and WebSockets.

One look at the database every ACCESS_CHECK_S for all of them together, and at once when agents.auth.grants says that
the access of one of their users has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings

from agents.auth import grants
from agents.auth.grants import NOTICE, Grant
from streaming.errors import JournalUnavailable
from streaming.read.hub import Hub, current_hub
from streaming.store.database import in_database

log = structlog.get_logger(__name__)
PAUSE_S = 0.1
"""Least time between two looks, however often they are asked for."""


class AccessWatch:
    """Bound to the event loop that uses it first. Works while something is open."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._open: dict[object, tuple[Grant, Callable[[], None]]] = {}
        self._asked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watch(self, grant: Grant, on_end: Callable[[], None]) -> Iterator[None]:
        """Within the context `on_end` is called once when the grant has ended."""
        key = object()
        self._open[key] = grant, on_end
        if self._looking is None:
            self._hub.on_notice.add(self._hear)
            self._looking = asyncio.create_task(self._look_again_and_again(), name="access watch")
        try:
            yield
        finally:
            self._open.pop(key, None)
            if not self._open and self._looking is not None:
                self._hub.on_notice.discard(self._hear)
                self._looking.cancel()
                self._looking = None

    def _hear(self, notice: bytes) -> None:
        user_id = notice.removeprefix(NOTICE)
        if any(str(grant.user_id).encode() == user_id for grant, _ in self._open.values()):
            self._asked.set()

    async def _look_again_and_again(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._look()
            except JournalUnavailable:
                pass  # nobody can be asked; what is open goes on until somebody can
            except Exception:
                log.exception("access could not be looked at")
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.ACCESS_CHECK_S):
                    await self._asked.wait()

    async def _look(self) -> None:
        looked_at = dict(self._open)
        over = await in_database(grants.ended, {grant for grant, _ in looked_at.values()})
        for key, (grant, on_end) in looked_at.items():
            if grant in over and self._open.pop(key, None) is not None:
                log.info("access ended", user_id=grant.user_id, agent_id=grant.agent_id)
                on_end()


@dataclass(frozen=True, slots=True)
class GrantedAccess:
    """streaming.http.access.Access for a grant."""

    grant: Grant

    @contextlib.contextmanager
    def watch(self, on_end: Callable[[], None]) -> Iterator[None]:
        with current_watch().watch(self.grant, on_end):
            yield


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, AccessWatch] = WeakKeyDictionary()


def current_watch() -> AccessWatch:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _watches:
        _watches[loop] = AccessWatch(current_hub())
    return _watches[loop]
