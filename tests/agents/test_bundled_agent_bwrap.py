"""The bundled agent without a container engine: in a sandbox, on a virtual environment that has its packages.

Its process_command is the one of agents.toml; the tests' own environment has the packages.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.runs import commands
from tests.agents.bundled import PATIENCE_S, define
from tests.agents.site import Site, errors
from tests.provider import Call, MockProvider, turn

pytestmark = [pytest.mark.bwrap, pytest.mark.slow, pytest.mark.timeout(240)]
REPOSITORY = Path(__file__).parents[2]
COMMAND = tomllib.loads((REPOSITORY / "agents.toml").read_text())["definitions"]["agent"]["process_command"]


@pytest.fixture
def bwrap_site(parts: Any) -> Iterator[Site]:
    yield from parts.site("bwrap")


def test_the_bundled_agent_works_in_a_sandbox_with_one_line(bwrap_site: Site, provider: MockProvider) -> None:
    site = bwrap_site
    provider.say(turn("I look.", Call("bash", {"command": "echo 'in here' > made.txt; cat made.txt"})), turn("Done."))
    name = define(site, "none", "openai:gpt-5-mini", process_command=COMMAND, venv=sys.prefix)
    site.worker()
    run = commands.submit_run(site.agent(name), "Work.")
    events = site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert events[-1].data["result"] == "Done."
    assert "".join(event.data["content"] for event in events if event.type == "tool-output") == "in here\n"
    assert (site.settings.WORKSPACES_DIR / str(run.agent_id) / "made.txt").read_text() == "in here\n"


def test_without_that_line_its_run_says_what_is_missing(bwrap_site: Site, provider: MockProvider) -> None:
    site = bwrap_site
    name = define(site, "none", "openai:gpt-5-mini", process_command=COMMAND)
    site.worker()
    events = site.end(commands.submit_run(site.agent(name), "Work."), PATIENCE_S)
    assert errors(events) == ["spec-refused"]
    (error,) = [event.data["message"] for event in events if event.type == "error"]
    assert "virtual environment" in error
