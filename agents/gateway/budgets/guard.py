"""Stands before each model call of one run, and watches what its program does.

    near its end (80 %)   a `budget` event says so, once
    used up               the next model call is refused and the run stops; or it is `waiting` until somebody has said
                          whether it may have as much again (definition: exceeded = "ask")

Calls that are under way when a budget is used up come to their end: what a run uses beyond it is at most what its calls
at that moment use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from agents.definitions.budget import Budget, Kind, RunBudget, narrowed
from agents.gateway.budgets import spending
from agents.gateway.budgets.meter import APPROVAL, GRANT, WARN_AT, Meter, Share
from agents.gateway.providers.refusals import BudgetExceeded
from agents.outcome import StopReason
from streaming.model.events import Draft, Event, draft
from streaming.store.database import in_database

OF_CALLS: tuple[Kind, ...] = ("tokens", "cost_usd", "model_calls")
Append = Callable[[list[Draft]], Awaitable[object]]


class Guard:
    """`append` puts events into the log, and shows them to `watch`; `flush` returns when all of them are in the
    database; `changed` is called when there is a reason to stop."""

    def __init__(
        self,
        run_id: str,
        agent_id: str,
        budget: Budget,
        wanted: Mapping[str, float] | None,
        append: Append,
        flush: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        limits = narrowed(budget.limits(), RunBudget.model_validate(dict(wanted or {})).limits())
        self.meter = Meter(run_id, limits)
        self.stop: StopReason | None = None
        self.wall_s = limits.get("wall_s")
        self._asks = budget.exceeded == "ask"
        self._agent_id = agent_id
        self._append = append
        self._flush = flush
        self._changed = changed
        self._calls = 0
        self._site_time: list[Share] = []
        """What agent and user had used of their time when it was last looked at: without this run's."""
        self._admitting = asyncio.Lock()
        self._answered = asyncio.Event()

    def resume(self, events: Iterable[Event]) -> None:
        """Go on after a takeover: from what the log has of the run."""
        self.meter.add(events)

    def watch(self, drafts: list[Draft]) -> list[Draft]:
        """What is about to go into the log; answers what has to go behind it."""
        self.meter.add(drafts)
        if any(one.type == "approval-response" for one in drafts):
            self._answered.set()
        tools = self.meter.share("tool_calls")
        if tools is not None and tools.is_used_up:
            self._stop(tools)
        return self._warnings(self.meter.shares((*OF_CALLS, "tool_calls")))

    def watch_time(self, elapsed_s: float) -> list[Draft]:
        own = self.meter.share("wall_s", elapsed_s)
        shares = [replace(share, used=share.used + elapsed_s) for share in self._site_time]
        if own is not None:
            shares.append(own)
        if over := next((share for share in shares if share.is_used_up), None):
            self._stop(over)
        return self._warnings(shares)

    def moments_s(self) -> list[float]:
        """After how many seconds of the run `watch_time` may have something to say."""
        own = [] if self.wall_s is None else [WARN_AT * self.wall_s, self.wall_s]
        return [*own, *(part * one.limit - one.used for one in self._site_time for part in (WARN_AT, 1))]

    async def begin(self) -> None:
        """Before the first `watch_time`."""
        if spending.is_limited("wall_s"):
            await self._look()

    async def count_tools(self) -> None:
        """Behind calls of tools: those of agent and user are counted in the database."""
        seen = None
        while spending.is_limited("tool_calls") and seen != self.meter.used("tool_calls"):
            seen = self.meter.used("tool_calls")
            await self._flush()
            over = [share for share in await self._look() if share.kind == "tool_calls" and share.is_used_up]
            if over:
                self._stop(over[0])

    async def _look(self) -> list[Share]:
        """What agent and user have used, as far as it is in the database. Where it is near its end, it is said."""
        site = await in_database(spending.shares, self._agent_id)
        self._site_time = [share for share in site if share.kind == "wall_s"]
        counted = [share for share in site if share.kind != "wall_s"]
        if near := self._warnings(counted):
            await self._append(near)
        return counted

    # Model calls --------------------------------------------------------------------------------------------------

    async def admit(self) -> None:
        """Before a call. Raises BudgetExceeded; where the definition says so it waits for somebody's word first."""
        async with self._admitting:  # one question at a time, and no two calls for the last place
            while (over := await self._used_up()) is not None:
                if over.scope != "run" or not self._asks or not await self._granted(over):
                    self._stop(over)
                    raise BudgetExceeded(str(over))
            self._calls += 1

    def entered(self) -> None:
        """An admitted call is in the log, or came to nothing."""
        self._calls -= 1

    async def _used_up(self) -> Share | None:
        if spending.is_limited():
            await self._flush()
            if over := next((share for share in await self._look() if share.is_used_up), None):
                return over
        begun = self.meter.share("model_calls", self.meter.used("model_calls") + self._calls)
        shares = [*self.meter.shares(OF_CALLS), *([begun] if begun is not None else [])]
        return next((share for share in shares if share.is_used_up), None)

    async def _granted(self, over: Share) -> bool:
        """Ask, unless it is asked already, and wait for the answer."""
        approval_id = self.meter.question_id(over.kind)
        if approval_id not in self.meter.asked:
            question = f"Its budget is used up: {over}. May it have as much again?"
            options = [GRANT, "deny"]
            await self._append(
                [
                    draft(
                        "approval-request",
                        self.meter.run_id,
                        approval_id=approval_id,
                        question=question,
                        options=options,
                    )
                ]
            )
        while approval_id not in self.meter.decisions:
            self._answered.clear()
            await self._answered.wait()
        return self.meter.decisions[approval_id] == GRANT

    def _stop(self, over: Share) -> None:
        if self.stop is None:
            self.stop = StopReason.failed("budget-exceeded", str(over))
            self._changed()

    def _warnings(self, shares: Iterable[Share]) -> list[Draft]:
        return [
            draft(
                "budget",
                self.meter.run_id,
                scope=share.scope,
                kind=share.kind,
                used=share.used,
                limit=share.limit,
            )
            for share in self.meter.warn(shares)
        ]


def is_ours(approval_id: str) -> bool:
    """A question of a guard: its answer is not the program's business."""
    return approval_id.startswith(APPROVAL)
