"""What operators may do to what goes on: after a question, and with an entry in the history of each object.

Everything goes through agents.runs.commands and agents.log.lease, as everywhere: history is edited by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agents.errors import AgentsError, NotSupported
from agents.fleet import workers
from agents.log import lease as leases
from agents.models import Agent
from agents.runs import commands
from streaming.errors import StreamingError
from streaming.models import Log

ACTED_MOST = 100
"""Objects at once: each is a transaction of its own, and somebody waits for the answer."""
CONFIRMED = "confirmed"


def operate(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    objects: QuerySet[Any],
    action: str,
    question: str,
    act: Callable[[Any], tuple[Any, str]],
    about: Callable[[Any], str] = lambda _: "",
) -> HttpResponse | None:
    """`act` does it to one and answers (whose history says so, what it says there). `about` goes into the question."""
    found = list(objects.order_by("-pk")[: ACTED_MOST + 1])
    if len(found) > ACTED_MOST:
        model_admin.message_user(request, f"Choose {ACTED_MOST} at most.", messages.ERROR)
        return None
    if CONFIRMED not in request.POST:
        context = {
            **admin.site.each_context(request),
            "title": question,
            "opts": model_admin.opts,
            "rows": [(one, about(one)) for one in found],
            "action": action,
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/agents/confirm.html", context)
    done = 0
    for one in found:
        try:
            whose, said = act(one)
        except (AgentsError, StreamingError) as error:
            model_admin.message_user(request, f"{one}: {error}", messages.ERROR)
            continue
        model_admin.log_change(request, whose, said)
        done += 1
    if done:
        model_admin.message_user(request, f"{question.rstrip('?')}: {done} done.", messages.SUCCESS)
    return None


def release_lease(agent: Agent) -> tuple[Agent, str]:
    """Of a worker that does not answer: another takes over at once, and need not wait until the lease has run out."""
    agent_id = str(agent.pk)
    owner = holder(agent)
    if owner is None:
        raise NotSupported("nobody holds its lease")
    answering = workers.ask()
    if answering is None:
        raise NotSupported(
            "Redis does not answer, so nobody knows whether the worker lives; its lease runs out by itself"
        )
    if owner in {one["worker"] for one in answering}:
        raise NotSupported(f"worker {owner} answers, and would go on; cancel the run if that is what you want")
    if not leases.expire(agent_id, owner):
        raise NotSupported("its lease was given back or taken over meanwhile")
    commands.enqueue(agent_id)
    return agent, f"Released the lease of worker {owner}."


def holder(agent: Agent) -> str | None:
    row = Log.objects.filter(agent_id=agent.pk).values_list("owner").first()
    return row[0] if row else None


def about_lease(agent: Agent) -> str:
    owner = holder(agent)
    return f"held by {owner}" if owner else "held by nobody"
