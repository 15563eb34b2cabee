"""What can be done to several agents at once: a form that works without JavaScript, and asks first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents.models import Agent
from agents.pages import search
from agents.runs import commands

SELECTED_MOST = search.PER_PAGE
"""As many as the list shows at once."""


@dataclass(frozen=True, slots=True)
class Action:
    """`act` answers whether there was anything to do. The words go behind a number: `was`, `were`."""

    verb: str
    act: Callable[[Agent, str], bool]
    done: str
    had_nothing: tuple[str, str]


def _stop(agent: Agent, by: str) -> bool:
    return commands.cancel_all(agent, f"stopped by {by}") > 0


def _archive(agent: Agent, by: str) -> bool:
    if agent.archived_at is not None:
        return False
    commands.archive(agent, True)
    return True


def _unarchive(agent: Agent, by: str) -> bool:
    if agent.archived_at is None:
        return False
    commands.archive(agent, False)
    return True


ACTIONS = {
    "stop": Action("Stop", _stop, "stopped", ("was not running", "were not running")),
    "archive": Action("Archive", _archive, "archived", ("was archived before", "were archived before")),
    "unarchive": Action("Unarchive", _unarchive, "brought back", ("was not archived", "were not archived")),
}


@login_required
@never_cache
@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """Somebody else's agents are not there."""
    query = search.Query.read(QueryDict(request.POST.get("list", "")).dict())
    back = f"{reverse('pages:list')}?{query.address()}".rstrip("?")
    action = ACTIONS.get(request.POST.get("action", ""))
    ids = _ids(request.POST.getlist("agent"))
    if action is None or not ids:
        messages.error(request, "Tick the agents first, then say what to do with them.")
        return redirect(back)
    agents = list(Agent.objects.filter(owner=request.user.pk, pk__in=ids).order_by("-updated_at", "-id"))
    if len(agents) > 1 and "confirmed" not in request.POST:
        context = {"action": action, "action_name": request.POST["action"], "agents": agents, "back": back}
        return render(request, "agents/confirm.html", {**context, "query": query})
    did = sum(action.act(agent, request.user.get_username()) for agent in agents)
    level = messages.SUCCESS if did else messages.INFO
    messages.add_message(request, level, _told(action, did, len(agents) - did, len(ids) - len(agents)))
    return redirect(back)


def _told(action: Action, did: int, idle: int, missing: int) -> str:
    """3 stopped, 1 was not running."""
    parts = [f"{did} {action.done}"] if did or not idle + missing else []
    if idle:
        parts.append(f"{idle} {action.had_nothing[idle > 1]}")
    if missing:
        parts.append(f"{missing} {'are' if missing > 1 else 'is'} not there any more")
    return ", ".join(parts) + "."


def _ids(given: Iterable[str]) -> set[UUID]:
    found = set()
    for text in list(given)[:SELECTED_MOST]:
        try:
            found.add(UUID(text))
        except ValueError:
            continue
    return found
