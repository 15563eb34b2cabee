"""All orders of a short scenario's steps that differ from the usual one in at most so many places.

The usual one is first come, first served, and what happens from outside when nothing else can. Orders at a distance of
one or two from it are where errors of order are found (delay bounding; Emmi, Qadeer, Rakamarić, POPL 2011); all orders
of these fifty steps are more than anybody can run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.model.checks import Checks
from tests.model.gate import Step
from tests.model.site import Site


@dataclass(eq=False)
class Act:
    """Something that happens once, from outside, when the order says so."""

    key: str
    happen: Callable[[], object]
    is_done: bool = False

    def take(self) -> None:
        self.is_done = True
        self.happen()


@dataclass
class Scenario:
    site: Site
    checks: Checks
    acts: Sequence[Act]

    def possible(self) -> list[Step]:
        return [*self.site.movable(), *(act for act in self.acts if not act.is_done)]

    def take(self, step: Step) -> None:
        if isinstance(step, Act):
            step.take()
            self.site.loop.settle()
        else:
            self.site.take(step)
        self.checks.now()


Deviations = dict[int, int]
"""At which step which of the possible ones is taken, where that is not the first."""


def run(scenario: Scenario, deviations: Deviations) -> list[int]:
    """To the end, and check it. Answers how many steps were possible at each place."""
    possible: list[int] = []
    trace: list[str] = []
    try:
        while steps := scenario.possible():
            step = steps[deviations.get(len(possible), 0)]
            possible.append(len(steps))
            trace.append(step.key)
            scenario.take(step)
        assert scenario.site.run(scenario.checks.is_at_rest, 60.0), "not at rest"
        scenario.checks.at_rest()
    except AssertionError as error:
        raise AssertionError(f"{error}\ndeviations: {deviations}\n" + "\n".join(trace)) from error
    finally:
        scenario.site.end()
    return possible


def run_all(make: Callable[[], Scenario], most_deviations: int) -> int:
    """Answers how many orders that were."""
    visited = 0
    waiting: list[Deviations] = [{}]
    while waiting:
        deviations = waiting.pop()
        possible = run(make(), deviations)
        visited += 1
        if len(deviations) < most_deviations:
            waiting.extend(_further(deviations, possible))
    return visited


def _further(deviations: Deviations, possible: Sequence[int]) -> Iterator[Deviations]:
    """One more deviation, behind those there are: so each order comes once."""
    for at in range(max(deviations, default=-1) + 1, len(possible)):
        for other in range(1, possible[at]):
            yield {**deviations, at: other}
