"""What one run has used of what it may. A fold over the events of its log, so a worker that takes the run over knows as
much: what was used, what was warned of, what was asked and what was granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.definitions.budget import Kind
from streaming.model.events import Draft, Event

WARN_AT = 0.8
APPROVAL = "budget:"
"""What the ids of our own questions begin with. No program can ask under such an id (agents.programs.translator)."""
GRANT = "approve"


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a budget is used. `scope`: run, agent, user-day."""

    scope: str
    kind: str
    used: float
    limit: float

    @property
    def is_used_up(self) -> bool:
        """Tools are called by the program itself, and counted behind it: the last one that it may call is no reason."""
        return self.used > self.limit if self.kind == "tool_calls" else self.used >= self.limit

    @property
    def is_near(self) -> bool:
        return self.used >= WARN_AT * self.limit

    def __str__(self) -> str:
        whose = {"run": "the run", "agent": "the agent", "user-day": "its user today"}[self.scope]
        unit = {"tokens": "tokens", "model_calls": "model calls", "tool_calls": "tool calls", "wall_s": "s"}
        if self.kind == "cost_usd":
            return f"{whose} has used ${self.used:.6g} of ${self.limit:.6g}"
        return f"{whose} has used {self.used:.12g} of {self.limit:.12g} {unit[self.kind]}"


class Meter:
    def __init__(self, run_id: str, limits: Mapping[Kind, float]) -> None:
        self.run_id = run_id
        self.asked: set[str] = set()
        self.decisions: dict[str, str] = {}
        self._limits = dict(limits)
        self._used: dict[str, float] = {}
        self._granted: dict[str, int] = {}
        self._warned: set[tuple[str, str]] = set()

    def add(self, events: Iterable[Event | Draft]) -> None:
        for event in events:
            if event.run_id == self.run_id:
                self._add(event)

    def used(self, kind: Kind) -> float:
        return self._used.get(kind, 0)

    def share(self, kind: Kind, used: float | None = None) -> Share | None:
        """None where there is no bound. Each grant is as much again."""
        limit = self._limits.get(kind)
        if limit is None:
            return None
        return Share("run", kind, self.used(kind) if used is None else used, limit * (1 + self._granted.get(kind, 0)))

    def shares(self, kinds: Iterable[Kind]) -> list[Share]:
        return [share for kind in kinds if (share := self.share(kind)) is not None]

    def warn(self, shares: Iterable[Share]) -> list[Share]:
        """Those that have come near their end since they were last looked at."""
        near = [share for share in shares if share.is_near and (share.scope, share.kind) not in self._warned]
        self._warned.update((share.scope, share.kind) for share in near)
        return near

    def question_id(self, kind: str) -> str:
        return f"{APPROVAL}{kind}:{self._granted.get(kind, 0) + 1}"

    def _add(self, event: Event | Draft) -> None:
        data = event.data
        if event.type == "usage":
            self._use("tokens", data["input_tokens"] + data["output_tokens"])
            self._use("cost_usd", data["cost_usd"] or 0)
            self._use("model_calls", 1)
        elif event.type == "tool-call":
            self._use("tool_calls", 1)
        elif event.type == "budget":
            self._warned.add((data["scope"], data["kind"]))
        elif event.type == "approval-request" and data["approval_id"].startswith(APPROVAL):
            self.asked.add(data["approval_id"])
        elif event.type == "approval-response" and data["approval_id"].startswith(APPROVAL):
            self._decide(data["approval_id"], data["decision"])

    def _use(self, kind: str, amount: float) -> None:
        self._used[kind] = self._used.get(kind, 0) + amount

    def _decide(self, approval_id: str, decision: str) -> None:
        if approval_id in self.decisions:
            return
        self.decisions[approval_id] = decision
        if decision == GRANT:
            kind = approval_id.split(":")[1]
            self._granted[kind] = self._granted.get(kind, 0) + 1
            self._warned.discard(("run", kind))
