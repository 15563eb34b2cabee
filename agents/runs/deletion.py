"""Delete an agent's log, streams and files with its row, however the row is deleted: by the API, with its user, or by a
queryset."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import pre_delete

from agents.log.brief_writer import end_streams
from agents.models import Agent
from agents.runs import commands
from agents.workspace import belongings
from streaming.store import journal


def connect_signals() -> None:
    """Of Django's `pre_delete`: it comes before Django deletes the agent's runs, and the log's row has to be locked
    before theirs, in the order in which the log's writer locks them."""
    pre_delete.connect(_delete_agents, sender=User)
    pre_delete.connect(_delete_log, sender=Agent)


def _delete_agents(instance: User, **kwargs: object) -> None:
    """One by one, each with the locks that keep others from adding to it meanwhile."""
    for agent in Agent.objects.filter(owner=instance):
        commands.delete_agent(agent)


def _delete_log(instance: Agent, **kwargs: object) -> None:
    agent_id = str(instance.pk)
    journal.delete(agent_id)
    # If one of the two fails, the other runs all the same; the reaper removes what was left.
    transaction.on_commit(partial(end_streams, agent_id), robust=True)
    transaction.on_commit(partial(belongings.remove, agent_id), robust=True)
