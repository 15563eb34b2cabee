"""What can be run: definitions, and the models and MCP servers that they name; which providers have a key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from agents.definitions import Definition, catalog
from agents.fleet.workers import provider_reasons
from agents.gateway.providers import access
from agents.gateway.providers.provider import PROVIDERS, provider_of_model

router = Router(tags=["definitions"])


class DefinitionLimitsAnswer(BaseModel):
    """What one container may use; units are in the names."""

    cpus: float
    memory_mib: int
    pids: int
    wall_s: float
    output_mib: int
    tmp_mib: int
    shm_mib: int
    workspace_mib: int


class DefinitionAnswer(BaseModel):
    """Neither the environment nor the command of a definition: they may hold what is nobody's business. `providers`:
    whose models an agent of it may have."""

    name: str
    title: str
    description: str
    image: str
    protocol: str
    trusted: bool
    model: str | None
    tools: list[str]
    providers: list[str]
    mcp_servers: list[str]
    sample_prompts: list[str]
    limits: DefinitionLimitsAnswer
    budget: dict[str, float]


class InvalidDefinition(BaseModel):
    """`mistake`: by line and field."""

    name: str
    mistake: str


class DefinitionList(BaseModel):
    """`invalid`: definitions that have a mistake in the file; one is among `definitions` only where its last good
    version is still in force. `problem`: the first mistake in the file, also one that hides all of its definitions;
    they are then the last good ones."""

    definitions: list[DefinitionAnswer]
    invalid: list[InvalidDefinition]
    problem: str | None


class Named(BaseModel):
    """Something that definitions name, and which do."""

    name: str
    definitions: list[str]


class Model(Named):
    """`provider`: the one in its name, null if that names none. `usable`: that provider can be used on this site."""

    provider: str | None
    usable: bool


class ModelList(BaseModel):
    """Sorted by name."""

    models: list[Model]


class McpServerList(BaseModel):
    """Sorted by name."""

    mcp_servers: list[Named]


class Provider(BaseModel):
    """`reason`: why it can't be used; null if it can."""

    name: str
    title: str
    usable: bool
    reason: str | None


class ProviderList(BaseModel):
    """All that this site knows."""

    providers: list[Provider]


@router.get("/definitions", response=DefinitionList)
def list_definitions(request: HttpRequest) -> dict[str, Any]:
    """What can be run, and which definitions have a mistake."""
    known = catalog.current()
    return {
        "definitions": [_answer(found) for found in known.definitions.values()],
        "invalid": [{"name": name, "mistake": mistake} for name, mistake in known.invalid.items()],
        "problem": known.problem,
    }


@router.get("/models", response=ModelList)
def list_models(request: HttpRequest) -> dict[str, Any]:
    """Each model that a definition uses, and which do."""
    used = _named({name: [found.model] for name, found in _definitions().items() if found.model})
    reasons = provider_reasons()
    return {"models": [{**one, **_provider_of(one["name"], reasons)} for one in used]}


@router.get("/mcp-servers", response=McpServerList)
def list_mcp_servers(request: HttpRequest) -> dict[str, Any]:
    """Each MCP server that a definition uses, and which do. Never its address or its credentials."""
    return {"mcp_servers": _named({name: list(found.mcp_servers) for name, found in _definitions().items()})}


@router.get("/providers", response=ProviderList)
def list_providers(request: HttpRequest) -> dict[str, Any]:
    """`usable`: some worker has what the provider asks for; without a worker, what is known here. Never the key."""
    return {
        "providers": [
            {"name": name, "title": PROVIDERS[name].title, "usable": reason is None, "reason": reason}
            for name, reason in provider_reasons().items()
        ]
    }


def _provider_of(model: str, reasons: dict[str, str | None]) -> dict[str, Any]:
    name = provider_of_model(model)
    return {"provider": name, "usable": name is not None and reasons[name] is None}


def _definitions() -> dict[str, Definition]:
    return dict(catalog.current().definitions)


def _named(used: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """{definition: names} turned around, sorted by name."""
    by_name: dict[str, list[str]] = {}
    for definition, names in used.items():
        for name in names:
            by_name.setdefault(name, []).append(definition)
    return [{"name": name, "definitions": by_name[name]} for name in sorted(by_name)]


def _answer(found: Definition) -> dict[str, Any]:
    same = set(DefinitionAnswer.model_fields) - {"limits", "mcp_servers", "budget", "providers"}
    limits = found.limits
    return {
        **{name: getattr(found, name) for name in same},
        "providers": sorted(access.allowed(found)),
        "mcp_servers": list(found.mcp_servers),
        "budget": found.budget.limits(),
        "limits": {
            "cpus": limits.cpus,
            "memory_mib": limits.memory_mib,
            "pids": limits.pids,
            "wall_s": limits.wall_s or settings.RUN_TIME_LIMIT_S,
            "output_mib": limits.output_mib,
            "tmp_mib": limits.tmp_mib,
            "shm_mib": limits.shm_mib,
            "workspace_mib": limits.workspace_mib,
        },
    }
