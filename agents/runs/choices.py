"""What whoever makes an agent may choose: model, tools and budget, never more than its definition allows.

Checked when the agent is made, and again before each of its runs: the definition may have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agents.definitions import Definition
from agents.definitions.budget import Budget, Kind, RunBudget
from agents.errors import InputInvalid
from agents.gateway.providers import access
from agents.gateway.providers.provider import provider_of_model


@dataclass(frozen=True, slots=True)
class Choices:
    """The fields of an agent. `model` empty, `tools` None, `budget` empty: as its definition says."""

    model: str = ""
    tools: list[str] | None = None
    budget: dict[Kind, float] = field(default_factory=dict)


def checked(
    definition: Definition, model: str | None, tools: Sequence[str] | None, budget: RunBudget | None
) -> Choices:
    """Raises InputInvalid, which names the field."""
    limits = budget.limits() if budget is not None else {}
    check_budget(limits, definition.budget)
    if model:
        _check_model(definition, model)
    if tools is not None:
        _check_tools(definition, tools)
    return Choices(model or "", None if tools is None else [name for name in definition.tools if name in tools], limits)


def applied(definition: Definition, model: str, tools: Sequence[str] | None) -> Definition:
    """The definition as this agent has it. Raises InputInvalid when that is not allowed any more: without a tool that
    was chosen the agent would be another than the one that was made."""
    if model:
        _check_model(definition, model)
    if tools is not None:
        _check_tools(definition, tools)
    chosen = {"model": model or definition.model, "tools": definition.tools if tools is None else list(tools)}
    return definition.model_copy(update=chosen)


def check_budget(wanted: Mapping[Kind, float], ceiling: Budget) -> None:
    for kind, most in ceiling.limits().items():
        if wanted.get(kind, 0) > most:
            message = f"its definition allows {most:g} at most; a run's budget can only be narrower"
            raise InputInvalid(message, field=f"budget.{kind}")


def _check_model(definition: Definition, model: str) -> None:
    """Another model costs another price and is told what the workspace has, so its provider has to be one of those that
    the definition names."""
    if model == definition.model:
        return
    allowed = sorted(access.allowed(definition))
    if provider_of_model(model) not in allowed or not model.partition(":")[2]:
        names = ", ".join(allowed) or "none"
        message = (
            f"a model is written provider:name, and definition {definition.name!r} allows these providers: {names}"
        )
        raise InputInvalid(message, field="model")


def _check_tools(definition: Definition, tools: Sequence[str]) -> None:
    unknown = [name for name in tools if name not in definition.tools]
    if unknown:
        names = ", ".join(definition.tools) or "none that can be chosen"
        raise InputInvalid(f"definition {definition.name!r} has no tool {unknown[0]!r}; it has: {names}", field="tools")
    if not tools:  # programs take an empty list for all of theirs
        raise InputInvalid("choose at least one tool", field="tools")
