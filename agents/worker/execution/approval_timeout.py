"""Questions that nobody answers: after a definition's `approval_timeout_s` the site says no."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from agents.errors import AgentsError
from agents.outcome import StopReason
from agents.runs import commands
from agents.worker.execution.run_log import RunLog
from streaming.store.database import in_database

BY = "timeout"


class ApprovalTimeout:
    """Of one run. `denial` names the option of a question that says no, `ask` has the supervisor look for answers. A
    worker that takes over begins to wait anew."""

    def __init__(
        self,
        run_log: RunLog,
        timeout_s: float | None,
        denial: Callable[[Mapping[str, Any]], str | None],
        ask: Callable[[], None],
    ) -> None:
        self.stop: StopReason | None = None
        """Why the run has to end: a question to which nobody can say no."""
        self._denial = denial
        self._run_log = run_log
        self._timeout_s = timeout_s
        self._ask = ask
        self._since: dict[str, float] = {}
        self._answered: set[str] = set()

    def due_at(self) -> float:
        """When somebody has waited for too long, on the monotonic clock."""
        if self._timeout_s is None:
            return float("inf")
        return min((since + self._timeout_s for since in self._since.values()), default=float("inf"))

    async def look(self) -> None:
        """Begin to wait for what was asked since, and answer what was asked too long ago."""
        if self._timeout_s is None:
            return
        asked = {one["approval_id"]: one for one in self._run_log.state["approvals"] if self._is_open(one)}
        self._since = {approval_id: self._since.get(approval_id, monotonic()) for approval_id in asked}
        for approval_id, since in list(self._since.items()):
            if monotonic() >= since + self._timeout_s:
                await self._deny(asked[approval_id])

    def _is_open(self, approval: Mapping[str, Any]) -> bool:
        mine = approval["run_id"] == self._run_log.run_id and approval["decision"] is None
        return mine and approval["approval_id"] not in self._answered

    async def _deny(self, approval: Mapping[str, Any]) -> None:
        approval_id, reason = approval["approval_id"], f"nobody answered within {self._timeout_s:g} s"
        self._answered.add(approval_id)
        del self._since[approval_id]
        denial = self._denial(approval)
        if denial is None:
            self.stop = self.stop or StopReason.failed("approval-timeout", f"{approval['question'][:200]}: {reason}")
            return
        with contextlib.suppress(AgentsError):  # it ends anyway
            await in_database(commands.record_answer, self._run_log.run_id, approval_id, denial, BY, reason)
        self._ask()
