"""What runs left behind: a run's page, its changes, all runs of an agent; try again, continue, stop. As everywhere,
somebody else's is not there (404)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents.errors import AgentsError
from agents.models import Agent, Run
from agents.models.run import RunStatus
from agents.pages import changes as changes_of
from agents.pages import measures
from agents.pages import run as run_of
from agents.pages.views import cancel
from agents.runs import commands
from agents.workspace import history
from streaming.model.cursor import parse

RUNS_PER_PAGE = 50


@login_required
@never_cache
def run_page(request: HttpRequest, run_id: UUID) -> HttpResponse:
    run = _own(request, run_id)
    return render(request, "agents/run.html", {**_facts(request, run), "changes": changes_of.of(history.of_run(run))})


@login_required
@never_cache
def live(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What of a run's page changes while it goes on, for run.js."""
    return render(request, "agents/_run_live.html", _facts(request, _own(request, run_id)))


@login_required
@never_cache
def changes(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What a run changed in the workspace."""
    run = _own(request, run_id)
    return _changes(request, {"run": run, "agent": run.agent}, history.of_run(run))


@login_required
@never_cache
def changes_in_total(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """What all runs together changed, up to now."""
    agent = get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
    total = history.of_agent(agent)
    return _changes(request, {"agent": agent, "since": total.since}, total.diff)


@login_required
@never_cache
def runs(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    """All runs of an agent, the newest first; `?status=` shows those only."""
    agent = get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)
    status = request.GET.get("status", "")
    found = agent.runs.order_by("-number").defer("result", "error_message", "metadata")
    if status in RunStatus.values:
        found = found.filter(status=status)
    page = Paginator(found, RUNS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "agent": agent,
        "runs": page,
        "rows": [_row(run) for run in page],
        "statuses": RunStatus.values,
        "status": status if status in RunStatus.values else "",
    }
    return render(request, "agents/runs.html", context)


@login_required
@require_POST
def retry(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _again(request, _own(request, run_id), commands.retry)


@login_required
@require_POST
def resume(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _again(request, _own(request, run_id), commands.resume)


@login_required
@require_POST
def stop(request: HttpRequest, run_id: UUID) -> HttpResponse:
    run = _own(request, run_id)
    cancel(request, run, "stopped")
    return redirect("pages:run", run.pk)


def _own(request: HttpRequest, run_id: UUID) -> Run:
    return get_object_or_404(Run.objects.select_related("agent"), pk=run_id, agent__owner=request.user.pk)


def _again(request: HttpRequest, run: Run, act: Callable[[Run], Run]) -> HttpResponse:
    """To the conversation, where the new run is followed live."""
    try:
        made = act(run)
    except AgentsError as error:
        messages.error(request, error.message)
        return redirect("pages:run", run.pk)
    return redirect(f"{reverse('pages:agent', args=[run.agent_id])}#run-{made.pk}")


def _facts(request: HttpRequest, run: Run) -> dict[str, Any]:
    """`?after=`: the part of its timeline behind that cursor."""
    after = parse(request.GET.get("after", ""))
    return {"run": run, "agent": run.agent, "facts": run_of.facts(run, after)}


def _changes(request: HttpRequest, context: dict[str, Any], diff: history.RunDiff) -> HttpResponse:
    shown = changes_of.of(diff, changes_of.view_of(request.GET.get("view")), request.GET.get("file"))
    return render(request, "agents/changes.html", {**context, "changes": shown})


def _row(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "prompt": " ".join(run.input[:300].split())[:160],
        "duration": "" if run.duration_ms is None or run.started_at is None else measures.duration(run.duration_ms),
        "spent": measures.usage(run.usage) if run.usage else "",
    }
