"""Whatever a definition asks for, or no longer does: a clear event, one `done`, and a worker that goes on."""

from __future__ import annotations

import json

import pytest

from agents.definitions.catalog import _file as catalog_file
from agents.errors import DefinitionInvalid
from agents.runs import commands
from tests.agents.bad_program import run_bad
from tests.agents.site import Site, errors, statuses


@pytest.mark.docker
def test_a_missing_image_is_named_with_what_to_do(docker_site: Site) -> None:
    events = run_bad(docker_site, "", image="nowhere/nothing:1")
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["code"] == "image-missing"
    assert "docker pull nowhere/nothing:1" in error.data["message"]
    assert statuses(events) == ["queued", "running", "failed"]


@pytest.mark.docker
@pytest.mark.parametrize("image", ["UPPER/Case", "a b", "-x", "../../etc", "x" * 500, "agentsite/base:no:such"])
def test_a_name_that_can_be_no_image_ends_the_run(docker_site: Site, image: str) -> None:
    events = run_bad(docker_site, "", image=image)
    assert errors(events)[0] in ("image-missing", "start-failed", "spec-refused")
    assert events[-1].data["status"] == "failed"


def test_a_command_that_is_not_there_ends_the_run(any_site: Site) -> None:
    events = run_bad(any_site, "", command=["/no/such/program"], process_command=["/no/such/program"])
    assert errors(events) in (["container-exit"], ["start-failed"])
    assert "no such" in json.dumps([event.data for event in events]).lower()


def test_what_is_not_trusted_does_not_run_without_isolation(site: Site) -> None:
    events = run_bad(site, "", trusted=False)
    assert errors(events) == ["spec-refused"]


def test_a_definition_removed_meanwhile_ends_the_run(site: Site) -> None:
    agent = site.agent(site.define("gone", ""))
    run = commands.submit_run(agent, "go")
    site.forget("gone")
    site.ask_worker(site.worker(), str(agent.pk))
    events = site.end(run)
    assert errors(events) == ["unknown-definition"]
    assert statuses(events) == ["queued", "failed"]


def test_a_definition_with_a_mistake_can_not_be_started_and_says_so(site: Site) -> None:
    agent = site.agent(site.define("other", ""))
    run = commands.submit_run(agent, "go")
    site.file.write_text('[definitions.other]\nimage = 5\n[definitions.fine]\nimage = "a"\n')
    catalog_file.cache_clear()  # as a process does that has not read the file before
    with pytest.raises(DefinitionInvalid, match=r"'other' has a mistake in agents.toml, line 2: other.image: "):
        commands.create_agent(site.owner, "other", input="go")
    with pytest.raises(DefinitionInvalid):
        commands.submit_run(agent, "go")
    site.ask_worker(site.worker(), str(agent.pk))
    events = site.end(run)
    assert errors(events) == ["invalid-definition"]
    assert statuses(events) == ["queued", "failed"]


def test_a_definition_narrowed_meanwhile_ends_the_run_of_an_agent_that_was_made_with_more(site: Site) -> None:
    site.define("writer", "", tools=["read", "write"])
    agent, _ = commands.create_agent(site.owner, "writer", tools=["write"])
    run = commands.submit_run(agent, "go")
    site.define("writer", "", tools=["read"])
    site.ask_worker(site.worker(), str(agent.pk))
    events = site.end(run)
    assert errors(events) == ["choice-not-allowed"]
    assert "'write'" in events[-3].data["message"]
    assert statuses(events) == ["queued", "failed"]


def test_a_program_is_told_the_model_and_tools_that_were_chosen(site: Site) -> None:
    site.worker()
    code = 'say("text", content=json.dumps([start["config"]["model"], start["config"]["tools"]]))'
    site.define("writer", code, tools=["read", "write"], model="openai:small", providers=["anthropic"])
    _, run = commands.create_agent(site.owner, "writer", input="go", model="anthropic:large", tools=["write"])
    assert run is not None
    assert site.end(run)[-1].data["result"] == '["anthropic:large", ["write"]]'


def test_a_broken_file_of_definitions_leaves_the_last_good_ones(site: Site) -> None:
    site.worker()
    agent = site.agent(site.define("fine", ""))
    site.file.write_text(site.file.read_text() + "\n[definitions.fine2]\nimage = 5\n")
    assert site.end(commands.submit_run(agent, "go"))[-1].data["status"] == "completed"


def test_without_an_engine_a_run_ends_and_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.worker.execution.control_signals.START_PATIENCE_S", 0.5)
    site.settings.ENGINE = "docker"
    site.settings.DOCKER_HOST = "unix:///nonexistent.sock"
    site.worker()
    agent = site.agent(site.define("fine", ""))
    events = site.end(commands.submit_run(agent, "go"))
    (error,) = [event for event in events if event.type == "error"]
    assert (error.data["code"], error.data["retryable"]) == ("engine-unavailable", True)
    site.settings.ENGINE = "process"
    assert site.end(commands.submit_run(agent, "again"))[-1].data["status"] == "completed"
