"""A new agent: which definition, and of what that lets one choose its model, tools and budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from agents.definitions import Definition, catalog
from agents.definitions.budget import COUNT_MOST
from agents.errors import AgentsError
from agents.fleet.workers import provider_reasons, refusal
from agents.gateway.providers.provider import PROVIDERS, provider_of_model
from agents.models import Agent
from agents.pages import measures
from agents.pages.forms import NewAgentForm, OptionsForm, ceilings
from agents.runs import commands


@dataclass(frozen=True, slots=True)
class ProviderWord:
    """`reason`: why it can't be used; None if it can. `where`: what would mend that."""

    title: str
    reason: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One definition as the form shows it. `refusal`: why it can't run here, empty if it can. `unusable`: its own model
    can't be used, and why. `models`: those that some
    definition names, of providers that this one allows, with why not. `bounds`: what each limit may be at most."""

    definition: Definition
    options: OptionsForm
    refusal: str
    unusable: ProviderWord | None
    providers: list[ProviderWord]
    models: list[tuple[str, str]]
    bounds: dict[str, str]
    is_open: bool


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new_agent(request: HttpRequest) -> HttpResponse:
    known = catalog.current()
    definitions = known.definitions
    data = request.POST if request.method == "POST" else None
    like = _like(request)
    named = {"definition": like.definition} if like else None
    form = NewAgentForm(definitions.values(), data, initial=named)
    chosen = definitions.get(data.get("definition", "")) if data is not None else None
    # The one-click start says nothing of options: then they are the definition's.
    options = OptionsForm(chosen, data) if chosen is not None and f"{chosen.name}-options" in request.POST else None
    if form.is_valid() and (options is None or options.is_valid()):
        made = _create(request, form, options)
        if made is not None:
            return made
    if data is None and like is not None and like.definition in definitions:
        options = OptionsForm(definitions[like.definition], initial=_choices(like))
    offers = list(_offers(definitions.values(), options))
    context = {
        "catalog": known,
        "offers": offers,
        "first": next((offer.definition.name for offer in offers if not offer.refusal), ""),
        "invalid": [(name, mistake) for name, mistake in known.invalid.items() if name not in definitions],
        "form": form,
        "site_budget": _site_budget(),
    }
    failed = bool(form.errors or (options is not None and options.errors))
    return render(request, "agents/new.html", context, status=400 if failed else 200)


def _like(request: HttpRequest) -> Agent | None:
    """The agent of which this one is to be a duplicate: `?like=<its id>`. It has to be the reader's own."""
    try:
        return Agent.objects.filter(pk=UUID(request.GET.get("like", "")), owner=request.user.pk).first()
    except ValueError:
        return None


def _choices(agent: Agent) -> dict[str, Any]:
    """What was chosen of its definition, as the form has it."""
    wall_s = agent.budget.get("wall_s")
    chosen = {"model": agent.model, "tools": agent.tools, "minutes": wall_s and wall_s / 60}
    limits = {name: agent.budget.get(name) for name in ("cost_usd", "tokens")}
    return {name: value for name, value in {**chosen, **limits}.items() if value}


def _create(request: HttpRequest, form: NewAgentForm, options: OptionsForm | None) -> HttpResponse | None:
    """None if it was refused; the form then says why."""
    data = form.cleaned_data
    try:
        agent, _run = commands.create_agent(
            request.user,
            data["definition"],
            title=data["title"],
            input=data["input"] or None,
            **(options.chosen() if options else {}),
        )
    except AgentsError as error:
        field = str(error.details.get("field", ""))
        if options is not None and field in options.fields:
            options.add_error(field, error.message)
        else:
            form.add_error(None, error.message)
        return None
    return redirect("pages:agent", agent.id)


def _offers(definitions: Iterable[Definition], filled_in: OptionsForm | None) -> Iterable[Offer]:
    definitions = list(definitions)
    words = {name: _word(name, reason) for name, reason in provider_reasons().items()}
    named = sorted({found.model for found in definitions if found.model})
    for definition in definitions:
        mine = filled_in is not None and filled_in.definition.name == definition.name
        options = filled_in if mine and filled_in is not None else OptionsForm(definition)
        own = words.get(provider_of_model(definition.model) or "")
        models = [
            (model, words[provider].reason or "")
            for model in named
            if (provider := provider_of_model(model)) in options.providers and provider is not None
        ]
        yield Offer(
            definition,
            options,
            refusal(definition) or "",
            own if own is not None and own.reason else None,
            [words[name] for name in options.providers],
            models,
            _bounds(definition),
            is_open=bool(options.errors or options.initial),
        )


def _word(name: str, reason: str | None) -> ProviderWord:
    setting = PROVIDERS[name].key_setting
    if setting is None:
        where = f"Set {PROVIDERS[name].base_setting} in the worker's environment."
    else:
        where = f"Enter the key in the admin under Provider keys, or set {setting} in the worker's environment."
    return ProviderWord(PROVIDERS[name].title, reason, where)


def _bounds(definition: Definition) -> dict[str, str]:
    most = ceilings(definition)
    free = COUNT_MOST
    return {
        "cost_usd": "" if most["cost_usd"] == free else f"{measures.cost(most['cost_usd'])} at most",
        "tokens": "" if most["tokens"] == free else f"{most['tokens']:,} at most",
        "minutes": f"{measures.duration(most['minutes'] * 60_000)} at most",
    }


def _site_budget() -> list[str]:
    """What the site allows one agent, and one user a day, beyond any run's budget."""
    return [
        f"{scope}: {', '.join(_limit(kind, most) for kind, most in limits.items())}"
        for scope, limits in (
            ("an agent in all its runs", settings.BUDGET_AGENT),
            ("you today", settings.BUDGET_USER_DAY),
        )
        if limits
    ]


def _limit(kind: str, most: float) -> str:
    return measures.cost(most) if kind == "cost_usd" else f"{most:,.0f} {kind.replace('_', ' ')}"
