"""A run as clients post it. `POST …/runs`, `POST …/stream` and the WebSocket's `input` share its schema and its
validation, so they take and refuse the same."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from agents.definitions.budget import RunBudget
from agents.field_types import Input, Metadata
from agents.http.problems import describe_wrong_fields
from agents.http.schemas import Body
from agents.models import Agent, Run
from agents.runs import commands


class NewRun(Body):
    """A prompt, and what happens to a run that is active."""

    input: Input
    strategy: Literal["enqueue", "reject", "interrupt", "steer"] = "enqueue"
    budget: RunBudget | None = Field(None, description="Limits of this run, at most those of its definition.")
    metadata: Metadata = Field(default_factory=dict)


def validate(kind: Any, value: Any, source: str) -> Any:
    """Return `value` as the type or schema `kind`, as Ninja does for views. Raises Problem 422 with the wrong fields.

    `source` names a value that has no fields; for a schema it is "body".
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        errors = [{**problem, "loc": ("body", source, *problem["loc"])} for problem in error.errors()]
        raise describe_wrong_fields(errors) from None


def submit_posted_run(agent: Agent, posted: NewRun, idempotency_key: str | None) -> Run:
    """Submit a validated run. Raises AgentsError. Synchronous."""
    return commands.submit_run(
        agent,
        posted.input,
        strategy=posted.strategy,
        metadata=posted.metadata,
        budget=posted.budget,
        idempotency_key=idempotency_key,
    )
