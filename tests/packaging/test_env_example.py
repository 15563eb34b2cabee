"""Every variable in .env.example means something to somebody, and what compose requires is in it."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import AliasChoices

from agentsite.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
NAMED = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
PROVIDERS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OLLAMA_BASE_URL"}


def settings() -> set[str]:
    names: set[str] = set()
    for name, field in Environment.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or f"AGENTSITE_{name.upper()}"]
        names.update(str(choice) for choice in choices)
    return names


def test_it_names_nothing_that_nobody_reads():
    of_compose = set(re.findall(r"\$\{([A-Z][A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert NAMED - settings() - of_compose - PROVIDERS == set()


def test_it_has_what_compose_requires():
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert required == {"AGENTSITE_SECRET_KEY", "POSTGRES_PASSWORD"}
    assert required <= NAMED
