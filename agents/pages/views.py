"""The pages' views. Everybody sees their own agents only; somebody else's is not there (404)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from agents import lifecycle
from agents.definitions import catalog
from agents.errors import AgentsError
from agents.models import Agent
from agents.models.run import ACTIVE
from agents.pages import conversation, measures, panels
from agents.pages import side as side_of
from agents.pages.forms import NewAgentForm, PromptForm
from streaming import journal
from streaming.cursor import Cursor
from streaming.fold import State

AGENTS_PER_PAGE = 50
STARTER = "demo"
"""The definition that an empty list offers: it runs without any key."""


@login_required
@never_cache
def agent_list(request: HttpRequest) -> HttpResponse:
    agents = Agent.objects.filter(owner=request.user.pk, archived_at=None).order_by("-updated_at")
    definitions = catalog.current().definitions
    starter = definitions.get(STARTER) or next(iter(definitions.values()), None)
    context = {
        "catalog": catalog.current(),
        "agents": Paginator(agents, AGENTS_PER_PAGE).get_page(request.GET.get("page")),
        "starter": starter,
        "starter_prompt": starter.sample_prompts[0] if starter and starter.sample_prompts else "",
    }
    return render(request, "agents/list.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_agent(request: HttpRequest) -> HttpResponse:
    definitions = catalog.current().definitions.values()
    form = NewAgentForm(definitions, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            agent, _run = lifecycle.create_agent(
                request.user, data["definition"], title=data["title"], input=data["input"] or None
            )
        except AgentsError as error:
            form.add_error(None, error.message)
        else:
            return redirect("pages:agent", agent.id)
    context = {"catalog": catalog.current(), "definitions": definitions, "form": form}
    return render(request, "agents/new.html", context, status=400 if form.errors else 200)


@login_required
@never_cache
def agent_page(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    agent = _own(request, agent_id)
    cursor, state = journal.load_state(str(agent.id))
    latest = agent.runs.exclude(isolation="").order_by("-number").first()
    context = page_context(
        agent, cursor, state, everything="all" in request.GET, side=side_of.of(agent, state["files"])
    )
    return render(request, "agents/agent.html", {**context, "isolation": latest.isolation if latest else ""})


@login_required
@require_POST
def prompt(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """The prompt box without JavaScript."""
    agent = _own(request, agent_id)
    form = PromptForm(request.POST)
    if form.is_valid():
        try:
            lifecycle.submit_run(agent, form.cleaned_data["input"])
        except AgentsError as error:
            messages.error(request, error.message)
    else:
        messages.error(request, str(form.errors["input"][0]))
    return redirect("pages:agent", agent.id)


@login_required
@require_POST
def stop(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """The stop button without JavaScript: cancels whatever the agent is at."""
    agent = _own(request, agent_id)
    run = agent.runs.filter(status__in=ACTIVE).first()
    if run is not None:
        lifecycle.request_cancel(run, reason=f"stopped by {request.user.get_username()}")
    return redirect("pages:agent", agent.id)


def page_context(
    agent: Agent, cursor: Cursor, state: State, *, everything: bool = False, side: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the agent page shows of its log. A function of the state only, like the page's JavaScript, but for what
    `side` adds to its panels."""
    files_url = f"/api/agents/{agent.id}/files/"
    return {
        "agent": agent,
        "cursor": str(cursor),
        "state": state,
        "conversation": conversation.of(state, files_url, everything=everything),
        **panels.of(agent, state, side),
        "usage": measures.usage(state["usage"]),
    }


def _own(request: HttpRequest, agent_id: UUID) -> Agent:
    return get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
