"""`agentsite images`: what definitions name, whether it is there, and building it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentsite.cli.image_commands import age, size
from agentsite.cli.invocation import command_line
from containers.images.build import Image
from tests.cli.terminal import Terminal

DEFINITIONS = """
[definitions.demo]
image = "agentsite/demo"
[definitions.twin]
image = "agentsite/demo"
[definitions.absent]
image = "nowhere.invalid/absent:1"
"""


@pytest.fixture
def definitions(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "agents.toml"
    path.write_text(DEFINITIONS)
    monkeypatch.setenv("AGENTSITE_DEFINITIONS", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    return path


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTSITE_DOCKER_HOST", f"unix://{tmp_path}/docker.sock")


@pytest.mark.usefixtures("definitions", "no_engine")
@pytest.mark.parametrize("words", [("list",), ("check",), ("build",), ("build", "demo", "--force")])
def test_without_an_engine_it_is_one_line(terminal: Terminal, words: tuple[str, ...]):
    assert "no such socket" in terminal("images", *words).problem


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_an_empty_list_is_no_answer_either(terminal: Terminal, definitions: Path):
    definitions.write_text("")
    assert "no such socket" in terminal("images", "check").problem


@pytest.mark.usefixtures("definitions")
def test_an_unknown_name_says_which_there_are(terminal: Terminal):
    problem = terminal("images", "build", "dmeo").problem
    assert "no image 'dmeo'" in problem
    assert "demo" in problem


@pytest.mark.usefixtures("no_engine")
def test_a_mistake_in_the_definitions_is_named(terminal: Terminal, definitions: Path):
    definitions.write_text("[definitions.x]\nimage = 1\n")
    assert "line 2: x.image" in terminal("images", "check").problem


@pytest.mark.docker
@pytest.mark.usefixtures("definitions")
def test_the_list_says_what_is_there_for_whom(terminal: Terminal):
    shown = terminal("images", "list")
    assert shown.code == 0
    rows = {cells[0]: cells[1:] for line in shown.out.splitlines() if (cells := line.split())}
    state, megabytes, unit, _, _, *names = rows["agentsite/demo"]
    assert (state, unit, names) == ("present", "MB", ["demo,", "twin"])
    assert int(megabytes) > 10
    assert rows["nowhere.invalid/absent:1"] == ["missing", "absent"]


@pytest.mark.docker
def test_check_is_one_line_for_what_is_missing_or_stale(
    terminal: Terminal, definitions: Path, monkeypatch: pytest.MonkeyPatch
):
    absent = "nowhere.invalid/absent:1 is missing (for absent); run `docker pull nowhere.invalid/absent:1`"
    assert terminal("images", "check") == (1, absent + "\n", "")
    monkeypatch.setattr(Image, "digest", lambda image: "of another version")
    stale = "agentsite/demo is stale: its folder has changed since it was built (for demo, twin); run `{}`"
    command = command_line(["images", "build", "demo"])
    assert terminal("images", "check") == (1, f"{stale.format(command)}\n{absent}\n", "")


@pytest.mark.docker
def test_check_is_content_when_all_is_there(terminal: Terminal, definitions: Path):
    definitions.write_text(DEFINITIONS.split("[definitions.absent]")[0])
    assert terminal("images", "check") == (0, "all images are there: agentsite/demo\n", "")


@pytest.mark.docker
@pytest.mark.usefixtures("definitions")
def test_what_is_current_is_not_built_again(terminal: Terminal):
    assert terminal("images", "build", "demo") == (0, "agentsite/demo:latest is current\n", "")


@pytest.mark.docker
@pytest.mark.usefixtures("definitions")
def test_a_base_image_that_can_not_be_had_is_one_line(terminal: Terminal):
    shown = terminal("images", "build", "demo", "--base-image", "127.0.0.1:1/nothing:1")
    assert shown.code == 1
    assert shown.err.startswith("agentsite: base image 127.0.0.1:1/nothing:1 is not here and cannot be pulled: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("elapsed", "said"),
    [
        ({"seconds": -5}, "0 s"),
        ({"seconds": 59}, "59 s"),
        ({"minutes": 59}, "59 min"),
        ({"hours": 23}, "23 h"),
        ({"days": 400}, "400 d"),
    ],
)
def test_age_is_in_its_largest_unit(elapsed: dict[str, int], said: str):
    assert age(datetime.now(UTC) - timedelta(**elapsed)) == said


def test_what_the_engine_does_not_say_is_left_out():
    assert (age(None), size(None), size(212_345_678)) == ("", "", "212 MB")
