"""The examples (containers/examples) as agents of a site, with the definitions that their READMEs give."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from agents.models import Agent
from agents.runs import commands
from agents.workspace import Workspace, history
from containers.images.build import EXAMPLES
from tests.agents.site import Site, errors, text, until
from tests.containers.bench import built_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
"""Debian's Node is installed by the first that needs it."""
REPORTS = {"sh": "lines.txt", "python": "words.txt", "node": "json-report.md"}


def definition_of(folder: Path) -> tuple[str, str]:
    """Name and TOML, as the README has it."""
    found = re.search(r"```toml\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found is not None
    (name,) = tomllib.loads(found[1])["definitions"]
    return name, found[1]


@pytest.mark.parametrize("language", REPORTS)
def test_an_example_from_its_readme_to_its_report(docker_site: Site, language: str) -> None:
    """Its work, then a question that is answered, then one over which it is cancelled."""
    site, report = docker_site, REPORTS[language]
    asyncio.run(built_image(f"example-{language}"))
    name, block = definition_of(EXAMPLES / language)
    site._definitions[name] = block
    site.define()
    site.worker()
    agent = site.agent(name)
    Workspace(agent.pk).write_file("a.json", [b'{"some": "words"}\n'])

    first = commands.submit_run(agent, "Have a look")
    events = site.end(first)
    assert (errors(events), events[-1].data["status"]) == ([], "completed")
    assert "You asked: Have a look\n" in text(events)
    assert f"Wrote {report}" in text(events)
    assert events[-1].data["tool_calls"] == 1
    assert [event for event in events if event.type == "tool-output"]
    assert "log" not in {event.type for event in events}
    first.refresh_from_db()
    assert [(file.path, file.status) for file in history.of_run(first).files] == [(report, "added")]

    second = commands.submit_run(agent, "And again")
    wait_question(site, agent)
    site.wait_status(second, "waiting")
    commands.answer_approval(second, "replace", "no", "ada")
    events = site.end(second)
    assert (errors(events), events[-1].data["status"]) == ([], "completed")
    assert f"Kept {report} as it was." in text(events)

    third = commands.submit_run(agent, "Never mind")
    site.wait_status(third, "waiting")
    commands.request_cancel(third)
    events = site.end(third)
    assert (errors(events), events[-1].data["status"]) == ([], "cancelled")


def wait_question(site: Site, agent: Agent) -> None:
    until(lambda: [one for one in site.state(agent)["approvals"] if one["decision"] is None], "it asks")
