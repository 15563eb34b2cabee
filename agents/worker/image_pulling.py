"""Getting an image that the engine does not have, where the site allows it (IMAGE_PULL)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from django.conf import settings

from containers.errors import PullFailed
from containers.interface import Engine, Puller, PullProgress

PROGRESS_S = 1.0
"""From one report to the next at least: each becomes an event, for every subscriber."""
Report = Callable[[str], Awaitable[object]]


def allowed(engine: Engine) -> bool:
    return settings.IMAGE_PULL == "missing" and isinstance(engine, Puller)


async def pull(engine: Engine, image: str, report: Report) -> None:
    """Cancelling it gives up. Raises PullFailed (also after RUN_TIME_LIMIT_S), EngineUnavailable, and what `report`
    raises."""
    news = _News()
    reading = asyncio.create_task(_read(engine, image, news))
    reporting = asyncio.create_task(_report(news, report))
    try:
        async with asyncio.timeout(settings.RUN_TIME_LIMIT_S):
            await asyncio.wait((reading, reporting), return_when=asyncio.FIRST_COMPLETED)
        if reporting.done():
            reporting.result()
        reading.result()
    except TimeoutError:
        raise PullFailed(image, f"it took longer than {settings.RUN_TIME_LIMIT_S:g} s", retryable=True) from None
    finally:
        for task in (reading, reporting):
            task.cancel()
        await asyncio.gather(reading, reporting, return_exceptions=True)


def describe(image: str, progress: PullProgress) -> str:
    if not progress.total_bytes:
        return f"pulling {image}"
    return f"pulling {image}: {progress.done_bytes / 1e6:.1f} of {progress.total_bytes / 1e6:.1f} MB"


class _News:
    """The newest that there is to say; what came before it and was not said is not."""

    def __init__(self) -> None:
        self._text = self._said = ""
        self._fresh = asyncio.Event()

    def put(self, text: str) -> None:
        self._text = text
        if text != self._said:
            self._fresh.set()

    async def take(self) -> str:
        await self._fresh.wait()
        self._fresh.clear()
        self._said = self._text
        return self._text


async def _read(engine: Engine, image: str, news: _News) -> None:
    assert isinstance(engine, Puller)
    news.put(f"pulling {image}")
    async with aclosing(engine.pull(image)) as steps:
        async for progress in steps:
            news.put(describe(image, progress))


async def _report(news: _News, report: Report) -> None:
    while True:
        await report(await news.take())
        await asyncio.sleep(PROGRESS_S)
