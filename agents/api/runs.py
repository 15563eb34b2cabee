"""Runs: start, list, read, cancel, retry, answer their questions."""

from __future__ import annotations

from typing import Annotated, Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import Header, Query, Router
from ninja.responses import Status
from pydantic import Field

from agents.api.auth import caller
from agents.auth.permissions import agent_for, run_for, run_of_agent
from agents.field_types import IdempotencyKey
from agents.http.posted_run import NewRun, submit_posted_run
from agents.http.schemas import (
    ApprovalAnswered,
    ApprovalDecision,
    Move,
    PageQuery,
    Resumption,
    RunAnswer,
    RunDetail,
    RunDiffAnswer,
    RunPage,
    RunStatus,
)
from agents.models import Run
from agents.runs import commands
from agents.workspace import history

router = Router(tags=["runs"])


RunOfAgent = Annotated[
    str | None, Query(description="A run of this agent; the newest that was begun, if it is left out.")
]


class RunQuery(PageQuery):
    """Narrows the list."""

    status: RunStatus | None = Field(None, description="Only runs of this status.")


@router.post("/agents/{agent_id}/runs", response={202: RunAnswer})
def start_run(
    request: HttpRequest,
    agent_id: str,
    body: NewRun,
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Any:
    """Start a run, or put it behind the one that is active.

    `strategy` while one is active: `enqueue`, `reject` (409 `agent-busy`), `interrupt` (cancels what is open first),
    `steer` (handed to the program at work where its definition says `steering`; the new run is then completed).
    With an `Idempotency-Key` the same request may be sent again: it answers the run that it made the first time, and
    409 `idempotency-conflict` if anything else of the request is another. `budget` (tokens, cost_usd, model_calls,
    tool_calls, wall_s) narrows that of the definition; 422 with the field that would widen it.
    """
    run = submit_posted_run(agent_for(caller(request), agent_id), body, idempotency_key)
    return Status(202, RunAnswer.of(run))


@router.get("/agents/{agent_id}/runs", response=RunPage)
def list_runs(request: HttpRequest, agent_id: str, query: Query[RunQuery]) -> RunPage:
    """An agent's runs, the newest first."""
    runs = Run.objects.filter(agent=agent_for(caller(request), agent_id))
    if query.status is not None:
        runs = runs.filter(status=query.status)
    found = [RunAnswer.of(run) for run in runs.order_by("-number")[query.window]]
    return RunPage(runs=found, total=runs.count(), page=query.page, limit=query.limit)


@router.get("/runs/{run_id}", response=RunDetail)
def read_run(request: HttpRequest, run_id: str) -> RunDetail:
    """With its attempts, and its result or error once it has ended."""
    return RunDetail.of(run_for(caller(request), run_id))


@router.get("/runs/{run_id}/diff", response=RunDiffAnswer)
def diff_run(request: HttpRequest, run_id: str) -> RunDiffAnswer:
    """What is different in the workspace between the run's start and its end, or now while it goes on; whoever did it.

    Additions and deletions are lines. What later runs do changes nothing in it.
    """
    return RunDiffAnswer.of(history.of_run(run_for(caller(request), run_id)))


@router.get("/agents/{agent_id}/diff", response=RunDiffAnswer)
def diff_agent(request: HttpRequest, agent_id: str, run: RunOfAgent = None) -> RunDiffAnswer:
    """The same, of one of this agent's runs: the newest that was begun, unless `run` says which."""
    user = caller(request)
    agent = agent_for(user, agent_id)
    if run is not None:
        return RunDiffAnswer.of(history.of_run(run_of_agent(user, agent, run)))
    newest = Run.objects.filter(agent=agent).exclude(started_at=None).order_by("-number").first()
    return RunDiffAnswer.of(history.of_run(newest)) if newest else RunDiffAnswer(files=[], complete=True)


@router.post("/runs/{run_id}/cancel", response={202: RunAnswer})
def cancel_run(request: HttpRequest, run_id: str) -> Any:
    """Durable: it holds whatever dies meanwhile. Idempotent: a run that has ended stays as it is."""
    user = caller(request)
    return Status(202, RunAnswer.of(commands.request_cancel(run_for(user, run_id), f"cancelled by {_name(user)}")))


@router.post("/runs/{run_id}/retry", response={202: RunAnswer})
def retry_run(request: HttpRequest, run_id: str) -> Any:
    """A new run with the same input; `retry_of` says of which."""
    return Status(202, RunAnswer.of(commands.retry(run_for(caller(request), run_id))))


@router.post("/runs/{run_id}/resume", response={202: RunAnswer})
def resume_run(request: HttpRequest, run_id: str, body: Resumption | None = None) -> Any:
    """Go on behind a run that has failed or was cancelled, with what it had said and done; `input` in place of our own
    words. 409 `run-not-ended` while it goes on."""
    return Status(202, RunAnswer.of(commands.resume(run_for(caller(request), run_id), body.input if body else None)))


@router.post("/runs/{run_id}/move", response={202: RunAnswer})
def move_run(request: HttpRequest, run_id: str, body: Move) -> Any:
    """In the queue: to directly before another run, or to its end; `queue` in the agent's state is the order.

    Durable, as a cancel. 409 `run-not-queued` when it, or the one to put it before (`details.field`), has begun or
    ended meanwhile.
    """
    user = caller(request)
    before = None if body.before is None else run_for(user, body.before)
    return Status(202, RunAnswer.of(commands.move(run_for(user, run_id), before)))


@router.post("/runs/{run_id}/approvals/{path:approval_id}", response=ApprovalAnswered)
def answer_approval(request: HttpRequest, run_id: str, approval_id: str, body: ApprovalDecision) -> ApprovalAnswered:
    """The first answer counts: 409 `already-answered` for a second one, 409 `run-finished` when nobody waits for it."""
    user = caller(request)
    run = run_for(user, run_id)
    commands.answer_approval(run, approval_id, body.decision, _name(user), body.reason)
    return ApprovalAnswered(approval_id=approval_id, decision=body.decision)


def _name(user: User) -> str:
    return user.get_username()[:150]
