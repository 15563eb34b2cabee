"""A row of the table: one fault, injected again and again."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

from tests.faults.cast import USUAL, Cast, Findings
from tests.faults.plan import Plan
from tests.faults.site import Site
from tests.faults.stack import Process, Profile, Stack
from tests.faults.subscriber import Habits
from tests.faults.waiting import Missed, aside

QUICK_LEASE_S = 4.0
RECONNECTS = 5
"""Of subscribers, for each repetition that is asked for."""
MOST_ROUNDS = 5
"""Injections for each repetition that is asked for, before a row that shows too little is given up."""
QUICK = {"AGENTSITE_REAPER_INTERVAL_S": "1"}


@dataclass
class Tally:
    """What all injections of one row showed. `worst_s`: longest takeover or recovery, by `worst_of`."""

    repetitions: int = 0
    findings: Findings = field(default_factory=Findings)
    worst_s: float = 0.0
    notes: dict[str, float] = field(default_factory=dict)
    took_s: float = 0.0

    def add(self, found: Findings) -> None:
        mine = self.findings
        mine.events += found.events
        mine.reconnects += found.reconnects
        mine.lost += found.lost
        mine.repeated += found.repeated
        mine.resets += found.resets
        mine.problems += found.problems

    def took(self, seconds: float, most_s: float, what: str) -> None:
        """A takeover or recovery; longer than `most_s` is a violation."""
        self.worst_s = max(self.worst_s, seconds)
        if seconds > most_s:
            self.findings.problems.append(f"{what} took {seconds:.1f} s, more than {most_s:g} s")

    def note_most(self, name: str, value: float) -> None:
        self.notes[name] = max(value, self.notes.get(name, 0.0))

    def note_sum(self, name: str, value: float) -> None:
        self.notes[name] = value + self.notes.get(name, 0.0)

    def expect(self, holds: object, problem: str) -> None:
        if not holds:
            self.findings.problems.append(problem)


@dataclass
class Scene:
    """One injection. `quick`: as short as it means anything."""

    stack: Stack
    site: Site
    rng: random.Random
    tally: Tally
    agents: int
    quick: bool

    @contextlib.asynccontextmanager
    async def cast(
        self,
        plan: Plan | None = None,
        habits: Sequence[Habits] = USUAL,
        *,
        agents: int | None = None,
        resets_allowed: int = 0,
        finish: bool = True,
    ) -> AsyncIterator[Cast]:
        """Agents at work while the fault is injected; afterwards all is checked."""
        cast = Cast(self.stack, self.site, self.rng, aged=self.quick)
        try:
            await cast.start(self.agents if agents is None else agents, plan or Plan(), habits)
            await cast.at_work()
            yield cast
            await self.stack.start_missing()
            if finish:
                await cast.finish()
            self.tally.add(await cast.verify(resets_allowed))
        finally:
            await cast.stop()

    def moment(self, most_s: float = 1.5) -> float:
        return self.rng.uniform(0.0, most_s)

    async def busiest(self) -> tuple[Process, set[str]]:
        """The worker with the most agents, and which these are."""
        owners = await self.site.owners()
        held = {worker.name: {a for a, pid in owners.items() if pid == worker.pid} for worker in self.stack.workers}
        name = max(held, key=lambda name: len(held[name]))
        if not held[name]:
            raise Missed("no worker holds anything")
        return next(worker for worker in self.stack.workers if worker.name == name), held[name]

    async def restart(self, process: Process) -> None:
        """As `up` does when one of its processes has died."""
        await aside(process.start)


Inject = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """`inject` adds to the tally's repetitions itself. `agents` run at once in one injection of a long run."""

    name: str
    fault: str
    inject: Inject
    profile: Profile = field(default_factory=Profile)
    agents: int = 10
    quick_agents: int = 2
    needs: str = ""
    """"docker"; "dockerd" (an engine of our own); "faketime"."""

    def stage(self, quick: bool) -> Profile:
        """What it runs on. The quick set shares what it can, and waits for short leases only."""
        if not quick:
            return self.profile
        webs = 2 if self.profile.engine == "process" else 1
        return replace(self.profile, lease_s=QUICK_LEASE_S, webs=webs, settings={**QUICK, **self.profile.settings})


async def run_row(row: Row, stack: Stack, repeat: int, seed: int, quick: bool) -> Tally:
    """Inject until there are enough repetitions and reconnects, or something is broken for good."""
    tally, site, began = Tally(), Site(stack), monotonic()
    try:
        for round_ in range(1 if quick and repeat == 1 else MOST_ROUNDS * repeat):
            rng = random.Random(f"{seed} {row.name} {round_}")
            scene = Scene(stack, site, rng, tally, row.quick_agents if quick else row.agents, quick)
            if not await _survived(row, scene) or tally.findings.problems or _is_enough(tally, repeat):
                break
    finally:
        await site.close()
        tally.took_s = monotonic() - began
    return tally


def _is_enough(tally: Tally, repeat: int) -> bool:
    return tally.repetitions >= repeat and tally.findings.reconnects >= RECONNECTS * repeat


async def _survived(row: Row, scene: Scene) -> bool:
    try:
        await row.inject(scene)
    except Exception as error:  # noqa: BLE001 - a finding like any other, told in the table
        scene.tally.findings.problems.append(f"{row.name}: {error!r}")
        return False
    return True
