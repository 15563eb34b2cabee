"""An agent's workspace while a run goes on: what changes in it, how large it is, what it was before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import structlog

from agents.log import intents
from agents.outcome import StopReason
from agents.worker.execution.run_log import RunLog
from agents.workspace import Workspace, WorkspaceMissing
from agents.workspace.history import History
from agents.workspace.history.store import Moment
from containers.spec import MIB
from streaming.errors import Fenced
from streaming.model.events import Draft

log = structlog.get_logger(__name__)
SCAN_INTERVAL_S = 2.0
"""From one look at what has changed to the next, at least."""
MEASURE_INTERVAL_S = 2.0
"""How often the workspace is measured while a program runs: what it writes meanwhile may be above its limit."""
MEASURE_SHARE = 0.05
"""Of the time, at most: a workspace of a million files takes seconds to measure."""


class WorkspaceWatch:
    """`notify` is called when there is news."""

    def __init__(self, agent_id: str, run_log: RunLog, limit_mib: int, notify: Callable[[], None]) -> None:
        self._run_log = run_log
        self._run_id = run_log.run_id
        self._limit_mib = limit_mib
        self._notify = notify
        self._workspace = Workspace(agent_id)
        self._history = History(agent_id)
        self._scan: asyncio.Task[None] | None = None
        self._scan_wanted = False
        self._scanned_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._measure_at = 0.0
        self._used_bytes = 0
        self._is_missing = False

    @property
    def path(self) -> Path:
        return self._workspace.path

    async def prepare(self) -> None:
        """Raises WorkspaceMissing, OSError."""
        try:
            await asyncio.to_thread(self._workspace.prepare)
        except WorkspaceMissing:
            self._is_missing = True  # the caller reports it
            raise

    def want_scan(self) -> None:
        """Somebody may have changed files."""
        if not self._scan_wanted:
            self._scan_wanted = True
            self._notify()

    def tend(self) -> None:
        """Begin what is due, beside the run: a large workspace takes a while to read."""
        now = monotonic()
        if self._scan_wanted and self._scan is None and now - self._scanned_at >= SCAN_INTERVAL_S:
            self._scan_wanted = False
            self._scan = asyncio.create_task(self._scan_once())
        if self._measuring is None and now >= self._measure_at:
            self._measuring = asyncio.create_task(self.measure())

    def due_at(self) -> float:
        """When something is to be begun, on the monotonic clock. What goes on gives notice when it ends."""
        moments = [float("inf")]
        if self._measuring is None:
            moments.append(self._measure_at)
        if self._scan_wanted and self._scan is None:
            moments.append(self._scanned_at + SCAN_INTERVAL_S)
        return min(moments)

    async def close(self) -> None:
        tasks = [task for task in (self._scan, self._measuring) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What changed -------------------------------------------------------------------------------------------------

    async def changes(self) -> list[Draft]:
        """What is on disk and not in the log; an error where it can't be read, but only one for a lost workspace."""
        self._scanned_at = monotonic()
        try:
            return await asyncio.to_thread(intents.file_changes, self._run_log.files, self._workspace, self._run_id)
        except OSError as error:
            reason = f"the workspace can't be read: {error.strerror or error}"
            return [self._run_log.error("workspace-unreadable", reason)]
        except WorkspaceMissing as error:
            if self._is_missing:
                return []
            self._is_missing = True
            return [self._run_log.error(error.code, error.message, error.retryable)]

    async def _scan_once(self) -> None:
        try:
            await self._run_log.append(await self.changes())
        except Fenced:
            pass
        except Exception:
            log.exception("workspace not scanned", run_id=self._run_id)
        finally:
            self._scan = None
            self._notify()

    # How large it is ----------------------------------------------------------------------------------------------

    async def measure(self) -> None:
        began = monotonic()
        try:
            self._used_bytes = await asyncio.to_thread(self._workspace.used_bytes, self._limit_mib * MIB)
        except OSError as error:
            log.warning("workspace not measured", run_id=self._run_id, error=str(error))
        except WorkspaceMissing:  # `changes` says so in the run, unless its agent was deleted meanwhile
            log.info("workspace not measured: it is missing", run_id=self._run_id)
        finally:
            took_s = monotonic() - began
            self._measure_at = monotonic() + max(MEASURE_INTERVAL_S, took_s / MEASURE_SHARE)
            self._measuring = None
            self._notify()

    def full(self) -> StopReason | None:
        """Why nothing may go on, by the last measurement."""
        if self._used_bytes <= self._limit_mib * MIB:
            return None
        message = f"the workspace takes more than {self._limit_mib} MiB; delete some of its files"
        return StopReason.failed("workspace-full", message)

    # What it was --------------------------------------------------------------------------------------------------

    async def keep(self, moment: Moment) -> None:
        """For the diff of this run: losing it costs no run. Takes TAKE_S and a walk through the workspace at most."""
        try:
            await asyncio.to_thread(self._history.keep, self._run_id, moment, self._workspace)
        except OSError as error:
            log.warning("workspace not kept", run_id=self._run_id, moment=moment, error=str(error))
        except WorkspaceMissing:  # as above
            log.info("workspace not kept: it is missing", run_id=self._run_id, moment=moment)
