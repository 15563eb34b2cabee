"""What the workload is told to do, and what the log of its run must therefore hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from streaming.model.events import Event

SOURCE = Path(__file__).with_name("workload.py")


@dataclass(frozen=True, slots=True)
class Plan:
    """`pace_s`: least and most seconds between two numbers. `pad`: characters of filling in each. `tool_every`: so many
    numbers between two tools, each of which takes `tool_s`. `stubborn`: ignores cancel and SIGTERM. `eat_at`: after
    that number it takes memory until it is killed."""

    seed: int = 0
    pace_s: tuple[float, float] = (0.01, 0.09)
    pad: int = 0
    tool_every: int = 5
    tool_s: float = 0.0
    stubborn: bool = False
    eat_at: int = 0

    def input(self) -> str:
        return json.dumps(asdict(self))

    def seeded(self, seed: int) -> Plan:
        return replace(self, seed=seed)

    def text(self, numbers: int) -> str:
        return "".join(f"{number}{'.' * self.pad};" for number in range(1, numbers + 1))


@dataclass(frozen=True, slots=True)
class Deeds:
    """What the program did, by the files in its workspace. `total` is None if it did not come to its end."""

    starts: int
    tools: Sequence[int]
    total: int | None


def deeds(workspace: Path, run_id: str) -> Deeds:
    total = _lines(workspace / f"total-{run_id}")
    return Deeds(
        starts=len(_lines(workspace / f"starts-{run_id}")),
        tools=[int(line) for line in _lines(workspace / f"tools-{run_id}")],
        total=int(total[0]) if total else None,
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def problems(plan: Plan, events: Iterable[Event], done: Deeds) -> list[str]:
    """What is wrong with the log of one run, by what its program says and did."""
    events = list(events)
    said = "".join(event.data["content"] for event in events if event.type == "text")
    numbers = said.count(";")
    calls = [event.data["call_id"] for event in events if event.type == "tool-call"]
    results = [event.data["call_id"] for event in events if event.type == "tool-result"]
    ends = [at for at, event in enumerate(events) if event.type == "done"]
    found = []
    if said != plan.text(numbers):
        found.append(f"text is not 1..{numbers} once each, in order: {_first_difference(said, plan.text(numbers))}")
    found += _tool_problems(events, calls, results, done)
    if ends != [len(events) - 1]:
        found.append(f"{len(ends)} done, at {ends} of {len(events)} events")
    if done.starts > 1:
        found.append(f"the program was started {done.starts} times")
    if done.total is not None and (numbers != done.total or len(calls) != numbers // plan.tool_every):
        found.append(f"the program said {done.total} numbers, {numbers} and {len(calls)} calls are in the log")
    return found


def _tool_problems(events: Sequence[Event], calls: list[str], results: list[str], done: Deeds) -> list[str]:
    found = []
    if calls != [f"t{number}" for number in range(1, len(calls) + 1)]:
        found.append(f"tool calls are not 1..{len(calls)} once each: {calls[-5:]}")
    if results != calls[: len(results)] or len(calls) - len(results) > 1:
        found.append(f"{len(results)} tool results for {len(calls)} calls")
    if list(done.tools) != list(range(1, len(done.tools) + 1)):
        found.append(f"executed tools are not 1..{len(done.tools)} once each: {list(done.tools)[-5:]}")
    if not len(results) <= len(done.tools) <= len(calls):
        found.append(f"{len(done.tools)} tools executed, {len(calls)} calls and {len(results)} results in the log")
    for call_id in results:
        said = "".join(e.data["content"] for e in events if e.type == "tool-output" and e.data["call_id"] == call_id)
        if said != f"{call_id[1:]}a;{call_id[1:]}b;":
            found.append(f"output of {call_id} is {said!r}")
    return found


def _first_difference(first: str, second: str) -> str:
    at = next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return f"at {at} of {len(first)}: …{first[max(0, at - 20) : at + 20]}…"
