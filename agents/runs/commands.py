"""The life of agents and runs, as seen by whoever asks: pages, API, admin, command line.

    run:  queued ─► running ⇄ waiting ─► completed | failed | cancelled

Everything asked for is a row first (it survives whatever dies), then an event by the log's writer, then work for a
worker. Synchronous. All of it may raise streaming's JournalUnavailable when the database is away.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from agents.definitions import Definition, catalog
from agents.definitions.budget import Kind, RunBudget, narrowed
from agents.definitions.definition import DefinitionLimits
from agents.errors import (
    AgentBusy,
    AlreadyAnswered,
    DefinitionInvalid,
    IdempotencyConflict,
    InputInvalid,
    InputTooLarge,
    NoSuchApproval,
    NotFound,
    NotSupported,
    QueueFull,
    RunFinished,
    RunNotEnded,
    RunStopping,
    UnknownDefinition,
)
from agents.fleet.supervision import request_supervision
from agents.log import announcements, queue_order, run_events
from agents.log.brief_writer import clear_now, is_held, settle_now, settle_run_now
from agents.log.live_state import state_at_tip
from agents.models import Agent, ApprovalAnswer, Run
from agents.models.run import ACTIVE, OPEN, RunStatus, lock, lock_one, update_together
from agents.runs import choices
from agents.workspace import Workspace
from agents.workspace.room import refuse_low_disk
from containers.spec import MIB
from streaming.store import journal

log = structlog.get_logger(__name__)
STRATEGIES = ("enqueue", "reject", "interrupt", "steer")
AGAINST_ACTIVE = ("interrupt", "steer")
"""Strategies that ask something of the run at work."""
TITLE_MAX = 200
RESUME_INPUT = "You were interrupted. Go on where you stopped."
COMMIT_PATIENCE_S = 2.0
"""A question that shows live is in Redis or in the database, or, when Redis has just gone, about to be committed."""
LOOK_S = 0.05


# Agents ------------------------------------------------------------------------------------------------------------


def create_agent(
    owner: Any,
    definition_name: str,
    *,
    title: str = "",
    input: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    model: str | None = None,
    tools: Sequence[str] | None = None,
    budget: RunBudget | None = None,
) -> tuple[Agent, Run | None]:
    """A new agent with its log and workspace; with `input` its first run is queued. `model`, `tools` and `budget` (of
    each of its runs) may only narrow its definition's: agents.runs.choices."""
    chosen = choices.checked(definition(definition_name), model, tools, budget)
    title = _storable(title, TITLE_MAX)
    if input is not None:
        input = _checked_input(input)
        refuse_low_disk()  # before there is an agent that would be left without its run
    with transaction.atomic():
        agent = Agent.objects.create(
            owner=owner,
            definition=definition_name,
            wanted_title=title or None,
            metadata=dict(metadata or {}),
            **asdict(chosen),
        )
        journal.create(str(agent.pk))
        Workspace(str(agent.pk)).create()  # last: an agent without one is one whose files were lost
    if input is not None:
        return agent, submit_run(agent, input)
    if title:
        settle_now(str(agent.pk))
    _refresh(agent)
    return agent, None


def definition(name: str) -> Definition:
    """The definition in force. Raises UnknownDefinition, which says what there is, or DefinitionInvalid."""
    known = catalog.current()
    found = known.definitions.get(name)
    if (mistake := known.mistake_of(name)) is not None:
        raise DefinitionInvalid(f"definition {name!r} has a mistake in agents.toml, {mistake}")
    if found is None:
        names = ", ".join(sorted(known.definitions)) or "none"
        raise UnknownDefinition(f"no definition {name!r}; there are: {names}", problem=known.problem)
    return found


def workspace_bytes(agent: Agent) -> int:
    """The most that the agent's workspace may take. Of a definition that is gone, the default."""
    found = catalog.current().definitions.get(agent.definition)
    return (found.limits if found else DefinitionLimits()).workspace_mib * MIB


def rename(agent: Agent, title: str) -> None:
    title = _storable(title, TITLE_MAX)
    Agent.objects.filter(pk=agent.pk).update(wanted_title=title)
    _announce(agent)
    _refresh(agent)


def archive(agent: Agent, archived: bool) -> None:
    now = timezone.now()
    Agent.objects.filter(pk=agent.pk).update(archived_at=now if archived else None, updated_at=now)
    _refresh(agent)
    announcements.announce(agent.owner_id, str(agent.pk), agent.status, agent.title)


def clear(agent: Agent) -> None:
    """Have the conversation begin anew: what was said stays in the log, and programs are told no more of it. Raises
    AgentBusy while a run is open."""
    if not clear_now(str(agent.pk)):
        raise AgentBusy("a run is active or queued; clear the conversation when it has ended")
    _refresh(agent)


def delete_agent(agent: Agent) -> None:
    """Gone at once for everybody: rows, log, streams, files (agents.runs.deletion does all but the rows). A supervisor
    of its run loses the log and stops its container; what it leaves behind (container, workspace of a container still
    running) the reaper removes."""
    while not _try_to_delete(agent):
        pass


@transaction.atomic
def _try_to_delete(agent: Agent) -> bool:
    """False if a run was posted between our two locks: it has to be tried again. The process that posted it may hold
    its row and wait for the agent's, while we would wait for the run's. So all locks are released."""
    journal.delete(str(agent.pk))  # the log's row is locked first, as its writer does
    runs = Run.objects.filter(agent=agent)
    locked = lock(runs)
    Agent.objects.select_for_update().filter(pk=agent.pk).first()  # from here on nobody can post
    if runs.exclude(pk__in=locked).exists():
        transaction.set_rollback(True)
        return False
    agent.delete()
    return True


def files_changed(agent: Agent) -> None:
    """Somebody other than a run has changed the workspace: put it into the log."""
    _announce(agent, files=True)


# Runs --------------------------------------------------------------------------------------------------------------


def submit_run(
    agent: Agent,
    input: str,
    *,
    strategy: str = "enqueue",
    metadata: Mapping[str, Any] | None = None,
    budget: RunBudget | None = None,
    idempotency_key: str | None = None,
    retry_of: Run | None = None,
) -> Run:
    """Queue a run. The same `idempotency_key` with the same request answers the run it made the first time. `budget`
    may only narrow its definition's, and its agent's narrows it. Raises DiskFull where too little is left for a run,
    and RunStopping if it is against a run that was told to stop: a steering prompt or an interruption of the run at
    work, a retry."""
    input = _checked_input(input)
    if strategy not in STRATEGIES:
        raise NotSupported(f"strategy must be one of {', '.join(STRATEGIES)}", field="strategy")
    wanted = budget.limits() if budget is not None else {}
    found = choices.applied(definition(agent.definition), agent.model, agent.tools)
    choices.check_budget(wanted, found.budget)
    limits = narrowed(agent.budget, wanted)
    run = _insert(agent, input, strategy, dict(metadata or {}), dict(limits), idempotency_key, retry_of)
    if strategy == "interrupt":
        _interrupt(agent, run)
    taken = is_held(str(agent.pk))  # asked before the workers are: one that comes at once has seen the run
    if enqueue(str(agent.pk)) and not taken:
        settle_run_now(str(agent.pk), str(run.pk))
    else:
        settle_now(str(agent.pk))
    _refresh(run)
    return run


def retry(run: Run) -> Run:
    """A new run with the same input and budget; of that, no more than its definition now has. Raises RunStopping."""
    limits = narrowed(run.budget, definition(run.agent.definition).budget.limits())
    budget = RunBudget.model_validate({kind: limits[kind] for kind in run.budget})
    return submit_run(run.agent, run.input, metadata=run.metadata, budget=budget, retry_of=run)


def resume(run: Run, input: str | None = None) -> Run:
    """Go on behind a run that failed or was cancelled: what it had said and done is in the conversation and the
    workspace. Raises RunNotEnded, RunStopping."""
    _refresh(run)
    _check_not_stopping(run)
    if not run.is_finished:
        raise RunNotEnded("the run goes on; only one that has ended can be continued")
    return submit_run(run.agent, input or RESUME_INPUT, metadata=run.metadata, retry_of=run)


def request_cancel(run: Run, reason: str = "") -> Run:
    """Durable and idempotent: the first reason stays; a finished run is left as it is.

    Cancel wins: from here on nothing else can be asked of the run, and what was asked before and has not reached its
    program is not delivered (agents.worker.execution.control_signals)."""
    wanted = Run.objects.filter(pk=run.pk, cancel_requested_at=None, finished_at=None)
    wanted.update(cancel_requested_at=timezone.now(), cancel_reason=_storable(reason, 200))
    settle_now(str(run.agent_id))
    enqueue(str(run.agent_id))
    _refresh(run)
    return run


def move(run: Run, before: Run | None) -> Run:
    """In the queue: to directly before another run of its agent, or to the end. Raises RunNotQueued, RunStopping,
    InputInvalid."""
    if before is not None and before.agent_id != run.agent_id:
        raise InputInvalid("before: is a run of another agent", field="before")
    queue_order.move(run, before)
    _announce(run.agent)
    _refresh(run)
    return run


def cancel_all(agent: Agent, reason: str = "") -> int:
    """Whatever is active or queued; answers how many runs that were, also those that were asked to stop before."""
    open_runs = Run.objects.filter(agent=agent, finished_at=None)
    count = open_runs.count()
    if count:
        not_asked = open_runs.filter(cancel_requested_at=None)
        update_together(not_asked, cancel_requested_at=Now(), cancel_reason=_storable(reason, 200))
        _announce(agent)
    return count


def answer_approval(run: Run, approval_id: str, decision: str, by: str, reason: str = "") -> None:
    """The first answer wins. Raises NoSuchApproval, AlreadyAnswered, RunFinished, RunStopping."""
    _refresh(run)
    _check_answerable(run)  # before waiting for a question that nobody will ask any more
    wanted = _approval(run, approval_id)
    if decision not in wanted["options"]:
        raise InputInvalid(f"decision must be one of {', '.join(wanted['options'])}", field="decision")
    if not record_answer(str(run.pk), approval_id, decision, by, _storable(reason, 10_000)):
        raise AlreadyAnswered("somebody has answered that already")
    _announce(run.agent)


def record_answer(run_id: str, approval_id: str, decision: str, by: str, reason: str) -> bool:
    """Without looking at the question or telling anybody. False if somebody was first. Raises RunFinished, RunStopping,
    NotFound."""
    try:
        with transaction.atomic():
            run = lock_one(run_id)  # a cancel changes this row: it is in before us, or waits until we are
            if run is None:
                raise NotFound("the agent was deleted")
            _check_answerable(run)
            ApprovalAnswer.objects.create(
                run_id=run_id, approval_id=approval_id, decision=decision, by=by, reason=reason
            )
    except IntegrityError:
        return False
    return True


def _refresh(row: Agent | Run) -> None:
    """From its row in the database. Raises NotFound if that was deleted meanwhile."""
    try:
        row.refresh_from_db()
    except ObjectDoesNotExist:
        raise NotFound("it has just been deleted") from None


def _check_answerable(run: Run) -> None:
    if run.is_finished:
        raise RunFinished("the run has ended; nobody waits for this answer")
    _check_not_stopping(run)


def _check_not_stopping(run: Run) -> None:
    if run.is_stopping:
        raise RunStopping(str(run.pk))


def enqueue(agent_id: str) -> bool:
    """Ask the workers to supervise this agent. Returns whether the message was sent; if not, the reaper asks again."""
    open_runs = Run.objects.filter(agent_id=agent_id, finished_at=None)
    if update_together(open_runs, enqueued_at=Now()):
        try:
            request_supervision(agent_id)
            return True
        except OperationalError as error:
            log.warning("broker not reached, the reaper will ask again", agent_id=agent_id, error=str(error))
    return False


def _announce(agent: Agent, *, files: bool = False) -> None:
    """Put it into the log. A worker that came meanwhile has found the log taken, so it is asked again."""
    settle_now(str(agent.pk), files=files)
    enqueue(str(agent.pk))


def _approval(run: Run, approval_id: str) -> Mapping[str, Any]:
    """What the run asks, under that id. Raises NoSuchApproval."""
    deadline = time.monotonic() + COMMIT_PATIENCE_S
    while True:
        for approval in state_at_tip(str(run.agent_id))["approvals"]:
            if approval["approval_id"] == approval_id and approval["run_id"] == str(run.pk):
                found: Mapping[str, Any] = approval
                return _whole(run, found) if "omitted_bytes" in found else found
        if time.monotonic() >= deadline or not Run.objects.filter(pk=run.pk, finished_at=None).exists():
            raise NoSuchApproval(f"run {run.pk} asks for no approval {approval_id!r}")
        time.sleep(LOOK_S)


def _whole(run: Run, approval: Mapping[str, Any]) -> Mapping[str, Any]:
    """With its question and options as they were asked: the state may hold them cut."""
    asked = (event.data for event in run_events.own_events(run) if event.type == "approval-request")
    whole = next((data for data in asked if data["approval_id"] == approval["approval_id"]), {})
    return {**approval, **whole}


def _insert(
    agent: Agent,
    input: str,
    strategy: str,
    metadata: dict[str, Any],
    budget: dict[Kind, float],
    idempotency_key: str | None,
    retry_of: Run | None,
) -> Run:
    with transaction.atomic():
        runs = Run.objects.filter(agent=agent)
        if strategy in AGAINST_ACTIVE or retry_of is not None:
            lock(runs.filter(finished_at=None))  # before the agent, as the log's writer does
        # Numbers and `reject` are decided one at a time.
        if Agent.objects.select_for_update().filter(pk=agent.pk).first() is None:
            raise NotFound("the agent was deleted")
        if idempotency_key and (same := runs.filter(idempotency_key=idempotency_key).first()):
            if (same.input, same.strategy, same.metadata, same.budget) != (input, strategy, metadata, budget):
                raise IdempotencyConflict("that Idempotency-Key was used for another request", run_id=str(same.pk))
            return same
        _check_not_against_stopping(runs, strategy, retry_of)
        if strategy == "reject" and runs.filter(status__in=OPEN).exists():
            raise AgentBusy("a run is active or queued")
        refuse_low_disk()
        if runs.filter(status=RunStatus.QUEUED).count() >= settings.QUEUE_MAX_RUNS:
            limit = settings.QUEUE_MAX_RUNS
            raise QueueFull(f"{limit} runs of this agent wait already; post again when some have begun", limit=limit)
        number = (runs.aggregate(last=Max("number"))["last"] or 0) + 1
        return Run.objects.create(
            agent=agent,
            number=number,
            input=input,
            strategy=strategy,
            metadata=metadata,
            budget=budget,
            idempotency_key=idempotency_key,
            retry_of=retry_of,
        )


def _check_not_against_stopping(runs: QuerySet[Run], strategy: str, retry_of: Run | None) -> None:
    """Is a new run asked for against one that was told to stop? Raises RunStopping."""
    against = Q(pk=None if retry_of is None else retry_of.pk)
    if strategy in AGAINST_ACTIVE:
        against |= Q(status__in=ACTIVE) | Q(taken_at__isnull=False)
    stopping = runs.filter(against, finished_at=None).exclude(cancel_requested_at=None).first()
    if stopping is not None:
        raise RunStopping(str(stopping.pk))


def _interrupt(agent: Agent, run: Run) -> None:
    older = Run.objects.filter(agent=agent, number__lt=run.number, finished_at=None, cancel_requested_at=None)
    update_together(older, cancel_requested_at=timezone.now(), cancel_reason="interrupted by a new run")


# Input -------------------------------------------------------------------------------------------------------------


def _checked_input(text: str) -> str:
    if not text.strip():
        raise InputInvalid("input must not be empty", field="input")
    if len(text.encode("utf-8", "surrogatepass")) > settings.INPUT_MAX_BYTES:
        raise InputTooLarge(f"input is larger than {settings.INPUT_MAX_BYTES} bytes", field="input")
    return _storable(text)


def _storable(text: str, max_chars: int | None = None) -> str:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InputInvalid("text must not contain U+0000 or lone surrogates")
    if max_chars is not None and len(text) > max_chars:
        raise InputInvalid(f"text is longer than {max_chars} characters")
    return text
