"""The bundled agent and a mock provider, for tests/images/test_agent_*.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.provider import MockProvider

from .agent_driving import MODELS, Agent, start_line

Launch = Callable[..., Agent]


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as running:
        yield running


@pytest.fixture
def agent(workspace: Path, provider: MockProvider) -> Iterator[Launch]:
    """Starts one, and gives it its start line."""
    running: list[Agent] = []

    def launch(
        prompt: object = "Go.", *, environment: dict[str, str] | None = None, model: str = "anthropic", **start: object
    ) -> Agent:
        running.append(Agent(workspace, provider, environment or {}))
        running[-1].tell(start_line(prompt, model=MODELS.get(model, model), **start))  # type: ignore[arg-type]
        return running[-1]

    yield launch
    for one in running:
        one.close()
