"""The pages' views. Everybody sees their own agents only; somebody else's is not there (404)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents import lifecycle
from agents.errors import AgentsError
from agents.models import Agent
from agents.models.run import ACTIVE
from agents.pages import conversation, measures
from agents.pages.forms import PromptForm
from agents.pages.links import file_url
from streaming import journal
from streaming.cursor import Cursor
from streaming.fold import State


@login_required
@never_cache
def agent_page(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    agent = _own(request, agent_id)
    cursor, state = journal.load_state(str(agent.id))
    latest = agent.runs.exclude(isolation="").order_by("-number").first()
    context = page_context(agent, cursor, state, everything="all" in request.GET)
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


def page_context(agent: Agent, cursor: Cursor, state: State, *, everything: bool = False) -> dict[str, Any]:
    """What the agent page shows of its log. A function of the state only, like the page's JavaScript."""
    files_url = f"/api/agents/{agent.id}/files/"
    return {
        "agent": agent,
        "cursor": str(cursor),
        "state": state,
        "conversation": conversation.of(state, files_url, everything=everything),
        "files": _files(state, files_url),
        "runs": _runs(state),
        "usage": measures.usage(state["usage"]),
    }


def _own(request: HttpRequest, agent_id: UUID) -> Agent:
    return get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)


def _files(state: State, files_url: str) -> list[dict[str, Any]]:
    return [
        {"path": path, "size": measures.size(file["size"]), "url": file_url(path, files_url)}
        for path, file in sorted(state["files"].items())
    ]


def _runs(state: State) -> list[dict[str, Any]]:
    """Newest first, as everywhere."""
    runs = [
        {"id": run["id"], "number": number, "status": run["status"], "duration": measures.run_duration(run)}
        for number, run in enumerate(state["runs"], 1)
    ]
    return runs[::-1]
