"""No call of the API tells or changes anything of another user's, and none works without credentials.

The calls are those of the API's own description, so a new one is tested without being named here.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.api.site import api as site_api
from agents.auth import credentials
from agents.models import Agent, Run
from agents.runs import commands
from tests.api.conftest import ApiClient, problem

BODIES: dict[str, Any] = {
    "create_agent": {"definition": "demo"},
    "start_run": {"input": "x"},
    "stream_run": {"input": "x"},
    "execute": {"input": "x"},
    "change_agent": {"title": "x"},
    "answer_approval": {"decision": "approve"},
    "move_run": {"before": None},
}
QUERIES = {"search_messages": "?q=word", "messages": "?before=1-1"}
IN_THE_GATE = ("stream", "stream_run")
"""Calls that Django does not answer: see tests/streaming/test_access_law.py."""
CALLS = [
    pytest.param(method.upper(), path, operation["operationId"], id=operation["operationId"])
    for path, operations in site_api.get_openapi_schema(path_prefix="/api/")["paths"].items()
    for method, operation in operations.items()
]


@pytest.fixture
def agent(user: User) -> Agent:
    return commands.create_agent(user, "demo", input="Hello")[0]


@pytest.fixture
def stranger(user: User) -> ApiClient:
    return ApiClient(credentials.create_token(User.objects.create_user("eve", is_staff=True), "test"))


def answer(client: ApiClient, method: str, path: str, name: str, agent: Agent) -> tuple[int, str]:
    values = {"agent_id": agent.pk, "run_id": Run.objects.get().pk}
    for key, value in {**values, "approval_id": "a1", "call_id": "c1", "path": "a.txt"}.items():
        path = path.replace(f"{{{key}}}", str(value))
    assert "{" not in path, "a call with another parameter needs a value here"
    body = BODIES.get(name, {} if method == "POST" else None)
    response = client.send(method, path + QUERIES.get(name, ""), body)
    return problem((response.status_code, response.json()))


@pytest.mark.parametrize(("method", "path", "name"), CALLS)
def test_call_without_credentials_is_refused(method: str, path: str, name: str, agent: Agent):
    assert answer(ApiClient(), method, path, name, agent) == (401, "not-authenticated")


@pytest.mark.parametrize(
    ("method", "path", "name"), [call for call in CALLS if "{" in str(call.values[1]) and call.id not in IN_THE_GATE]
)
def test_call_on_somebody_elses_agent_is_not_found(
    method: str, path: str, name: str, agent: Agent, stranger: ApiClient
):
    assert answer(stranger, method, path, name, agent) == (404, "not-found")
    run = Run.objects.get()
    assert (run.agent_id, run.cancel_requested_at) == (agent.pk, None)
