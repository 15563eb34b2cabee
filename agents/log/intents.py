"""Making the log say what people have asked for. Intents are rows; whoever is the log's writer puts them into the log.

Every step compares rows with the folded state, so it can be repeated by anybody at any time: an intent that is in the
state is done. That is why it does not matter who was writing when somebody posted, renamed or cancelled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.log import queue_order, run_events
from agents.log.run_summary import RunSummary
from agents.models import Agent, ApprovalAnswer, Run
from agents.models.attempt import runs_with_open_attempts
from agents.programs.translator import user_message_id
from agents.workspace import Workspace
from streaming.errors import LogMissing
from streaming.model.events import Draft, Event, draft
from streaming.model.fold import State, waiting_runs
from streaming.model.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Intents:
    """What the rows of one agent ask for now. `runs`: those not finished, with their input, as they are to be executed.
    `cancels`: run id → reason. `attempted`: those of them that somebody has begun to execute, or is about to, whatever
    the log says."""

    title: str | None = None
    runs: Sequence[tuple[str, str]] = ()
    cancels: dict[str, str] = field(default_factory=dict)
    attempted: frozenset[str] = frozenset()
    steers: Sequence[tuple[str, str]] = ()
    """Runs that are for the program at work, with their input, in the same order."""
    answers: Sequence[ApprovalAnswer] = ()


def read_intents(agent_id: str) -> Intents:
    """Synchronous; see streaming.store.database. Raises LogMissing if the agent was deleted."""
    agent = Agent.objects.filter(pk=agent_id).values("wanted_title").first()
    if agent is None:
        raise LogMissing(agent_id)
    open_runs = list(queue_order.in_turn(Run.objects.filter(agent_id=agent_id, finished_at=None)))
    cancels = {str(run.pk): run.cancel_reason for run in open_runs if run.cancel_requested_at}
    return Intents(
        title=agent["wanted_title"],
        runs=[(str(run.pk), run.input) for run in open_runs],
        cancels=cancels,
        attempted=_begun(open_runs, cancels),
        steers=[
            (str(run.pk), run.input) for run in open_runs if run.strategy == "steer" and str(run.pk) not in cancels
        ],
        answers=list(ApprovalAnswer.objects.filter(run__in=open_runs).order_by("created_at")),
    )


def cancel_reasons(run_ids: Collection[str]) -> dict[str, str]:
    """Run id → reason of those that were told to stop, or are gone. Synchronous."""
    rows = Run.objects.filter(pk__in=run_ids).values_list("pk", "cancel_requested_at", "cancel_reason")
    living = {str(pk): (requested_at, reason) for pk, requested_at, reason in rows}
    gone = {run_id: "the agent was deleted" for run_id in run_ids if run_id not in living}
    return gone | {pk: reason for pk, (requested_at, reason) in living.items() if requested_at is not None}


def reconcile(state: State, intents: Intents) -> list[Draft]:
    """The events that are missing from the log: renames, announcements of runs, ends of runs cancelled in the queue,
    moves of those that stay in it.

    One that was attempted is not ended from here: its container may have been started, by a worker that died with the
    Redis that had its `running`. Whoever takes the run sees to both.
    """
    missing: list[Draft] = []
    if intents.title is not None and intents.title != state["title"]:
        missing.append(draft("title", None, title=intents.title))
    known = {*waiting_runs(state), *(run["id"] for run in state["runs"])}
    for run_id, content in intents.runs:
        if run_id not in known:
            missing.append(draft("message", run_id, message_id=user_message_id(run_id), role="user", content=content))
            missing.append(draft("status", run_id, status="queued"))
        cancelled_here = run_id in intents.cancels and run_id not in intents.attempted
        if cancelled_here and state["active_run"] != run_id and not _finished(state, run_id):
            missing.extend(cancelled(run_id, intents.cancels[run_id]))
    return missing + _moves(state, missing, intents)


def _moves(state: State, missing: Sequence[Draft], intents: Intents) -> list[Draft]:
    """That make the queue, as it is behind what is `missing`, that of the rows."""
    gone = {one.run_id for one in missing if one.type == "done"}
    new = [str(one.run_id) for one in missing if one.type == "status" and one.data["status"] == "queued"]
    queue = [run_id for run_id in [*waiting_runs(state), *new] if run_id not in gone]
    wanted = [run_id for run_id, _ in intents.runs if run_id in queue]
    queue = [run_id for run_id in queue if run_id in wanted]
    return [
        draft("status", run_id, status="queued", reason="moved", position=position)
        for run_id, position in queue_order.moves(queue, wanted)
    ]


def _begun(open_runs: Sequence[Run], cancels: Mapping[str, str]) -> frozenset[str]:
    taken = {str(run.pk) for run in open_runs if run.taken_at is not None}
    return frozenset(taken & cancels.keys()) | (runs_with_open_attempts(cancels) if cancels else frozenset())


def prompt_again(state: State, run_id: str, content: str) -> list[Draft]:
    """The whole prompt of a run that has begun, where the queue or the conversation holds only its beginning."""
    message_id = user_message_id(run_id)
    shown = [part for one in state["messages"] if one["id"] == message_id for part in one["parts"]]
    if any(part.get("omitted_bytes") for part in [*shown, *state["queue"]] if part.get("run_id", run_id) == run_id):
        return [draft("message", run_id, message_id=message_id, role="user", content=content)]
    return []


def undelivered_answers(state: State, run_id: str) -> list[Draft]:
    """What people answered to questions that are open at the run's end: its program gets no answer now. Synchronous."""
    asked = [one["approval_id"] for one in state["approvals"] if one["run_id"] == run_id and one["decision"] is None]
    answers = ApprovalAnswer.objects.filter(run_id=run_id, approval_id__in=asked).order_by("created_at")
    return [
        draft(
            "approval-response",
            run_id,
            delivered=False,
            **approval_response_data(one.approval_id, one.decision, one.by, one.reason),
        )
        for one in answers
    ]


def approval_response_data(approval_id: str, decision: str, by: str, reason: str) -> dict[str, Any]:
    """The data of an `approval-response`."""
    return {"approval_id": approval_id, "decision": decision, "by": by, "reason": reason or None}


def load_run_events(agent_id: str, run_id: str) -> list[Event]:
    """What the log has of one run, from its own stretch of it. Synchronous."""
    run = Run.objects.filter(pk=run_id, agent_id=agent_id).first()
    return [] if run is None else list(run_events.own_events(run))


def file_changes(known: Manifest, workspace: Workspace, run_id: str | None) -> list[Draft]:
    """One `files` event with what is on disk and not `known` to the log; none if nothing changed. Reads the disk."""
    changes = workspace.scan(known)
    if not changes:
        return []
    paths = {change.path for change in changes}
    total = sum(path not in paths for path in known) + sum(change.change != "deleted" for change in changes)
    return [draft("files", run_id, changes=[_wire(change) for change in changes], total=total)]


def cancelled(run_id: str, reason: str) -> list[Draft]:
    """The end of a run that never started."""
    status = draft("status", run_id, status="cancelled", reason=reason or None)
    return [status, RunSummary(run_id).done("cancelled", None)]


def _finished(state: State, run_id: str) -> bool:
    return any(run["id"] == run_id and run["finished_at"] is not None for run in state["runs"])


def _wire(change: Any) -> dict[str, Any]:
    return {"path": change.path, "change": change.change, "size": change.size, "sha256": change.sha256}
