"""The pages' views. Everybody sees their own agents only; somebody else's is not there (404)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents.definitions import Definition, catalog
from agents.errors import AgentsError
from agents.models import Agent, Run
from agents.models.run import ACTIVE
from agents.pages import side as side_of
from agents.pages.advice import ADVICE
from agents.pages.forms import PromptForm
from agents.runs import commands
from streaming.model.cursor import Cursor
from streaming.model.fold import State
from streaming.store import journal


@login_required
@never_cache
def agent_page(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    agent = _own(request, agent_id)
    folded = journal.load(str(agent.id))
    cursor, state = folded.cursor, folded.state
    latest = agent.runs.exclude(isolation="").order_by("-number").first()
    definition = catalog.current().definitions.get(agent.definition)
    side = side_of.of(agent, cursor.seq, state["files"])
    context = page_context(agent, cursor, state, definition=definition, side=side)
    return render(request, "agents/agent.html", {**context, "isolation": latest.isolation if latest else ""})


@login_required
@require_POST
def prompt(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """The prompt box, for as long as the page's script is not there."""
    agent = _own(request, agent_id)
    form = PromptForm(request.POST)
    if form.is_valid():
        try:
            commands.submit_run(agent, form.cleaned_data["input"], strategy=request.POST.get("strategy") or "enqueue")
        except AgentsError as error:
            messages.error(request, error.message)
    else:
        messages.error(request, str(form.errors["input"][0]))
    return redirect("pages:agent", agent.id)


@login_required
@require_POST
def stop(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """The stop button, for as long as the page's script is not there: cancels whatever the agent is at."""
    agent = _own(request, agent_id)
    run = agent.runs.filter(status__in=ACTIVE).first()
    if run is not None:
        cancel(request, run, "stopped")
    return redirect("pages:agent", agent.id)


def cancel(request: HttpRequest, run: Run, how: str) -> None:
    """`how`: the word for it in the log."""
    try:
        commands.request_cancel(run, reason=f"{how} by {request.user.get_username()}")
    except AgentsError as error:  # deleted meanwhile
        messages.error(request, error.message)


def page_context(
    agent: Agent,
    cursor: Cursor,
    state: State,
    *,
    definition: Definition | None = None,
    side: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the agent page needs before its script draws it: the state, and what is not in the state."""
    return {
        "agent": agent,
        "cursor": str(cursor),
        "state": state,
        "side": side,
        "now": timezone.now().isoformat(),
        "definition": definition,
        "advice": ADVICE,
    }


def _own(request: HttpRequest, agent_id: UUID) -> Agent:
    return get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
