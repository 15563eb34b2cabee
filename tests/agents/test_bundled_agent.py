"""The bundled agent on a site: its image, the worker's gateway, and a mock of every provider behind that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from agents.runs import commands
from tests.agents.bundled import ITS_OWN, PATIENCE_S, define, said
from tests.agents.site import Site, errors
from tests.images.agent_driving import GOLDEN, MODELS
from tests.images.test_agent_conversation import FIVE_STEPS
from tests.provider import Call, MockProvider, turn

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
"""Whoever is first builds the image."""


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_conversation_of_five_steps_is_the_same_log_with_every_provider(
    docker_site: Site, provider: MockProvider, agent_image: str, model: str
) -> None:
    site = docker_site
    provider.say(*FIVE_STEPS)
    agent = site.agent(define(site, agent_image, model))
    (site.settings.WORKSPACES_DIR / str(agent.pk)).mkdir(exist_ok=True)
    notes = site.settings.WORKSPACES_DIR / str(agent.pk) / "notes.txt"
    notes.write_text("one\ntwo\n")
    notes.chmod(0o666)
    site.worker()
    run = commands.submit_run(agent, "Work.")
    events = site.end(run, PATIENCE_S)
    assert errors(events) == []
    assert events[-1].data["status"] == "completed"
    golden = map(json.loads, (GOLDEN / "five-steps.jsonl").read_text().splitlines())
    assert said(events) == [line for line in golden if line["type"] in ITS_OWN]
    assert events[-1].data["result"] == "Done: **three** lines."
    assert notes.read_text() == "one\ntwo\nthree\n"
    usages = [event for event in events if event.type == "usage"]
    assert [usage.data["model"] for usage in usages] == [model] * 6
    assert events[-1].data["usage"] == usages[-1].data["total"]
    assert events[-1].data["usage"]["input_tokens"] > 0


def test_a_command_that_needs_approval_waits_over_the_death_of_its_worker(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    site = docker_site
    provider.say(turn("I remove it.", Call("bash", {"command": "rm notes.txt"})), turn("Then not."))
    name = define(site, agent_image, "anthropic:claude-haiku-5-5", approvals=["bash:rm *"])
    first = site.worker()
    run = site.start(name, "Tidy up.")
    site.wait_status(run, "waiting", patience_s=PATIENCE_S)
    (asked,) = [event.data for event in site.log(run) if event.type == "approval-request"]
    assert "rm notes.txt" in asked["question"]
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    commands.answer_approval(run, asked["approval_id"], "deny", "ada", "it is dear to me")
    events = site.end(run, PATIENCE_S)
    assert errors(events) == []
    (result,) = [event.data for event in events if event.type == "tool-result"]
    assert result["is_error"]
    assert "it is dear to me" in json.dumps(provider.requests[-1].body)
    assert len(provider.requests) == 2  # nothing was asked twice


def test_a_run_over_its_budget_is_stopped_within_one_model_call(
    docker_site: Site, provider: MockProvider, agent_image: str
) -> None:
    site = docker_site
    provider.say(*[turn(f"Step {at}.", Call("bash", {"command": "true"})) for at in range(10)])
    name = define(site, agent_image, "openai:gpt-5-mini", budget={"model_calls": 3})
    site.worker()
    events = site.end(site.start(name, "Go on for ever."), PATIENCE_S)
    assert errors(events)[-1] == "budget-exceeded"
    assert events[-1].data["status"] == "failed"
    assert len(provider.requests) == 3
    assert [event.data["kind"] for event in events if event.type == "budget"] == ["model_calls"]


def test_what_a_provider_refuses_is_said_with_what_to_do(
    docker_site: Site, provider: MockProvider, agent_image: str, settings: Any
) -> None:
    site = docker_site
    settings.PROVIDER_KEYS = {name: SecretStr("") for name in settings.PROVIDER_KEYS}
    site.worker()
    events = site.end(site.start(define(site, agent_image, "openai:gpt-5-mini"), "Go."), PATIENCE_S)
    (error,) = [event.data for event in events if event.type == "error"]
    assert error["code"] == "provider-not-configured"
    assert error["message"].startswith("OPENAI_API_KEY is not set")
