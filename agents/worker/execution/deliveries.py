"""What is told to a program while it works: each of it once at a time, beside the run.

Beside: a program that does not read its stdin must keep nobody from cancelling it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agents.worker.execution.control_signals import CancelRequested
from containers.errors import EngineError
from streaming.errors import Fenced

log = structlog.get_logger(__name__)
CLOSE_S = 0.1


class Deliveries:
    """Of one run. What fails is asked for again by whoever looks next, while the program lives."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def run(self, name: str, errand: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Any number of times: one of the same name that is under way is not begun again."""
        if self._closed or name in self._under_way:
            return
        task = asyncio.create_task(self._run(name, errand))
        self._under_way[name] = task
        task.add_done_callback(lambda _: self._under_way.pop(name, None))

    async def close(self) -> None:
        """What is about to be written down gets the time for it; a program that reads nothing is not waited for."""
        self._closed = True
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, name: str, errand: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await errand()
        except EngineError as error:
            log.info("not taken by the program", run_id=self._run_id, what=name, error=str(error))
        except (Fenced, CancelRequested):
            pass
        except Exception:
            log.exception("not passed on", run_id=self._run_id, what=name)
