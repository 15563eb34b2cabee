"""Agents at work, each with one run and some subscribers: what a fault is done to, and what is checked afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from streaming.model.fold import fold
from tests.faults import plan as plans
from tests.faults.plan import Plan
from tests.faults.site import Site, Stored, canonical
from tests.faults.stack import Stack
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import until

USUAL = (Habits("0-0"), Habits(None), Habits("0-0", cut_every_s=0.4))
"""From the start and never cut; late, from a snapshot; cut again and again."""
START_S = 60.0
END_S = 90.0
GONE_S = 15.0


@dataclass
class Watched:
    """One agent. `status`: how its run has to end; `errors`: with which error codes in its log."""

    agent_id: str
    run_id: str
    plan: Plan
    subscribers: list[Subscriber] = field(default_factory=list)
    status: str = "completed"
    errors: tuple[str, ...] = ()
    attempts: tuple[int, ...] = (1,)

    @property
    def first(self) -> Subscriber:
        return self.subscribers[0]

    def heard_done_at(self) -> float:
        """When the first subscriber heard the run's end; 0 if it has not."""
        return next((seen.at for seen in self.first.events[-3:] if seen.payload.startswith(b'{"type":"done"')), 0.0)

    def has_heard(self, events: int) -> bool:
        return self.first.seq >= events


@dataclass
class Findings:
    """What one injection showed."""

    events: int = 0
    reconnects: int = 0
    lost: int = 0
    repeated: int = 0
    resets: int = 0
    problems: list[str] = field(default_factory=list)


class Cast:
    """`aged`: runs look older than they are, so that the reaper does not wait before it asks for them once more."""

    def __init__(self, stack: Stack, site: Site, rng: random.Random, aged: bool = False) -> None:
        self._stack, self._site, self._rng, self._aged = stack, site, rng, aged
        self.agents: list[Watched] = []

    # At work ------------------------------------------------------------------------------------------------------

    async def start(self, count: int, plan: Plan, habits: Sequence[Habits] = USUAL) -> list[Watched]:
        """So many more agents, each with these subscribers."""
        added = await asyncio.gather(*(self.add(plan, habits) for _ in range(count)))
        return list(added)

    async def add(self, plan: Plan, habits: Sequence[Habits] = USUAL) -> Watched:
        plan = plan.seeded(self._rng.randrange(2**32))
        agent_id, run_id = await self._site.create(plan)
        watched = Watched(agent_id, run_id, plan)
        self.agents.append(watched)
        for habit in habits:
            self.subscribe(watched, habit)
        return watched

    def subscribe(self, watched: Watched, habits: Habits) -> Subscriber:
        own = random.Random(self._rng.randrange(2**32))
        subscriber = Subscriber(watched.agent_id, self._stack.token, self._stack.addresses, habits, own)
        watched.subscribers.append(subscriber)
        subscriber.start()
        return subscriber

    async def at_work(self, events: int = 12) -> None:
        """Every program has said something, and every first subscriber has heard it."""
        for agent in self.agents:
            await until(partial(agent.has_heard, events), START_S, f"{agent.agent_id} at work")
        if self._aged:
            await self._site.age_runs()

    async def heard_since(self, moment: float, within_s: float, agents: Sequence[Watched] | None = None) -> float:
        """The longest time until a first subscriber heard something new after `moment`."""
        agents = self.agents if agents is None else agents
        for agent in agents:
            within = max(0.1, moment + within_s - monotonic())
            await until(partial(agent.first.since, moment), within, f"{agent.agent_id} heard of again")
        return max((agent.first.since(moment)[0].at - moment for agent in agents), default=0.0)

    async def taken_over(
        self, agents: Sequence[Watched], epochs: dict[str, int], began: float, within_s: float
    ) -> float:
        """The longest time until a first subscriber heard an event of a later epoch."""
        worst = 0.0
        for agent in agents:
            within = max(0.1, began + within_s - monotonic())
            await until(partial(_later, agent, epochs), within, f"takeover of {agent.agent_id}")
            worst = max(worst, _later(agent, epochs) - began)
        return worst

    # The end ------------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Let the programs come to their end; returns when every run has ended."""
        for agent in self.agents:
            workspace = self._stack.workspace(agent.agent_id)
            workspace.mkdir(parents=True, exist_ok=True)
            (workspace / "finish").touch()
        for agent in self.agents:
            await until(partial(self._site.is_finished, agent.run_id), END_S, f"end of run {agent.run_id}", 0.1)

    async def stop(self) -> None:
        await asyncio.gather(*(one.stop() for agent in self.agents for one in agent.subscribers))

    async def verify(self, resets_allowed: int = 0) -> Findings:
        findings = Findings()
        for agent in self.agents:
            for subscriber in agent.subscribers:
                subscriber.reading.set()
            await self._verify(agent, findings, resets_allowed)
        return findings

    async def _verify(self, agent: Watched, findings: Findings, resets_allowed: int) -> None:
        problems: list[str] = []
        tip = await self._site.tip(agent.agent_id)
        self.subscribe(agent, Habits("0-0"))  # a replay of the whole log, when all is over
        for subscriber in agent.subscribers:
            await self._catch_up(subscriber, tip, problems)
        stored = await self._site.log(agent.agent_id)
        problems += stored.problems
        problems += await self._run_problems(agent, stored)
        problems += await self._state_problems(agent, stored)
        for subscriber in agent.subscribers:
            await subscriber.stop()
            problems += subscriber_problems(subscriber, stored, resets_allowed)
            findings.events += subscriber.checked
            findings.reconnects += subscriber.reconnects
            findings.lost += subscriber.lost
            findings.repeated += subscriber.repeated
            findings.resets += len(subscriber.resets)
        findings.problems += [f"{agent.agent_id}: {problem}" for problem in problems]

    async def _catch_up(self, subscriber: Subscriber, tip: int, problems: list[str]) -> None:
        try:
            await until(lambda: subscriber.seq >= tip, END_S, "")
        except AssertionError:
            problems.append(
                f"deaf: a subscriber stays at {subscriber.last} of {tip} ({subscriber.connections} connections)"
            )

    async def _run_problems(self, agent: Watched, stored: Stored) -> list[str]:
        events = [event for event in stored.events if event.run_id == agent.run_id]
        deeds = plans.deeds(self._stack.workspace(agent.agent_id), agent.run_id)
        problems = plans.problems(agent.plan, events, deeds)
        status, _ = await self._site.run_row(agent.run_id)
        ends = {event.data["status"] for event in events if event.type == "done"} | {status}
        if ends != {agent.status}:
            problems.append(f"run is {ends}, not {agent.status}")
        errors = tuple(event.data["code"] for event in events if event.type == "error")
        if errors != agent.errors:
            problems.append(f"errors {errors}, not {agent.errors}")
        if (attempts := len(await self._site.attempts(agent.run_id))) not in agent.attempts:
            problems.append(f"{attempts} attempts")
        if agent.status == "completed" and (deeds.total is None or deeds.starts != 1):
            problems.append(f"completed, but {deeds.starts} starts and total {deeds.total}")
        return problems

    async def _state_problems(self, agent: Watched, stored: Stored) -> list[str]:
        snapshot = await self._site.snapshot(agent.agent_id)
        whole = canonical(await asyncio.to_thread(fold, stored.events))
        then = fold(stored.events[snapshot["seq"] :], snapshot["state"])
        return [] if canonical(then) == whole else ["snapshot and the events after it are not the whole log's state"]

    async def containers_gone(self) -> None:
        """Nothing of ours runs, and nothing is left to be removed but what the sweep may take."""
        engine = self._stack.engine()
        try:

            async def all_gone() -> bool:
                return not any(one.running for one in await engine.list({"agentsite": self._stack.site_id}))

            await until(all_gone, GONE_S, "containers gone", 0.1)
        finally:
            await engine.close()


def _later(agent: Watched, epochs: dict[str, int]) -> float:
    """When the first event of a later epoch was heard; 0 if none was."""
    before = epochs[agent.agent_id]
    if agent.first.last is None or agent.first.last.epoch <= before:
        return 0.0
    return next((seen.at for seen in agent.first.events if seen.cursor.epoch > before), monotonic())


def subscriber_problems(subscriber: Subscriber, stored: Stored, resets_allowed: int = 0) -> list[str]:
    """How what it saw differs from the log, and its snapshot with what followed from the log's state."""
    problems = list(subscriber.problems)
    wanted = stored.payloads[subscriber.base.seq :]
    if [seen.payload for seen in subscriber.events] != wanted:
        problems.append(f"a subscriber's events behind {subscriber.base} are not the log's ({len(subscriber.events)})")
    if subscriber.base_state is not None:
        there = fold(stored.events[subscriber.base.seq :], subscriber.base_state)
        if canonical(there) != canonical(fold(stored.events)):
            problems.append(f"the snapshot at {subscriber.base} and what followed is not the log's state")
    if len(subscriber.resets) > resets_allowed:
        problems.append(f"resets: {dict(Counter(subscriber.resets))}")
    return problems
