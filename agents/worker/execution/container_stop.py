"""Stopping a container: asked on stdin, then SIGTERM, then SIGKILL, for as long as the engine takes to come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from django.conf import settings

from agents.outcome import StopReason
from agents.worker.execution.control_signals import ControlSignals
from containers.errors import ContainerGone, EngineError, EngineUnavailable
from containers.interface import Engine

log = structlog.get_logger(__name__)
DRAIN_S = 10.0
"""How long a stopped container's last output is waited for."""
AGAIN_S = 1.0
"""Between two attempts while the engine is away."""


async def stop_container(
    engine: Engine,
    ref: str,
    stop: StopReason,
    run_id: str,
    asking: Callable[[], Iterable[bytes]],
    pumping: asyncio.Task[Any],
    signals: ControlSignals,
) -> None:
    """`asking`: the lines that ask the program to stop. Returns when it has ended, and `pumping` too if its
    output comes to an end. Raises EngineError, and Fenced or Detached while the engine is away."""
    if stop.patience_s:
        await _ask(engine, ref, stop.patience_s, run_id, asking, pumping)
    while True:
        try:
            await engine.stop(ref, settings.STOP_GRACE_S)
            break
        except ContainerGone:
            break
        except EngineUnavailable as error:
            log.warning("engine away, stopping again soon", run_id=run_id, error=str(error))
            signals.check()
            await asyncio.sleep(AGAIN_S)
    await asyncio.wait((pumping,), timeout=DRAIN_S)


async def _ask(
    engine: Engine,
    ref: str,
    patience_s: float,
    run_id: str,
    asking: Callable[[], Iterable[bytes]],
    pumping: asyncio.Task[Any],
) -> None:
    try:
        async with asyncio.timeout(patience_s):
            for line in asking():
                await engine.send(ref, line)
            await asyncio.wait((pumping,))
    except TimeoutError:
        pass
    except EngineError as error:
        log.info("cancel line not taken", run_id=run_id, error=str(error))
