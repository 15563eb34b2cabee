"""Event types: the one schema of the log, the wire and the exports (docs/events.md).

`draft` is the only gate through which data becomes an event: it validates by type, and takes out what PostgreSQL's text
or UTF-8 can't hold. Wire form: one JSON object on one line, keys in the order of `Event`, no NaN.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streaming.errors import EventInvalid
from streaming.model.validation import plain_problems

RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
FinalStatus = Literal["completed", "failed", "cancelled"]
FINAL: frozenset[str] = frozenset(("completed", "failed", "cancelled"))
MAX_SAFE_INTEGER = 2**53 - 1
"""Counts beyond this would not survive JavaScript's numbers, and the page folds the same events."""


MAX_DEPTH = 64
"""Deeper data would be refused by whoever decodes it with more frames on its stack than we had."""


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) and isfinite(value) else value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_SAFE_INTEGER)]
NAME_CHARS = 200
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]


class Data(BaseModel):
    """Data of one event type. Unknown fields are dropped; `OMIT` names the fields left out when they are None."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    OMIT: ClassVar[frozenset[str]] = frozenset()

    def wire(self) -> dict[str, Any]:
        dumped = self.model_dump()
        return {key: value for key, value in dumped.items() if value is not None or key not in self.OMIT}


class Status(Data):
    """`position`, of a run in the queue that is `queued` once more: its new place there, from 0. `into`, of one whose
    prompt was handed to a program at work: that program's run."""

    OMIT = frozenset(("reason", "attempt", "position", "into"))
    status: RunStatus
    reason: str | None = None
    attempt: Count | None = None
    position: Count | None = None
    into: Name | None = None


class Title(Data):
    title: Annotated[str, Field(max_length=200)]


class Message(Data):
    message_id: Name
    role: Literal["user", "assistant", "system"]
    content: str


class Text(Data):
    message_id: Name
    content: str


class Thinking(Text):
    pass


class ToolCall(Data):
    OMIT = frozenset(("title",))
    call_id: Name
    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict)
    title: str | None = None


class ToolOutput(Data):
    call_id: Name
    content: str


class ToolResult(Data):
    call_id: Name
    result: Any = None
    is_error: bool = False
    duration_ms: Count | None = None


class ApprovalRequest(Data):
    OMIT = frozenset(("call_id",))
    approval_id: Name
    call_id: Name | None = None
    question: str
    options: list[str] = Field(default_factory=lambda: ["approve", "deny"])


class ApprovalResponse(Data):
    """`delivered`: false where the program did not get the answer, since its run was stopped or had ended first."""

    OMIT = frozenset(("reason", "delivered"))
    approval_id: Name
    decision: str
    by: str
    reason: str | None = None
    delivered: bool | None = None


class PlanEntry(Data):
    """One thing that the program means to do."""

    content: str
    priority: Literal["high", "medium", "low"] = "medium"
    status: Literal["pending", "in_progress", "completed"] = "pending"


class Plan(Data):
    """What the program means to do, whole: it takes the place of the plan before it."""

    entries: list[PlanEntry]


class FileChange(Data):
    """Of a file in the workspace; `size` in bytes."""

    path: str
    change: Literal["added", "modified", "deleted"]
    size: Count = 0
    sha256: str | None = None


class Files(Data):
    """`total`: how many files there are with these."""

    OMIT = frozenset(("total",))
    changes: list[FileChange]
    total: Count | None = None


class UsageTotal(Data):
    """Sums; `cost_usd` is null where no price is known."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cost_usd: float | None = None


class Usage(Data):
    """`total` is the run's sum so far, this step included."""

    model: str
    input_tokens: Count
    output_tokens: Count
    cost_usd: float | None = None
    total: UsageTotal = Field(default_factory=UsageTotal)


class Budget(Data):
    """A budget is near its end, or over it. `kind`: tokens, cost_usd, model_calls, tool_calls, wall_s; `used` and
    `limit` in its unit."""

    scope: Literal["run", "agent", "user-day"]
    kind: Name
    used: Annotated[float, Field(ge=0)]
    limit: Annotated[float, Field(ge=0)]


class Log(Data):
    """`egress` is the site's own: what the program was connected to (see containers.gateway)."""

    stream: Literal["stdout", "stderr", "egress"] = "stdout"
    content: str


class Error(Data):
    code: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    message: str
    retryable: bool = False


class Clear(Data):
    """The conversation begins anew."""


class Done(Data):
    OMIT = frozenset(("result",))
    status: FinalStatus
    result: Any = None
    duration_ms: Count = 0
    tool_calls: Count = 0
    files_changed: Count = 0
    usage: UsageTotal = Field(default_factory=UsageTotal)


SCHEMA: dict[str, type[Data]] = {
    "status": Status,
    "title": Title,
    "message": Message,
    "text": Text,
    "thinking": Thinking,
    "tool-call": ToolCall,
    "tool-output": ToolOutput,
    "tool-result": ToolResult,
    "plan": Plan,
    "approval-request": ApprovalRequest,
    "approval-response": ApprovalResponse,
    "files": Files,
    "usage": Usage,
    "budget": Budget,
    "log": Log,
    "error": Error,
    "done": Done,
    "clear": Clear,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that has no place in the log yet. Make it with `draft`."""

    type: str
    run_id: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Immutable fact at one place of one log. `timestamp` is UTC with microseconds, as ISO 8601 with a Z."""

    type: str
    agent_id: str
    run_id: str | None
    epoch: int
    seq: int
    timestamp: str
    data: dict[str, Any]

    def encode(self) -> str:
        return encode(
            {
                "type": self.type,
                "agent_id": self.agent_id,
                "run_id": self.run_id,
                "epoch": self.epoch,
                "seq": self.seq,
                "timestamp": self.timestamp,
                "data": self.data,
            }
        )


def encode(value: Any) -> str:
    """Compact JSON on one line. Raises ValueError for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def decode(line: str) -> Event:
    """An event of the log from its wire form. Golden fixtures keep this working for ever."""
    raw = json.loads(line)
    return Event(raw["type"], raw["agent_id"], raw["run_id"], raw["epoch"], raw["seq"], raw["timestamp"], raw["data"])


def draft(type_: str, run_id: str | None, /, **data: Any) -> Draft:
    """Validate `data` as an event of that type. Raises EventInvalid, which names the field."""
    model = SCHEMA.get(type_)
    if model is None:
        raise EventInvalid(type_, "is not an event type")
    try:
        wire = model.model_validate(clean(data)).wire()
        encode(wire)
    except ValidationError as error:
        raise EventInvalid(type_, _first_problem(error)) from None
    except (TypeError, ValueError, RecursionError):
        raise EventInvalid(type_, "holds a value, a number or a depth that JSON can't carry") from None
    return Draft(type_, run_id, wire)


def clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """U+0000 and lone surrogates become U+FFFD: PostgreSQL's text refuses the one, UTF-8 the other. Raises ValueError
    where `value` nests deeper than `depth`."""
    if isinstance(value, str):
        return _clean_text(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if not depth:
        raise ValueError("nests too deep")
    if isinstance(value, dict):
        return {_clean_text(str(key)): clean(item, depth - 1) for key, item in value.items()}
    return [clean(item, depth - 1) for item in value]


def _clean_text(text: str) -> str:
    if text.isascii():
        return text.replace("\0", "\ufffd")
    # Joins surrogate pairs that arrived as two escapes, and replaces what stays alone.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def _first_problem(error: ValidationError) -> str:
    (path, message), *_ = plain_problems(error.errors())
    where = ".".join(path)
    return f"{where}: {message}" if where else message


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
