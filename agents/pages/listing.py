"""The list of a user's agents. Nobody sees another's here, whoever they are: operators have the admin for that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from agents.definitions import catalog
from agents.models import Agent, Run, Spending
from agents.models.run import ACTIVE, AGENT_STATUSES
from agents.pages import measures, search

STARTER = "demo"
"""The definition that an empty list offers: it runs without any key."""


@dataclass(frozen=True, slots=True)
class Row:
    """`running_since`: of the run that is active; `cost`: of all its runs, empty where no model was paid for."""

    agent: Agent
    running_since: datetime | None
    cost: str


@login_required
@never_cache
def agent_list(request: HttpRequest) -> HttpResponse:
    query = search.Query.read(request.GET.dict())
    page = search.page(request.user.pk, query)
    known = catalog.current()
    starter = known.definitions.get(STARTER) or next(iter(known.definitions.values()), None)
    context = {
        "catalog": known,
        "query": query,
        "page": page,
        "rows": rows(page.agents),
        "statuses": AGENT_STATUSES,
        "definitions": sorted({*known.definitions, *filter(None, (query.definition,))}),
        "prompts_of": search.PROMPTS_OF,
        "starter": starter,
        "starter_prompt": starter.sample_prompts[0] if starter and starter.sample_prompts else "",
        "has_any": bool(page.agents) or Agent.objects.filter(owner=request.user.pk).exists(),
    }
    return render(request, "agents/list.html", context)


def rows(agents: list[Agent]) -> list[Row]:
    """Two queries, however many agents."""
    active = Run.objects.filter(agent__in=agents, status__in=ACTIVE)
    since = dict(active.values_list("agent_id", "started_at"))
    scopes = [f"agent:{agent.pk}" for agent in agents]
    spent = dict(Spending.objects.filter(scope__in=scopes, cost_usd__gt=0).values_list("scope", "cost_usd"))
    costs = {scope: measures.cost(usd) for scope, usd in spent.items()}
    return [Row(agent, since.get(agent.pk), costs.get(f"agent:{agent.pk}", "")) for agent in agents]
