"""Lists for the terminal, the table of settings, and the command that makes a token."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from agents import access
from agentsite.cli import settings_table, tables
from agentsite.environment import Environment
from tests.cli.terminal import Terminal

AGENT = {"id": "a1", "definition": "demo", "status": "idle", "title": "Penguins"}
RUN = {"id": "r1", "number": 2, "status": "completed", "duration_ms": 1500, "input": "Analyse"}


def test_a_list_of_nothing_says_so(capsys: pytest.CaptureFixture[str]):
    tables.agents({"agents": []})
    tables.runs({"runs": []})
    assert capsys.readouterr().out == 'No agents yet. Start one: agentsite run demo "…"\nNo runs yet.\n'


def test_an_agent_is_a_line(capsys: pytest.CaptureFixture[str]):
    tables.agents({"agents": [AGENT]})
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "definition", "status", "title"]
    assert line.split() == ["a1", "demo", "idle", "Penguins"]


def test_a_run_is_a_line_with_its_time(capsys: pytest.CaptureFixture[str]):
    tables.runs({"runs": [RUN, {**RUN, "number": 3, "status": "running", "duration_ms": None}]})
    _, ended, running = capsys.readouterr().out.splitlines()
    assert ended.split() == ["r1", "2", "completed", "1.5", "s", "Analyse"]
    assert running.split() == ["r1", "3", "running", "Analyse"]


def test_a_cell_neither_breaks_the_line_nor_drives_the_terminal(capsys: pytest.CaptureFixture[str]):
    tables.agents({"agents": [{**AGENT, "title": "[bold]one[/bold]\n\x1b[31mtwo\x1b]0;mine\x07"}]})
    _, line = capsys.readouterr().out.splitlines()
    assert line.rstrip().endswith("[bold]one[/bold] two")


def test_every_setting_is_a_line_with_its_variable():
    header, rule, *lines = settings_table.table().splitlines()
    assert (header, rule) == ("| variable | meaning | default |", "|---|---|---|")
    assert len(lines) == len(Environment.model_fields)
    assert "| `AGENTSITE_PORT` | Port the web server listens on; 0 takes a free one. | `8000` |" in lines
    assert "| `OPENAI_API_KEY` | OpenAI's key. It enters no container. |  |" in lines
    assert any(line.startswith("| `AGENTSITE_DOCKER_HOST` |") for line in lines)


@pytest.mark.django_db
def test_a_token_is_shown_and_works(terminal: Terminal):
    ada = User.objects.create_user("ada")
    shown = terminal("token", "ada", "--name", "laptop")
    assert (shown.code, shown.err) == (0, "")
    assert access.user_of_token(shown.out.strip()) == ada
    assert shown.out.count("\n") == 1


@pytest.mark.django_db
def test_a_token_for_nobody(terminal: Terminal):
    assert "no active user 'ada'" in terminal("token", "ada").problem
