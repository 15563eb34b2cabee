"""Which providers a definition's runs may use, and what their programs are told of the way there."""

from __future__ import annotations

from agents.definitions import Definition
from agents.gateway.providers.provider import PROVIDERS, provider_of_model

INSIDE = "http://127.0.0.1:3128"
"""Where containers/gateway/forward.py listens."""
ROOT = "/providers/"


def allowed(definition: Definition) -> frozenset[str]:
    """The provider of its model, and those it names beside."""
    of_model = provider_of_model(definition.model)
    return frozenset(definition.providers) | ({of_model} if of_model else frozenset())


def environment(definition: Definition) -> dict[str, str]:
    """Base URLs of the gateway, and a word where clients want a key. Never a key."""
    return {
        name: value.replace("{gateway}", f"{INSIDE}{ROOT}{provider}")
        for provider in sorted(allowed(definition))
        for name, value in PROVIDERS[provider].inside.items()
    }
