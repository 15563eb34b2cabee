"""One run's way into its agent's log: what is said of the run goes through here, and whoever has to know hears.

drafts ─► watchers (what has to go behind them) ─► writer ─► tally ─► hearers (what follows from it)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from agents.log.run_summary import RunSummary
from agents.models import Attempt
from agents.worker import source_position
from containers.interface import Offset
from streaming.model.events import Draft, Event, draft
from streaming.model.fold import State
from streaming.model.manifest import Manifest
from streaming.write.writer import Writer

Watcher = Callable[[list[Draft]], list[Draft]]
Hearer = Callable[[list[Event]], Awaitable[None]]
QUESTION_CHARS = 200


class RunLog:
    """`watchers` are shown what is about to go in, and answer what has to go behind it. `hearers` are told what got in.
    `attempt` is the one at work, once there is one."""

    def __init__(self, run_id: str, writer: Writer) -> None:
        self.run_id = run_id
        self.tally = RunSummary(run_id)
        self.attempt: Attempt | None = None
        self.watchers: list[Watcher] = []
        self.hearers: list[Hearer] = []
        self._writer = writer

    @property
    def state(self) -> State:
        """What the agent's log folds to."""
        return self._writer.state

    @property
    def files(self) -> Manifest:
        """All files of the workspace that the agent's log knows."""
        return self._writer.files

    def waits(self, beside: Collection[str] = ()) -> bool:
        """Has the program asked something that nobody has answered? `beside`: questions that do not count."""
        return any(
            approval["run_id"] == self.run_id and approval["decision"] is None and approval["approval_id"] not in beside
            for approval in self.state["approvals"]
        )

    async def append(
        self, drafts: list[Draft], offset: Offset | None = None, begin: Offset | None = None
    ) -> list[Event]:
        """`offset`: what of the container's output is in the log with these; `begin`: where to read on, if it is before
        that. Raises Fenced."""
        if not drafts:
            return []
        drafts = [*drafts, *(more for watch in self.watchers for more in watch(drafts))]
        asks = [one for one in drafts if one.type == "approval-request"]
        if asks:
            question = asks[-1].data["question"][:QUESTION_CHARS]
            drafts = [*drafts, draft("status", self.run_id, status="waiting", reason=question)]
        at = None
        if offset is not None and self.attempt is not None:
            at = source_position.write(self.run_id, self.attempt.number, offset, begin)
        events = await self._writer.append(drafts, at)
        self.tally.add(events)
        if asks:
            await self.flush()  # whoever sees the question may answer at once, and that asks the database
        for hear in self.hearers:
            await hear(events)
        return events

    async def flush(self) -> None:
        """Returns when all of it is in the database."""
        await self._writer.flush()

    async def say_status(self, status: str, reason: str | None = None) -> None:
        number = self.attempt.number if self.attempt else None
        await self.append([draft("status", self.run_id, status=status, reason=reason, attempt=number)])

    def error(self, code: str, message: str, retryable: bool = False) -> Draft:
        return draft("error", self.run_id, code=code, message=message, retryable=retryable)
