"""The page on which a fork is made."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent, Run
from agents.runs import commands
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.model.events import draft
from tests.api.conftest import write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(agent: Agent) -> Run:
    """One that has ended."""
    run = commands.submit_run(agent, "Say it")
    workspace = Workspace(agent.pk)
    History(agent.pk).keep(str(run.pk), "before", workspace)
    History(agent.pk).keep(str(run.pk), "after", workspace)
    said = draft("text", str(run.pk), message_id="m", content="It.")
    ends = [draft(type_, str(run.pk), status="completed") for type_ in ("status", "done")]
    write(str(agent.pk), [draft("status", str(run.pk), status="running"), said, *ends])
    return run


def text(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


def test_a_fork_opens_on_its_own_page(client: Client, agent: Agent, run: Run) -> None:
    form = text(client.get(f"/agents/{agent.pk}/fork/"))
    assert f'<option value="{run.pk}"' in form
    answer = client.post(f"/agents/{agent.pk}/fork/", {"at": str(run.pk), "title": "Other"}, follow=True)
    fork = Agent.objects.exclude(pk=agent.pk).get()
    assert answer.redirect_chain[0][0] == f"/agents/{fork.pk}/"
    assert "Other" in text(answer)


def test_what_can_not_be_forked_is_said(client: Client, agent: Agent, run: Run) -> None:
    History(agent.pk).forget({str(run.pk)})
    commands.submit_run(agent, "x")
    write(str(agent.pk), [draft("files", None, changes=[{"path": "a", "change": "added", "size": 0, "sha256": None}])])
    assert "was not kept" in text(client.post(f"/agents/{agent.pk}/fork/", {"at": str(run.pk)}))


def test_without_an_ended_run_there_is_no_form(client: Client, agent: Agent) -> None:
    assert "No run of this agent has ended yet" in text(client.get(f"/agents/{agent.pk}/fork/"))


def test_somebody_elses_agent_is_not_there(agent: Agent, ada: User, stranger: Client) -> None:
    assert stranger.get(f"/agents/{agent.pk}/fork/").status_code == 404
    assert stranger.post(f"/agents/{agent.pk}/fork/").status_code == 404
