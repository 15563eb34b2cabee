"""Answers to what a program asks: to the program, then into the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agents.gateway.budgets.guard import is_ours
from agents.log import intents
from agents.worker.execution.deliveries import Deliveries
from agents.worker.execution.run_log import RunLog
from streaming.model.events import draft


class Answers:
    """`line` puts an answer as the program wants it, `send` writes it to the program's stdin. That, and `check_cancel`
    where nothing is sent, raise CancelRequested."""

    def __init__(
        self,
        run_log: RunLog,
        deliveries: Deliveries,
        line: Callable[[str, str, str], bytes | None],
        send: Callable[[bytes], Awaitable[None]],
        check_cancel: Callable[[], Awaitable[None]],
    ) -> None:
        self._run_log = run_log
        self._deliveries = deliveries
        self._line = line
        self._send = send
        self._check_cancel = check_cancel

    def take(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """Any number of times: what is on its way is not sent again."""
        self._deliveries.run(f"answer {approval_id}", lambda: self._pass_on(approval_id, decision, by, reason))

    async def _pass_on(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """To the program first: a crash in between repeats it, and programs drop repeats; the other order loses it."""
        if is_ours(approval_id):
            await self._check_cancel()
        else:
            line = self._line(approval_id, decision, reason)
            if line is None:  # what was asked is still being read again: the supervisor looks again
                return
            await self._send(line)
        await self._record(approval_id, decision, by, reason)

    async def _record(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        run_id = self._run_log.run_id
        drafts = [
            draft("approval-response", run_id, **intents.approval_response_data(approval_id, decision, by, reason))
        ]
        if not self._run_log.waits(beside={approval_id}):
            drafts.append(draft("status", run_id, status="running"))
        await self._run_log.append(drafts)
