from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent, Run
from agents.runs import commands
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.store import journal
from tests.pages.conftest import DEFINITIONS

pytestmark = pytest.mark.django_db(transaction=True)


def page_of(agent: Agent) -> str:
    return f"/agents/{agent.pk}/"


# Who may see what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/agents/new/", "/agents/0199a5c3-0000-7000-8000-000000000000/"])
def test_every_page_asks_for_a_login(path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/login/?next={path}"


def test_login_page_logs_in(ada: User) -> None:
    client = Client()
    assert "Log in" in client.get("/login/").content.decode()
    wrong = client.post("/login/", {"username": "ada", "password": "no"})
    assert "match.</p>" in wrong.content.decode()
    right = client.post("/login/?next=/agents/new/", {"username": "ada", "password": "analytical engine"})
    assert right["Location"] in ("/", "/agents/new/")


def test_somebody_elses_agent_is_not_there(ada: User, stranger: Client) -> None:
    agent, run = commands.create_agent(ada, "demo", input="secret words")
    assert run is not None
    for response in (
        stranger.get(page_of(agent)),
        stranger.post(f"{page_of(agent)}prompt/", {"input": "x"}),
        stranger.post(f"{page_of(agent)}stop/"),
        stranger.get(f"{page_of(agent)}transcript/"),
    ):
        assert response.status_code == 404
        assert "secret" not in response.content.decode()
    assert "secret" not in stranger.get("/").content.decode()
    run.refresh_from_db()
    assert run.cancel_requested_at is None


def test_pages_bring_a_policy_that_runs_no_inline_script_and_keep_to_it(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo", input="hello")
    for path in ("/", "/agents/new/", page_of(agent), f"{page_of(agent)}transcript/", "/login/", "/nowhere/"):
        response = client.get(path)
        assert "worker-src 'self';" in response["Content-Security-Policy"]
        assert "script-src 'self';" in response["Content-Security-Policy"]
        html = response.content.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
        for script in re.findall(r"<script[^>]*>", html):
            assert "src=" in script or 'type="application/json"' in script
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', html)


# The changes of a run -------------------------------------------------------------------------------------------------


def test_changes_are_shown_as_text_whatever_is_in_them(ada: User, client: Client) -> None:
    agent, run = commands.create_agent(ada, "demo", input="hello")
    assert run is not None
    workspace, history = Workspace(agent.pk), History(agent.pk)
    history.keep(str(run.pk), "before", workspace)
    workspace.write_file("<script>alert(1)</script>", [b"<img src=x onerror=alert(2)>\n"])
    workspace.write_file("picture", [b"\0"])
    history.keep(str(run.pk), "after", workspace)
    html = client.get(f"/runs/{run.pk}/changes/").content.decode()
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "</span>&lt;img src=x onerror=alert(2)&gt;</td>" in html
    assert re.search(r"added</span>.*\+1</span> .*&minus;0", html)
    assert "Not a text file." in html


def test_a_run_of_which_nothing_is_kept_says_so(ada: User, client: Client) -> None:
    _, run = commands.create_agent(ada, "demo", input="hello")
    assert run is not None
    assert "No file was changed." in client.get(f"/runs/{run.pk}/changes/").content.decode()
    run.attempts.create(number=1, engine="process", container_ref="x", worker="w")
    html = client.get(f"/runs/{run.pk}/changes/").content.decode()
    assert "There may have been more" in html
    assert "No file is known to have been changed." in html


def test_changes_of_somebody_elses_run_are_not_there(ada: User, stranger: Client) -> None:
    _, run = commands.create_agent(ada, "demo", input="hello")
    assert run is not None
    assert stranger.get(f"/runs/{run.pk}/changes/").status_code == 404
    assert Client().get(f"/runs/{run.pk}/changes/").status_code == 302


# The list -------------------------------------------------------------------------------------------------------------


def test_empty_list_starts_the_demo_with_one_click(client: Client) -> None:
    html = client.get("/").content.decode()
    assert "No agents yet" in html
    fields = dict(re.findall(r'name="(definition|input)" value="([^"]*)"', html))
    assert fields == {"definition": "demo", "input": "Analyse &lt;the&gt; data."}


def test_list_shows_own_agents_the_latest_first(ada: User, client: Client) -> None:
    commands.create_agent(ada, "demo", title="Older")
    commands.create_agent(ada, "demo", title="Newer <b>")
    archived, _ = commands.create_agent(ada, "demo", title="Put away")
    commands.archive(archived, True)
    html = client.get("/").content.decode()
    assert html.index("Newer &lt;b&gt;") < html.index("Older")
    assert "Put away" not in html


def test_mistake_in_the_definitions_is_shown_with_its_line(client: Client, definitions_file: Path) -> None:
    client.get("/")
    definitions_file.write_text(DEFINITIONS + "imagee = 'x'\n")
    for path in ("/", "/agents/new/"):
        html = client.get(path).content.decode()
        assert "A definition has a mistake." in html
        assert "line 7" in html
        assert "Data analyst" in html, "the last good version stays in force"
    definitions_file.write_text("[definitions")
    assert "There is a mistake in the definitions file." in client.get("/").content.decode()


# A new agent ----------------------------------------------------------------------------------------------------------


def test_new_agent_with_a_prompt_starts_a_run(client: Client, ada: User) -> None:
    response = client.post("/agents/new/", {"definition": "demo", "input": "one\r\ntwo", "title": "Mine"})
    agent = Agent.objects.get(owner=ada)
    assert response["Location"] == page_of(agent)
    assert (agent.title, Run.objects.get(agent=agent).input) == ("Mine", "one\ntwo")


def test_new_agent_without_a_prompt_waits_for_one(client: Client, ada: User) -> None:
    client.post("/agents/new/", {"definition": "demo", "input": "  "})
    agent = Agent.objects.get(owner=ada)
    assert not agent.runs.exists()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"input": "x"}, "This field is required"),
        ({"definition": "nothing", "input": "x"}, "Select a valid choice"),
        ({"definition": "demo", "input": "x\0"}, "Null characters are not allowed"),
        ({"definition": "demo", "input": "x" * 2_000_000}, "A prompt may have"),
        ({"definition": "demo", "title": "x" * 201}, "at most 200 characters"),
    ],
)
def test_new_agent_says_which_field_is_wrong(client: Client, data: dict[str, str], problem: str, settings: Any) -> None:
    settings.INPUT_MAX_BYTES = 1_000_000
    response = client.post("/agents/new/", data)
    assert response.status_code == 400
    assert problem in response.content.decode()
    assert not Agent.objects.exists()


def test_forms_need_a_csrf_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    response = client.post("/agents/new/", {"definition": "demo"})
    assert response.status_code == 403
    assert "Please send it again" in response.content.decode()


# The agent page -------------------------------------------------------------------------------------------------------


def test_agent_page_holds_state_and_cursor_of_the_same_moment(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo", input="</script><b>hello")
    html = client.get(page_of(agent)).content.decode()
    folded = journal.load(str(agent.pk))
    cursor, state = folded.cursor, folded.state
    embedded = re.search(r'<script id="state" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert embedded
    assert json.loads(embedded[1]) == state
    assert f'data-cursor="{cursor}"' in html
    assert "</script><b>hello" not in html
    for region in ("conversation", "queue", "file-list", "run-list"):
        assert re.search(rf'id="{region}"[^>]*></', html), "the page's script draws it"


def test_prompt_form_works_without_javascript(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo")
    response = client.post(f"{page_of(agent)}prompt/", {"input": "a question"}, follow=True)
    assert "a question" in response.content.decode()
    assert Run.objects.get(agent=agent).input == "a question"


def test_empty_prompt_is_refused_with_words(ada: User, client: Client) -> None:
    agent, _ = commands.create_agent(ada, "demo")
    response = client.post(f"{page_of(agent)}prompt/", {"input": " \n"}, follow=True)
    assert "Write something first." in response.content.decode()
    assert not agent.runs.exists()


def test_stop_form_cancels_the_active_run(ada: User, client: Client) -> None:
    agent, run = commands.create_agent(ada, "demo", input="work")
    assert run is not None
    Run.objects.filter(pk=run.pk).update(status="running")
    assert client.post(f"{page_of(agent)}stop/")["Location"] == page_of(agent)
    run.refresh_from_db()
    assert run.cancel_requested_at is not None
    assert run.cancel_reason == "stopped by ada"


def test_prompt_form_takes_a_strategy(ada: User, client: Client) -> None:
    agent, first = commands.create_agent(ada, "demo", input="work")
    assert first is not None
    client.post(f"{page_of(agent)}prompt/", {"input": "now", "strategy": "interrupt"})
    first.refresh_from_db()
    assert first.cancel_requested_at is not None
    html = client.post(f"{page_of(agent)}prompt/", {"input": "now", "strategy": "x"}, follow=True).content.decode()
    assert "strategy must be one of" in html


def test_isolation_none_is_said(ada: User, client: Client) -> None:
    agent, run = commands.create_agent(ada, "demo", input="work")
    assert run is not None
    hidden = re.compile(r'id="isolation"[^>]*\shidden')
    assert hidden.search(client.get(page_of(agent)).content.decode())
    Run.objects.filter(pk=run.pk).update(isolation="none")
    assert not hidden.search(client.get(page_of(agent)).content.decode())


def test_unknown_address_says_so_in_a_page_of_ours(client: Client) -> None:
    response = client.get("/nowhere/")
    assert response.status_code == 404
    assert "There is no such page, or it is not yours." in response.content.decode()
