"""Answers to what a program asks: to the program, then into the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from agents.budgets.guard import is_ours
from agents.execution.errands import Errands
from streaming.events import Draft, draft
from streaming.fold import State


def waits_for_answer(state: State, run_id: str, beside: Collection[str] = ()) -> bool:
    """Has the program asked something that nobody has answered? `beside`: questions that do not count."""
    return any(
        approval["run_id"] == run_id and approval["decision"] is None and approval["approval_id"] not in beside
        for approval in state["approvals"]
    )


class Answers:
    """`line` puts an answer as the program wants it, `send` writes it to the program's stdin, `append` puts drafts into
    the log, `state` is what they fold to."""

    def __init__(
        self,
        run_id: str,
        errands: Errands,
        line: Callable[[str, str, str], bytes | None],
        send: Callable[[bytes], Awaitable[None]],
        append: Callable[[list[Draft]], Awaitable[object]],
        state: Callable[[], State],
    ) -> None:
        self._run_id = run_id
        self._errands = errands
        self._line = line
        self._send = send
        self._append = append
        self._state = state

    def take(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """Any number of times: what is on its way is not sent again."""
        self._errands.run(f"answer {approval_id}", lambda: self._pass_on(approval_id, decision, by, reason))

    async def _pass_on(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """To the program first: a crash in between repeats it, and programs drop repeats; the other order loses it."""
        if not is_ours(approval_id):
            line = self._line(approval_id, decision, reason)
            if line is None:  # what was asked is still being read again: the supervisor looks again
                return
            await self._send(line)
        await self._record(approval_id, decision, by, reason)

    async def _record(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        said = {"approval_id": approval_id, "decision": decision, "by": by, "reason": reason or None}
        drafts = [draft("approval-response", self._run_id, **said)]
        if not waits_for_answer(self._state(), self._run_id, {approval_id}):
            drafts.append(draft("status", self._run_id, status="running"))
        await self._append(drafts)
