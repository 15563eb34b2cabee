"""Shapes of requests and answers. Requests refuse unknown fields and wrong types: a typo is an error, not a default."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from agents.definitions.budget import RunBudget
from agents.field_types import Input, Metadata, Name, Reason, Title
from agents.log.run_events import is_trimmed
from agents.models import Agent, Attempt, Run
from agents.workspace.history import RunDiff

EXECUTE_DEFAULT_S = 60.0
EXECUTE_MOST_S = 3600.0
PAGE_MOST = 200
PAGES_MOST = 1_000_000
TOOLS_MOST = 1000

RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
AgentStatus = Literal["idle", "queued", "running", "waiting", "completed", "failed", "cancelled"]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    pass


# Errors ------------------------------------------------------------------------------------------------------------


class ErrorBody(Answer):
    """`code` is kebab-case and stable; `details.field` names the field, where one is to blame."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class ErrorAnswer(Answer):
    """The answer to every request that fails."""

    error: ErrorBody


# Requests ----------------------------------------------------------------------------------------------------------


class NewAgent(Body):
    """What to make it of. What is left out is as its definition says."""

    definition: Name
    title: Title = ""
    input: Input | None = None
    model: Name | None = Field(
        None, description="In place of its definition's; of a provider that the definition allows."
    )
    tools: list[Name] | None = Field(None, max_length=TOOLS_MOST, description="Some of its definition's.")
    budget: RunBudget | None = Field(None, description="Of each of its runs; never more than its definition.")
    metadata: Metadata = Field(default_factory=dict)


class AgentChanges(Body):
    """What is left out stays as it is."""

    title: Title | None = None
    archived: bool | None = None


class Fork(Body):
    """From where, and what the new agent is called."""

    at: Name | None = Field(None, description="A run that has ended; the latest one, if it is left out.")
    title: Title | None = Field(None, description="Of the new agent; the same, if it is left out.")


class Resumption(Body):
    """`input`: instead of words of the site."""

    input: Input | None = None


class Move(Body):
    """Where to."""

    before: Name | None = Field(description="A queued run of the same agent; null for the end of the queue.")


class Execution(Body):
    """`timeout_s`: how long to wait for the end of the run, seconds."""

    input: Input
    timeout_s: Annotated[float, Field(gt=0, le=EXECUTE_MOST_S, allow_inf_nan=False)] = EXECUTE_DEFAULT_S


class ApprovalDecision(Body):
    """`decision`: one of the question's options. `reason` goes to the program."""

    decision: Name
    reason: Reason = ""


class PageQuery(BaseModel):
    """`page` from 1."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MOST, description="Most on one page.")] = 50
    page: Annotated[int, Field(ge=1, le=PAGES_MOST, description="Which page, from 1.")] = 1

    @property
    def window(self) -> slice:
        return slice((self.page - 1) * self.limit, self.page * self.limit)


# Answers -----------------------------------------------------------------------------------------------------------


class RunError(Answer):
    """Why it failed; codes are in docs/errors.md, and programs have codes of their own."""

    code: str
    message: str


class RunAnswer(Answer):
    """A run. `number` counts its agent's runs from 1; `retry_of`: the run that it repeats or continues."""

    id: UUID
    agent_id: UUID
    number: int
    input: str
    strategy: str
    metadata: dict[str, Any]
    budget: dict[str, float]
    status: RunStatus
    retry_of: UUID | None
    engine: str
    isolation: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    duration_ms: int | None
    result: Any
    error: RunError | None
    tool_calls: int
    files_changed: int
    usage: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> RunAnswer:
        return cls(**_run_fields(run))


class AttemptAnswer(Answer):
    """One container's try at the run."""

    number: int
    engine: str
    worker: str
    takeovers: int
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None
    outcome: str

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptAnswer:
        return cls(**{name: getattr(attempt, name) for name in cls.model_fields})


class RunDetail(RunAnswer):
    """`events_trimmed`: not all of its events are stored any more; the agent's state has what came of them."""

    attempts: list[AttemptAnswer]
    events_trimmed: bool

    @classmethod
    def of(cls, run: Run) -> RunDetail:
        attempts = [AttemptAnswer.of(attempt) for attempt in run.attempts.order_by("number")]
        return cls(**_run_fields(run), attempts=attempts, events_trimmed=is_trimmed(run))


class RunPage(Answer):
    """`total`: how many there are on all pages."""

    runs: list[RunAnswer]
    total: int
    page: int
    limit: int


class AgentAnswer(Answer):
    """`model`, `tools`: null where they are those of its definition."""

    id: UUID
    definition: str
    title: str
    status: AgentStatus
    model: str | None
    tools: list[str] | None
    budget: dict[str, float]
    metadata: dict[str, Any]
    archived: bool
    archived_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, agent: Agent) -> AgentAnswer:
        return cls(**_agent_fields(agent))


class CreatedAgent(AgentAnswer):
    """`run` is the first run, if there was an input."""

    run: RunAnswer | None

    @classmethod
    def of(cls, agent: Agent, run: Run | None = None) -> CreatedAgent:
        return cls(**_agent_fields(agent), run=None if run is None else RunAnswer.of(run))


class AgentPage(Answer):
    """`total`: how many there are on all pages."""

    agents: list[AgentAnswer]
    total: int
    page: int
    limit: int


class ApprovalAnswered(Answer):
    """The answer that counts."""

    approval_id: str
    decision: str


class FileAnswer(Answer):
    r"""`path` is relative to the workspace, a byte that is no printable UTF-8 in it as `\xff`; `size` in bytes."""

    path: str
    size: int
    modified_at: datetime


class FileList(Answer):
    """`complete` is false when the workspace has more files than are looked at."""

    files: list[FileAnswer]
    complete: bool


class FileDiffAnswer(Answer):
    """`additions`, `deletions` (lines) and `diff` (unified) are null where there is no diff. `reason` says why: it is
    `too-large` (the file, or all diffs of this answer together), `binary` (no text), or its content was `not-kept`
    (no room or time, or dropped since). `encoding`: what the file is written in, where that is not UTF-8 (`A → B`
    where that changed). The diff is then of the decoded texts, to be read and not to be applied."""

    path: str
    status: Literal["added", "modified", "deleted"]
    additions: int | None
    deletions: int | None
    diff: str | None
    reason: Literal["too-large", "binary", "not-kept"] | None
    encoding: str | None


class RunDiffAnswer(Answer):
    """Sorted by path. `complete` is false when there may have been changes that are not in `files`: the workspace has
    more files than are looked at, more changed than are answered, or what it was is not kept (any more)."""

    files: list[FileDiffAnswer]
    complete: bool

    @classmethod
    def of(cls, diff: RunDiff) -> RunDiffAnswer:
        return cls(files=[FileDiffAnswer(**asdict(file)) for file in diff.files], complete=diff.complete)


def _agent_fields(agent: Agent) -> dict[str, Any]:
    return {
        "id": agent.id,
        "definition": agent.definition,
        "title": agent.title if agent.wanted_title is None else agent.wanted_title,
        "status": agent.status,
        "model": agent.model or None,
        "tools": agent.tools,
        "budget": agent.budget,
        "metadata": agent.metadata,
        "archived": agent.archived_at is not None,
        "archived_at": agent.archived_at,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def _run_fields(run: Run) -> dict[str, Any]:
    error = RunError(code=run.error_code, message=run.error_message) if run.error_code else None
    same = set(RunAnswer.model_fields) - {"error", "retry_of"}
    return {**{name: getattr(run, name) for name in same}, "retry_of": run.retry_of_id, "error": error}
