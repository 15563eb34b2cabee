"""The API against its own description, by schemathesis: every answer is as described, wrong input is refused, and right
input is not.

Streams are served by an ASGI application beside Django and have tests of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from agents.api import execute
from agents.models import Run
from agents.runs import commands
from tests.api.conftest import ApiClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
EXAMPLES = 3
"""Of each operation. All of them together take less than a minute."""


@pytest.fixture
def described(db: None) -> Iterator[Any]:
    """In this process and transaction, as Django's test client does it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    found = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())
    yield found.exclude(path_regex="/(stream|import)$")
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_it_is_described(
    described: Any, api: ApiClient, agent_id: str, monkeypatch: pytest.MonkeyPatch, mode: GenerationMode
) -> None:
    async def as_it_is(run: Run, *_: object) -> Run:
        return run

    monkeypatch.setattr(commands, "COMMIT_PATIENCE_S", 0)
    monkeypatch.setattr(execute, "_ended", as_it_is)  # nobody works here
    problems: list[str] = []
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and "definition" in case.body:
                case.body |= {"definition": "demo", "model": None, "tools": None}  # no schema can say which there are
            case.call_and_validate(headers=api.headers)

        try:
            send()
        except FailureGroup as failures:
            problems += [f"{operation.label}: {failure}" for failure in failures.exceptions]
    assert not problems, "\n\n".join(problems)
