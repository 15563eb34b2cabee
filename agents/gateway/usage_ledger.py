"""What one run's model calls used, in its log: one `usage` event a call, by nobody but the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agents.gateway.budgets.guard import Guard
from agents.gateway.providers.counting import Counted
from agents.gateway.providers.prices import cost_usd
from containers.gateway.pace import Pace
from streaming.model.events import MAX_SAFE_INTEGER, Draft, draft

MODEL_CHARS = 200
NOTES_PER_S, NOTES_AT_ONCE = 20.0, 100
"""What went wrong is told no faster, and answered no faster: else a program could flood its own log at no cost."""
Append = Callable[[list[Draft]], Awaitable[object]]


class RunLedger:
    """`total` answers what the run has used so far, as its log has it; `append` puts events there."""

    def __init__(self, run_id: str, append: Append, total: Callable[[], dict[str, Any]], guard: Guard) -> None:
        self._run_id = run_id
        self._append = append
        self._total = total
        self._guard = guard
        self._entering = asyncio.Lock()
        self._notes = Pace(NOTES_PER_S, NOTES_AT_ONCE)

    async def admit(self) -> None:
        await self._guard.admit()

    def ended(self) -> None:
        self._guard.entered()

    async def enter(self, provider: str, counted: Counted, *, estimated: bool) -> None:
        """Raises Fenced: then the next worker's gateway has to count, and this call is not handed over."""
        step = {
            "model": f"{provider}:{counted.model or 'unknown'}"[:MODEL_CHARS],
            "input_tokens": min(counted.input_tokens or 0, MAX_SAFE_INTEGER),
            "output_tokens": min(counted.output_tokens or 0, MAX_SAFE_INTEGER),
            "cost_usd": cost_usd(provider, counted),
        }
        async with self._entering:  # the sum of two calls that end at once must not be that of one
            drafts = [draft("usage", self._run_id, **step, total=added(self._total(), step))]
            if estimated:
                words = f"{step['model']} was cut, or did not say what it used: its tokens are estimated"
                drafts.append(self._note(words))
            await self._append(drafts)

    async def note(self, words: str) -> None:
        await self._notes.turn()
        await self._append([self._note(words)])

    def _note(self, words: str) -> Draft:
        return draft("log", self._run_id, stream="egress", content=f"{words}\n")


def added(total: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    cost = total["cost_usd"]
    if step["cost_usd"] is not None:
        cost = step["cost_usd"] + (cost or 0)
    return {
        "input_tokens": min(total["input_tokens"] + step["input_tokens"], MAX_SAFE_INTEGER),
        "output_tokens": min(total["output_tokens"] + step["output_tokens"], MAX_SAFE_INTEGER),
        "cost_usd": cost,
    }
