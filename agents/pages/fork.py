"""The page on which a fork of an agent is made: from the end of which run, and with which title."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from agents import transfer
from agents.auth.permissions import run_of_agent
from agents.errors import AgentsError
from agents.models import Agent
from agents.pages.forms import TITLE_LENGTH

SHOWN_RUNS = 100
"""To choose from, the newest."""


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def fork(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """Shows the form again, with what was wrong, if the agent can't be forked as it says."""
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
