"""What the client commands say where there is no site, or no token for it: one line each, exit code 2."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.faults.stack import REPOSITORY
from tests.servers.ports import ReservedPort

COMMANDS = [
    ["agents"],
    ["runs", "x"],
    ["attach", "x"],
    ["approve", "x", "y", "yes"],
    ["cancel", "x"],
    ["run", "demo", "Hello"],
]


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    port = ReservedPort()
    yield f"http://127.0.0.1:{port.number}"
    port.release()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_no_site(terminal: Terminal, nowhere: str, words: list[str]):
    problem = terminal(*words, "--url", nowhere, "--token", "as_x").problem
    assert f"{nowhere} does not answer" in problem
    assert "is `agentsite up` running?" in problem


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_no_token(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]):
    monkeypatch.setenv("AGENTSITE_DATA_DIR", str(tmp_path))
    assert "no API token: give --token, AGENTSITE_TOKEN" in terminal(*words).problem


@pytest.mark.parametrize("token", ["as_\n", "as_ü", "as_\x1b[31m"])
def test_a_token_that_is_none(terminal: Terminal, nowhere: str, token: str):
    assert "characters that no token has" in terminal("agents", "--url", nowhere, "--token", token).problem


@pytest.mark.parametrize("url", ["nonsense", "http://[", "ftp://127.0.0.1"])
def test_an_address_that_is_none(terminal: Terminal, url: str):
    terminal("agents", "--url", url, "--token", "as_x").problem  # noqa: B018 - it is the test


def test_a_prompt_that_is_no_text(terminal: Terminal, nowhere: str):
    shown = terminal("run", "demo", "\udcff", "--url", nowhere, "--token", "as_x")
    assert "not UTF-8" in shown.problem


def test_an_invalid_setting(terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTSITE_PORT", "http")
    assert terminal("agents").problem.startswith("agentsite: AGENTSITE_PORT: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "no such command 'nothing'"),
        (["agents", "--nothing"], "no such option: --nothing"),
        (["agents", "--limit", "many"], "invalid value for '--limit': must be a whole number"),
        (["agents", "--limit", "0"], "invalid value for '--limit': must be at least 1"),
        (["agents", "--limit"], "requires an argument"),
        (["run", "demo"], "missing argument 'prompt'"),
        (["run", "demo", "a", "b"], "unexpected extra argument"),
        (["images", "nothing"], "no such command 'nothing'"),
    ],
)
def test_a_command_line_that_is_wrong_is_one_line_too(terminal: Terminal, words: list[str], says: str):
    problem = terminal(*words).problem
    assert says in problem
    assert problem.endswith(" --help`\n")


def test_a_group_without_a_command_is_its_help(terminal: Terminal):
    shown = terminal("images")
    assert (shown.code, shown.err) == (2, "")
    assert "build" in shown.out


def test_help_names_every_command(terminal: Terminal):
    shown = terminal("--help")
    assert shown.code == 0
    for name in ("up", "run", "attach", "approve", "cancel", "agents", "runs", "token", "doctor"):
        assert f" {name} " in shown.out


def test_help_names_every_exit_code(terminal: Terminal):
    everything = " ".join(terminal("--help").out.split())
    assert "Exit code 2: it could not be done" in everything
    assert "130: Ctrl-C" in everything
    run = " ".join(terminal("run", "--help").out.split())
    assert "0 completed, 1 failed, 2 it could not start, 3 cancelled, 130 Ctrl-C (the run goes on)" in run


def test_the_version_is_that_of_the_package(terminal: Terminal):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert terminal("--version") == (0, f"agentsite {project['version']}\n", "")
