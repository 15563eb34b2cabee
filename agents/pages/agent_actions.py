"""What can be done to one agent beside asking it for something: a page that says what will happen, then does it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from agents import lifecycle, transfer
from agents.access import run_of_agent
from agents.errors import AgentsError
from agents.models import Agent
from agents.pages.forms import TITLE_LENGTH

SHOWN_RUNS = 100
"""To choose from, the newest."""


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def clear(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    agent = get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
    if request.method != "POST":
        return render(request, "agents/clear.html", {"agent": agent})
    try:
        lifecycle.clear(agent)
    except AgentsError as error:
        messages.error(request, error.message)
    return redirect("pages:agent", agent.id)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def fork(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Answers a form that can't be followed with the form, and what is wrong."""
    agent = get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
    if request.method == "POST":
        try:
            run = run_of_agent(agent.owner, agent, request.POST["at"]) if request.POST.get("at") else None
            made = transfer.fork_agent(agent.owner, agent, run, request.POST.get("title", "")[:TITLE_LENGTH])
            return redirect("pages:agent", made.id)
        except AgentsError as error:
            messages.error(request, error.message)
    ended = agent.runs.exclude(finished_at=None).exclude(started_at=None).order_by("-number")[:SHOWN_RUNS]
    context = {"agent": agent, "runs": ended, "at": request.POST.get("at"), "title_length": TITLE_LENGTH}
    return render(request, "agents/fork.html", context)
