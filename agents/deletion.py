"""An agent that is deleted takes its log, its streams and its files along, whatever deletes it: the API, a cascade from
its user, a queryset."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import pre_delete

from agents import lifecycle
from agents.models import Agent
from agents.settle import end_streams
from agents.workspace import belongings
from streaming import journal


def connect_signals() -> None:
    """Before and not after: Django deletes an agent's runs before the agent, and the log's row has to be locked first,
    as the log's writer does it."""
    pre_delete.connect(_delete_agents, sender=User)
    pre_delete.connect(_delete_log, sender=Agent)


def _delete_agents(instance: User, **kwargs: object) -> None:
    """One by one, each with the locks that keep others from adding to it meanwhile."""
    for agent in Agent.objects.filter(owner=instance):
        lifecycle.delete_agent(agent)


def _delete_log(instance: Agent, **kwargs: object) -> None:
    agent_id = str(instance.pk)
    journal.delete(agent_id)
    # Each for itself: what one leaves behind, the reaper removes.
    transaction.on_commit(partial(end_streams, agent_id), robust=True)
    transaction.on_commit(partial(belongings.remove, agent_id), robust=True)
