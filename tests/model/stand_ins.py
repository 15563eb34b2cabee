"""What stands in the place of what the log's code imports: stores in memory, a small bus, the loop's clock."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from django.test import override_settings

from agents.log import lease as leases
from streaming.errors import BusUnavailable
from streaming.model.cursor import Cursor
from streaming.read import hub as hub_module
from streaming.read import reader, subscriber
from streaming.read.hub import Hub
from streaming.read.reader import Reader
from streaming.store import journal
from streaming.store.bus import Bus, Tail, name
from streaming.write import takeover, writer
from tests.model.browser import Look
from tests.model.gate import Work
from tests.model.loop import OWNER, VirtualLoop, running
from tests.model.redis import Client
from tests.model.scale import AGENT, BATCH_LINES, REDIS_PAGE, SMALL

if TYPE_CHECKING:
    from tests.model.site import Site


class SmallBus(Bus):
    """Reads in small pages."""

    async def after(self, agent_id: str, cursor: Cursor, count: int = REDIS_PAGE) -> Tail:
        try:
            return await super().after(agent_id, cursor, count)
        except BusUnavailable:
            site, owner = _site(), OWNER.get()
            if owner in site.looks:
                site.looks[owner] = replace(site.looks[owner], in_redis=False)
            raise


class Log:
    """In the place of a module's logger. What is logged with a traceback was not foreseen."""

    def exception(self, event: str, **_: Any) -> None:
        running().errors.append(f"{event}: {sys.exc_info()[1]!r}")

    def info(self, event: str, **_: Any) -> None:
        pass

    debug = warning = info


class SiteLoop(VirtualLoop):
    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site


class WebHub(Hub):
    """Its tasks are the web process's, whoever was the first to watch. Notes why its reader resets."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, "memory")
        self.reader = NotingReader(bus)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        token = OWNER.set("web")
        try:
            return super()._spawn(work, what)
        finally:
            OWNER.reset(token)


class NotingReader(Reader):
    async def after(self, agent_id: str, cursor: Cursor, *, own: bool = False) -> reader.Page | reader.Reset:
        found = await super().after(agent_id, cursor, own=own)
        if isinstance(found, reader.Reset) and not own:
            site, owner = _site(), OWNER.get()
            site.grounds[owner, cursor] = site.looks[owner]
        return found


async def in_memory_database(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Of streaming.store.database.in_database."""
    site = _site()
    work = site.database.works[function](*args, **kwargs)
    if function is journal.page:
        work = _noted(site, OWNER.get(), args[1], work)
    writes = function in site.database.writes
    return await site.gate.call("database", function.__name__, work, writes=writes)


def _noted(site: Site, owner: str, cursor: Cursor, work: Work) -> Work:
    row = site.row
    site.looks[owner] = Look(
        in_database=any(stored.cursor == cursor for stored in row.history),
        in_redis=any(at == cursor for at, _ in site.redis.streams.get(name(AGENT), [])),
        epoch=row.starts[-1].epoch if row.starts else 0,
    )
    return (yield from work)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _now() -> str:
    return f"2026-11-01T00:00:{_monotonic():09.6f}Z"


def _connect(*_: Any, **__: Any) -> Client:
    site = _site()
    return Client(site.redis, site.gate)


def _site() -> Site:
    loop = running()
    assert isinstance(loop, SiteLoop)
    return loop.site


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """While this lasts, the log's code runs over the stores of the site whose loop is running."""
    with contextlib.ExitStack() as stack:
        for module in (hub_module, reader, takeover, writer):
            stack.enter_context(patch.object(module, "in_database", in_memory_database))
        for module in (hub_module, reader, takeover, subscriber):
            stack.enter_context(patch.object(module, "monotonic", _monotonic))
        for module in (hub_module, takeover, writer):
            stack.enter_context(patch.object(module, "log", Log()))
        stack.enter_context(patch.object(leases, "clock", _monotonic))
        stack.enter_context(patch.object(writer, "now", _now))
        stack.enter_context(patch.object(writer, "PUBLISH_EVENTS", BATCH_LINES))
        stack.enter_context(patch.object(reader, "PAGE", REDIS_PAGE))
        stack.enter_context(
            patch.object(hub_module, "redis", SimpleNamespace(Redis=SimpleNamespace(from_url=_connect)))
        )
        stack.enter_context(override_settings(**SMALL))
        yield
