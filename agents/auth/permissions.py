"""Which agents and runs a user may see and act on."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import User

from agents.errors import NotFound
from agents.models import Agent, Run


def agent_for(user: User, agent_id: str | uuid.UUID) -> Agent:
    """Raises NotFound: malformed, missing and somebody else's look the same from outside."""
    found = Agent.objects.filter(owner=user, pk=_id(agent_id, "agent")).first()
    if found is None:
        raise NotFound("no such agent")
    return found


def run_for(user: User, run_id: str | uuid.UUID) -> Run:
    """The same for a run, with its agent."""
    found = Run.objects.select_related("agent").filter(agent__owner=user, pk=_id(run_id, "run")).first()
    if found is None:
        raise NotFound("no such run")
    return found


def run_of_agent(user: User, agent: Agent, run_id: str) -> Run:
    """The same for a run that has to be this agent's."""
    run = run_for(user, run_id)
    if run.agent_id != agent.pk:
        raise NotFound("no such run of this agent")
    return run


def _id(given: str | uuid.UUID, noun: str) -> uuid.UUID:
    """Only the canonical form: uuid.UUID also takes braces, URNs and no hyphens, and one thing needs one address."""
    if isinstance(given, uuid.UUID):
        return given
    try:
        parsed = uuid.UUID(given)
    except ValueError:
        raise NotFound(f"no such {noun}") from None
    if str(parsed) != given.lower():
        raise NotFound(f"no such {noun}")
    return parsed
