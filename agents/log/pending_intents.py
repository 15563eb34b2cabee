"""Which of the agents in one worker's care have something in their rows that is not in their logs yet: the poll behind
the pokes. A few queries for all of them. Synchronous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db.models import F

from agents.log import queue_order
from agents.models import Agent, ApprovalAnswer, Run


class Known(NamedTuple):
    """What an agent's log has: run ids, (run id, approval id) of the questions that wait, and the queue."""

    runs: set[str]
    questions: set[tuple[str, str]]
    queue: list[str]


def agents_with_pending_intents(known: Mapping[str, Known]) -> set[str]:
    """Of the agents that are the keys, those that should be looked at."""
    ids = list(known)
    found: set[str] = set()
    open_runs = Run.objects.filter(agent_id__in=ids, finished_at=None)
    queues: dict[str, list[str]] = {agent_id: [] for agent_id in ids}
    for pk, agent_id, cancel_requested_at, strategy in queue_order.in_turn(open_runs).values_list(
        "pk", "agent_id", "cancel_requested_at", "strategy"
    ):
        if cancel_requested_at is not None or str(pk) not in known[str(agent_id)].runs:
            found.add(str(agent_id))
        if str(pk) in known[str(agent_id)].queue:
            queues[str(agent_id)].append(str(pk))
            if strategy == "steer":  # it may have failed to reach the program
                found.add(str(agent_id))
    found |= {agent_id for agent_id in ids if queues[agent_id] != known[agent_id].queue}
    answers = ApprovalAnswer.objects.filter(run__in=open_runs)
    for run_id, approval_id, agent_id in answers.values_list("run_id", "approval_id", "run__agent_id"):
        if (str(run_id), approval_id) in known[str(agent_id)].questions:
            found.add(str(agent_id))
    agents = Agent.objects.filter(pk__in=ids)
    renamed = agents.exclude(wanted_title=None).exclude(wanted_title=F("title")).values_list("pk", flat=True)
    there = {str(pk) for pk in agents.values_list("pk", flat=True)}
    return found | {str(pk) for pk in renamed} | (set(ids) - there)
