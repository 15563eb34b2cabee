"""Lists for the terminal, the table of settings, and the command that makes a token."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rich.cells import cell_len

from agents.auth import credentials
from agentsite.cli import settings_table, tables
from agentsite.cli.invocation import command_line
from agentsite.environment import Environment
from tests.cli.terminal import Terminal

AGENT: dict[str, Any] = {"id": "a1", "definition": "demo", "status": "idle", "title": "Penguins"}
RUN: dict[str, Any] = {"id": "r1", "number": 2, "status": "completed", "duration_ms": 1500, "input": "Analyse"}


def test_a_list_of_nothing_says_so(capsys: pytest.CaptureFixture[str]):
    tables.print_agents([])
    tables.print_runs([])
    assert capsys.readouterr().out == (
        f"No agents yet. Start one: {command_line(['run', 'demo', 'Analyse the data'])}\nNo runs yet.\n"
    )


def test_an_agent_is_a_line(capsys: pytest.CaptureFixture[str]):
    tables.print_agents([AGENT])
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "definition", "status", "title"]
    assert line.split() == ["a1", "demo", "idle", "Penguins"]


def test_a_run_is_a_line_with_its_time(capsys: pytest.CaptureFixture[str]):
    tables.print_runs([RUN, {**RUN, "number": 3, "status": "running", "duration_ms": None}])
    _, ended, running = capsys.readouterr().out.splitlines()
    assert ended.split() == ["r1", "2", "completed", "1.5", "s", "Analyse"]
    assert running.split() == ["r1", "3", "running", "Analyse"]


def test_a_cell_neither_breaks_the_line_nor_drives_the_terminal(capsys: pytest.CaptureFixture[str]):
    tables.print_agents([{**AGENT, "title": "[bold]one[/bold]\n\x1b[31mtwo\x1b]0;mine\x07"}])
    _, line = capsys.readouterr().out.splitlines()
    assert line.rstrip().endswith("[bold]one[/bold] two")


LONG = {"id": "01900000-0000-7000-8000-000000000000", "title": "A title of 漢字 " * 10}


def test_in_a_terminal_an_agent_is_one_line_with_its_whole_id(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, used in (("80", 79), ("40", 68)):
        monkeypatch.setenv("COLUMNS", columns)
        tables.print_agents([{**AGENT, **LONG}, AGENT])
        _, long, short = capsys.readouterr().out.splitlines()
        assert long.startswith(f"{LONG['id']}  demo        idle    A title")
        assert long.endswith("…")
        assert used <= cell_len(long) <= max(used, int(columns))
        assert short.split() == ["a1", "demo", "idle", "Penguins"]


def test_in_a_pipe_nothing_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    tables.print_agents([{**AGENT, **LONG}])
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(LONG["id"])
    assert line.endswith(LONG["title"].strip())


def test_every_setting_is_a_line_with_its_variable():
    made = settings_table.render_settings().splitlines()
    assert [line.removeprefix("## ") for line in made if line.startswith("#")] == [*settings_table.SECTIONS.values()]
    lines = [line for line in made if line.startswith("| `")]
    assert len(lines) == len(Environment.model_fields)
    assert "| `AGENTSITE_PORT` | Port that the web server listens on; 0: any free port. | `8000` |" in lines
    assert "| `OPENAI_API_KEY` | OpenAI's key. It enters no container. |  |" in lines
    assert any(line.startswith("| `AGENTSITE_DOCKER_HOST` |") for line in lines)


@pytest.mark.django_db
def test_a_token_is_shown_and_works(terminal: Terminal):
    ada = User.objects.create_user("ada")
    shown = terminal("token", "ada", "--name", "laptop")
    assert (shown.code, shown.err) == (0, "")
    assert credentials.user_of_token(shown.out.strip()) == ada
    assert shown.out.count("\n") == 1


@pytest.mark.django_db
def test_a_token_for_nobody(terminal: Terminal):
    assert "no active user 'ada'" in terminal("token", "ada").problem
