"""The shapes of a state and of its conversation's pages, as they are in an export: docs/events.md,
streaming.model.fold.

What was written by another site, or by anybody, becomes the state that this site folds on and shows, so that each of
its fields is checked. A field that this version does not know is refused: the state would not be the same without it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.model.events import Budget, Count, Name, PlanEntry, RunStatus
from streaming.model.fold import FOLD

assert FOLD == 2
Sum = Annotated[int, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Earlier(_Shape):
    before: Annotated[str, Field(max_length=64)]


class Approval(_Shape):
    approval_id: Name
    run_id: Name | None
    call_id: Name | None
    question: str
    options: list[str]
    decision: str | None
    by: str | None
    reason: str | None
    omitted_bytes: Count = 0


class _Part(_Shape):
    n: Annotated[Count, Field(ge=1)]


class TextPart(_Part):
    type: Literal["text", "thinking"]
    text: str
    continued: bool = False
    omitted_bytes: Count = 0


class CallPart(_Part):
    type: Literal["tool-call"]
    call_id: Name
    name: Name
    title: str | None
    arguments: dict[str, Any] | None
    output: str | None
    result: Any
    is_error: bool
    duration_ms: Count | None
    state: Literal["running", "completed", "failed", "interrupted"]
    omitted_bytes: dict[Literal["arguments", "output", "result"], Count] = Field(default_factory=dict)
    approvals: list[Approval] = Field(default_factory=list)


class Entry(_Shape):
    id: Name
    run_id: Name | None
    role: Literal["user", "assistant", "system"]
    into: Name | None = None
    parts: Annotated[list[Annotated[TextPart | CallPart, Field(discriminator="type")]], Field(min_length=1)]


class Queued(_Shape):
    run_id: Name
    message_id: Name | None
    prompt: str | None
    omitted_bytes: Count = 0


class Left(_Shape):
    run_id: Name | None
    id: Name
    text_bytes: Count


class StateFile(_Shape):
    size: Count
    sha256: str | None
    seq: Count


class KnownFile(_Shape):
    """In the manifest: all files of the workspace."""

    size: Count
    sha256: str | None


class StateUsage(_Shape):
    input_tokens: Sum
    output_tokens: Sum
    cost_usd: float | None


class StateError(_Shape):
    code: str
    message: str
    retryable: bool
    omitted_bytes: Count = 0


class StateRun(_Shape):
    id: Name | None
    status: RunStatus
    started_at: str | None
    finished_at: str | None
    error: StateError | None
    budget: list[Budget] = Field(default_factory=list)


class StatePlan(_Shape):
    run_id: Name | None
    entries: list[PlanEntry]
    omitted_entries: Count = 0


class State(_Shape):
    fold: Literal[2]
    status: Literal["idle"] | RunStatus
    title: Annotated[str, Field(max_length=200)]
    active_run: Name | None
    queue: list[Queued]
    messages: list[Entry]
    parts_total: Count
    conversation_bytes: Count
    left: list[Left]
    earlier: Earlier | None
    cleared: Count
    files: dict[str, StateFile]
    files_total: Count
    approvals: list[Approval]
    usage: StateUsage
    runs: list[StateRun]
    runs_total: Count
    plan: StatePlan | None = None
