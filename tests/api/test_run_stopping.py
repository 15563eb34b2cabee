"""A run that was told to stop takes nothing more, whatever address it is asked at; what its program is told is in
tests/agents/test_stopping.py."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import ApprovalAnswer, Run
from agents.runs import commands
from streaming.model.events import draft
from tests.admin.test_actions import act
from tests.api.conftest import problem, write


@pytest.fixture
def stopping(api, agent_id, no_worker):
    """Its program asks something, and its worker does not answer."""
    run_id = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})[1]["id"]
    asks = [("a", ["yes", "no"]), ("budget:tokens:1", ["approve", "deny"])]
    drafts = [
        draft("approval-request", run_id, approval_id=name, question="?", options=options) for name, options in asks
    ]
    write(agent_id, [draft("status", run_id, status="running"), *drafts])
    assert api.call("POST", f"/api/runs/{run_id}/cancel")[1]["status"] == "running"
    return run_id


@pytest.fixture
def queued(api, agent_id, stopping):
    return api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "next"})[1]["id"]


@pytest.fixture
def unchanged(agent_id, stopping, queued):
    yield
    assert set(map(str, Run.objects.values_list("pk", flat=True))) == {stopping, queued}
    assert not ApprovalAnswer.objects.exists()


API = {
    "approve": ("/api/runs/{run}/approvals/a", {"decision": "yes"}),
    "deny": ("/api/runs/{run}/approvals/a", {"decision": "no"}),
    "grant a budget": ("/api/runs/{run}/approvals/budget:tokens:1", {"decision": "approve"}),
    "steer": ("/api/agents/{agent}/runs", {"input": "x", "strategy": "steer"}),
    "interrupt": ("/api/agents/{agent}/runs", {"input": "x", "strategy": "interrupt"}),
    "move": ("/api/runs/{run}/move", {"before": None}),
    "retry": ("/api/runs/{run}/retry", None),
    "continue": ("/api/runs/{run}/resume", None),
}


@pytest.mark.parametrize("wish", API)
@pytest.mark.usefixtures("unchanged")
def test_api_refuses(api, agent_id, stopping, wish):
    path, body = API[wish]
    answer = api.call("POST", path.format(run=stopping, agent=agent_id), body)
    assert problem(answer) == (409, "run-stopping")
    assert answer[1]["error"]["details"] == {"run_id": stopping}


@pytest.mark.usefixtures("unchanged")
def test_no_run_is_moved_before_it(api, stopping, queued):
    answer = api.call("POST", f"/api/runs/{queued}/move", {"before": stopping})
    assert problem(answer) == (409, "run-stopping")
    assert answer[1]["error"]["details"] == {"run_id": stopping, "field": "before"}


def test_same_request_again_answers_the_run_that_it_made_before(api, agent_id):
    """Also where it would be refused now: with its key it asks for nothing new."""
    path, body = f"/api/agents/{agent_id}/runs", {"input": "x", "strategy": "steer"}
    first = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})[1]["id"]
    write(agent_id, [draft("status", first, status="running")])
    steering = api.call("POST", path, body, **{"Idempotency-Key": "k"})[1]["id"]
    api.call("POST", f"/api/runs/{first}/cancel")
    assert api.call("POST", path, body, **{"Idempotency-Key": "k"})[1]["id"] == steering
    assert problem(api.call("POST", path, body)) == (409, "run-stopping")


PAGES = {
    "prompt, steer": ("/agents/{agent}/prompt/", {"input": "x", "strategy": "steer"}),
    "prompt, interrupt": ("/agents/{agent}/prompt/", {"input": "x", "strategy": "interrupt"}),
    "retry": ("/runs/{run}/retry/", {}),
    "continue": ("/runs/{run}/continue/", {}),
}


@pytest.mark.parametrize("wish", PAGES)
@pytest.mark.usefixtures("unchanged")
def test_page_refuses_and_says_why(user, agent_id, stopping, wish):
    client = Client()
    client.force_login(user)
    path, form = PAGES[wish]
    page = client.post(path.format(run=stopping, agent=agent_id), form, follow=True).content.decode()
    assert re.search("run was told to stop", page)


@pytest.mark.usefixtures("unchanged")
def test_admin_refuses_and_says_why(stopping):
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert "run was told to stop" in act(client, "retry", Run.objects.get(pk=stopping))


def test_cancel_can_be_repeated_and_the_queue_goes_on(api, agent_id, stopping, queued):
    assert api.call("POST", f"/api/runs/{stopping}/cancel")[0] == 202
    assert api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "after it"})[0] == 202
    write(agent_id, [draft("done", stopping, status="cancelled")])
    assert api.call("POST", f"/api/runs/{stopping}/retry")[0] == 202
    assert commands.resume(Run.objects.get(pk=stopping)).number == 5
