"""What a run may use at most, as a definition says it and as who starts a run may narrow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["tokens", "cost_usd", "model_calls", "tool_calls", "wall_s"]
KINDS: tuple[Kind, ...] = ("tokens", "cost_usd", "model_calls", "tool_calls", "wall_s")
COUNT_MOST = 2**53 - 1
Count = Annotated[int, Field(gt=0, le=COUNT_MOST)]
Amount = Annotated[float, Field(gt=0, le=COUNT_MOST, allow_inf_nan=False)]


class RunBudget(BaseModel):
    """Of one run. None: no bound. `tokens`: input and output together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tokens: Count | None = None
    cost_usd: Amount | None = None
    model_calls: Count | None = None
    tool_calls: Count | None = None
    wall_s: Amount | None = None

    def limits(self) -> dict[Kind, float]:
        given = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: value for kind, value in given.items() if value is not None}


class Budget(RunBudget):
    """Of a definition. `exceeded`: what becomes of a run that has used up what its models may: it stops, or asks
    whether it may have as much again. Over `tool_calls` or `wall_s` it always stops."""

    exceeded: Literal["stop", "ask"] = "stop"


def narrowed(limits: Mapping[Kind, float], wanted: Mapping[Kind, float]) -> dict[Kind, float]:
    """The lower of both, kind by kind."""
    return {
        kind: min(found) for kind in KINDS if (found := [given[kind] for given in (limits, wanted) if kind in given])
    }
