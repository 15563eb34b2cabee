"""Agents: create, list, read, rename, archive, delete."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from agents import transfer
from agents.api.auth import caller
from agents.auth.permissions import agent_for, run_of_agent
from agents.errors import UnknownDefinition
from agents.field_types import Name, Search
from agents.http.schemas import (
    AgentAnswer,
    AgentChanges,
    AgentPage,
    AgentStatus,
    CreatedAgent,
    Fork,
    NewAgent,
    PageQuery,
)
from agents.models import Agent
from agents.runs import commands

router = Router(tags=["agents"])


class AgentQuery(PageQuery):
    """All of them narrow the list."""

    status: AgentStatus | None = Field(None, description="Only agents of this status.")
    definition: Name | None = Field(None, description="Only agents of this definition.")
    q: Search = Field("", description="Only agents whose title or definition contains this.")
    archived: bool = Field(False, description="Archived agents instead of the current ones.")


@router.post("/agents", response={201: CreatedAgent})
def create_agent(request: HttpRequest, response: HttpResponse, body: NewAgent) -> Any:
    """A new agent. With `input` its first run is queued at once. `model`, `tools`, `budget` narrow its definition."""
    try:
        agent, run = commands.create_agent(
            caller(request),
            body.definition,
            title=body.title,
            input=body.input,
            metadata=body.metadata,
            model=body.model,
            tools=body.tools,
            budget=body.budget,
        )
    except UnknownDefinition as error:
        error.details["field"] = "definition"
        raise
    agent.refresh_from_db()
    response["Location"] = f"/api/agents/{agent.pk}"
    return Status(201, CreatedAgent.of(agent, run))


@router.get("/agents", response=AgentPage)
def list_agents(request: HttpRequest, query: Query[AgentQuery]) -> AgentPage:
    """Your agents, those that changed last first."""
    found = _matching(Agent.objects.filter(owner=caller(request)), query)
    agents = found.order_by("-updated_at", "-id")[query.window]
    return AgentPage(
        agents=[AgentAnswer.of(agent) for agent in agents], total=found.count(), page=query.page, limit=query.limit
    )


@router.get("/agents/{agent_id}", response=AgentAnswer)
def read_agent(request: HttpRequest, agent_id: str) -> AgentAnswer:
    """One agent. Its conversation is in its snapshot."""
    return AgentAnswer.of(agent_for(caller(request), agent_id))


@router.patch("/agents/{agent_id}", response=AgentAnswer)
def change_agent(request: HttpRequest, agent_id: str, body: AgentChanges) -> AgentAnswer:
    """Rename, archive, bring back."""
    agent = agent_for(caller(request), agent_id)
    if body.title is not None:
        commands.rename(agent, body.title)
    if body.archived is not None:
        commands.archive(agent, body.archived)
    agent.refresh_from_db()
    return AgentAnswer.of(agent)


@router.delete("/agents/{agent_id}", response={204: None})
def delete_agent(request: HttpRequest, agent_id: str) -> Any:
    """Its runs, log and workspace are gone, its streams end, a run that is active is stopped."""
    commands.delete_agent(agent_for(caller(request), agent_id))
    return Status(204, None)


@router.post("/agents/{agent_id}/clear", response={202: AgentAnswer})
def clear_agent(request: HttpRequest, agent_id: str) -> Any:
    """The conversation begins anew: for programs, which are told nothing of what was before, and on the page. Its log,
    older pages, runs and files stay. 409 `agent-busy` while a run is active or queued."""
    agent = agent_for(caller(request), agent_id)
    commands.clear(agent)
    return Status(202, AgentAnswer.of(agent))


@router.post("/agents/{agent_id}/fork", response={201: CreatedAgent})
def fork_agent(request: HttpRequest, response: HttpResponse, agent_id: str, body: Fork | None = None) -> Any:
    """A new agent that continues from the end of a run: with the conversation and the workspace as they were then, and
    the runs up to there. What is open in the original does not come along.

    409 `run-not-ended` while that run goes on, or if none has ended; 409 `workspace-not-kept` where not all of the
    workspace was kept (`details.paths`).
    """
    user = caller(request)
    agent = agent_for(user, agent_id)
    body = body or Fork()
    run = None if body.at is None else run_of_agent(user, agent, body.at)
    fork = transfer.fork_agent(user, agent, run, body.title)
    response["Location"] = f"/api/agents/{fork.pk}"
    return Status(201, CreatedAgent.of(fork))


def _matching(agents: QuerySet[Agent], query: AgentQuery) -> QuerySet[Agent]:
    agents = agents.filter(archived_at__isnull=not query.archived)
    if query.status is not None:
        agents = agents.filter(status=query.status)
    if query.definition is not None:
        agents = agents.filter(definition=query.definition)
    if query.q:
        agents = agents.filter(Q(title__icontains=query.q) | Q(definition__icontains=query.q))
    return agents
