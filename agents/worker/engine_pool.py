"""The engines of one worker, opened when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog
from django.conf import settings

from agents.fleet import hosts
from containers.errors import EngineError
from containers.interface import Engine
from containers.registry import Place, choose

log = structlog.get_logger(__name__)


class Engines:
    """Those of one host. The site's engine for new attempts; by name the one in which an attempt was begun, should the
    setting have changed meanwhile. One that is not there yet is looked for again with the next call."""

    def __init__(self) -> None:
        self.host = hosts.host_id()
        self._place = place()
        self._open: dict[str, Engine] = {}
        self._chosen: str | None = None
        self._lock = asyncio.Lock()

    @property
    def chosen(self) -> str | None:
        """The name of the site's engine, once it was found."""
        return self._chosen

    async def __call__(self, name: str | None = None) -> Engine:
        """The engine of that name, or for None the site's. Raises EngineUnavailable with the reasons."""
        async with self._lock:
            wanted = name or self._chosen
            if wanted in self._open:
                return self._open[wanted]
            engine = (await choose(wanted or settings.ENGINE, self._place)).engine
            self._open[engine.name] = engine
            if name is None:
                self._chosen = engine.name
                log.info("engine chosen", engine=engine.name, isolation=engine.isolation)
            return engine

    async def all_open(self) -> list[Engine]:
        """The site's, and what else is in use."""
        await self()
        return list(self._open.values())

    async def reachable(self, names: Collection[str]) -> list[Engine]:
        """The site's and those of `names` that can be used now: after a change of the setting, containers of before may
        still be on the other one."""
        found = []
        for name in (None, *names):
            try:
                found.append(await self(name))
            except EngineError as error:
                log.info("engine not there", engine=name or settings.ENGINE, error=str(error))
        return list(dict.fromkeys(found))

    async def close(self) -> None:
        for engine in self._open.values():
            await engine.close()
        self._open.clear()


def place() -> Place:
    """Where this site's engines find what they need."""
    return Place(
        state_dir=settings.LOCAL_DIR / "process",
        docker_url=settings.DOCKER_HOST,
        podman_url=settings.PODMAN_HOST,
        data_dir=settings.DATA_DIR,
        data_volume=settings.DATA_VOLUME,
    )
