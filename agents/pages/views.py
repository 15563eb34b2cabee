"""The pages' views. Everybody sees their own agents only; somebody else's is not there (404)."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents import lifecycle, tip
from agents.definitions import Definition, catalog
from agents.errors import AgentsError
from agents.models import Agent, Run
from agents.models.run import ACTIVE
from agents.pages import conversation, measures, panels
from agents.pages import side as side_of
from agents.pages.advice import ADVICE
from agents.pages.forms import PromptForm
from streaming import journal
from streaming.cursor import Cursor, parse
from streaming.fold import State


@login_required
@never_cache
def agent_page(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    agent = _own(request, agent_id)
    folded = journal.load(str(agent.id))
    cursor, state = folded.cursor, folded.state
    page = _page(agent, request.GET["before"]) if "before" in request.GET else None
    latest = agent.runs.exclude(isolation="").order_by("-number").first()
    definition = catalog.current().definitions.get(agent.definition)
    side = side_of.of(agent, cursor.seq, state["files"])
    everything = "all" in request.GET
    context = page_context(agent, cursor, state, definition=definition, everything=everything, side=side, page=page)
    return render(request, "agents/agent.html", {**context, "isolation": latest.isolation if latest else ""})


def _page(agent: Agent, before: str) -> dict[str, Any]:
    """An earlier page of the conversation."""
    cursor = parse(before)
    found = None if cursor is None else tip.conversation_page(str(agent.id), cursor)
    if found is None:
        raise Http404
    page: dict[str, Any] = json.loads(found[0])
    return page


@login_required
@require_POST
def prompt(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """The prompt box without JavaScript."""
    agent = _own(request, agent_id)
    form = PromptForm(request.POST)
    if form.is_valid():
        try:
            lifecycle.submit_run(agent, form.cleaned_data["input"], strategy=request.POST.get("strategy") or "enqueue")
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
        cancel(request, run, "stopped")
    return redirect("pages:agent", agent.id)


@login_required
@require_POST
def answer(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The buttons of an approval without JavaScript."""
    run = _own_run(request, run_id)
    given = [request.POST.get(name, "") for name in ("approval_id", "decision", "reason")]
    try:
        lifecycle.answer_approval(run, given[0], given[1], request.user.get_username()[:150], given[2])
    except AgentsError as error:
        messages.error(request, error.message)
    return redirect("pages:agent", run.agent_id)


@login_required
@require_POST
def withdraw(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """A prompt out of the queue, without JavaScript."""
    run = _own_run(request, run_id)
    cancel(request, run, "withdrawn")
    return redirect("pages:agent", run.agent_id)


def cancel(request: HttpRequest, run: Run, how: str) -> None:
    """`how`: the word for it in the log."""
    try:
        lifecycle.request_cancel(run, reason=f"{how} by {request.user.get_username()}")
    except AgentsError as error:  # deleted meanwhile
        messages.error(request, error.message)


def page_context(
    agent: Agent,
    cursor: Cursor,
    state: State,
    *,
    definition: Definition | None = None,
    everything: bool = False,
    side: dict[str, Any] | None = None,
    page: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the agent page shows of its log. A function of the state and the clock only, like the page's JavaScript,
    but for what `side` adds to its panels. `page`: an earlier one, to be shown instead of the end."""
    now = timezone.now()
    active = next((run for run in state["runs"] if run["id"] == state["active_run"]), None)
    files_url = f"/api/agents/{agent.id}/files/"
    return {
        "agent": agent,
        "cursor": str(cursor),
        "state": state,
        "conversation": conversation.of(state, files_url, everything=everything, page=page),
        **panels.of(agent, state, side),
        "usage": measures.usage(state["usage"]),
        "elapsed": measures.run_elapsed(active, now) if active else "",
        "now": now.isoformat(),
        "definition": definition,
        "advice": ADVICE,
    }


def _own_run(request: HttpRequest, run_id: UUID) -> Run:
    return get_object_or_404(Run.objects.select_related("agent"), pk=run_id, agent__owner=request.user.pk)


def _own(request: HttpRequest, agent_id: UUID) -> Agent:
    return get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
