"""Model, tools and budget of an agent, chosen when it is made: over the API, into its runs, along with an export."""

from __future__ import annotations

import pytest
from django.conf import settings as site_settings

from agents.definitions import Definition
from agents.errors import InputInvalid
from agents.models import Agent
from agents.runs import choices, commands
from tests.api.conftest import field, problem

pytestmark = pytest.mark.django_db(transaction=True)
WRITER = """
[definitions.writer]
image = "writer"
model = "openai:small"
providers = ["anthropic"]
tools = ["read", "write"]
budget = { cost_usd = 2.0 }
[definitions.demo]
image = "demo"
"""


@pytest.fixture(autouse=True)
def definitions(site) -> None:
    site_settings.DEFINITIONS_FILE.write_text(WRITER)


def test_an_agent_keeps_what_was_chosen_and_its_runs_are_held_to_it(api):
    chosen = {"model": "anthropic:large", "tools": ["write"], "budget": {"cost_usd": 0.5, "tokens": 100}}
    status, agent = api.call("POST", "/api/agents", {"definition": "writer", "input": "x", **chosen})
    assert status == 201
    assert {name: agent[name] for name in chosen} == chosen
    assert agent["run"]["budget"] == chosen["budget"]
    path = f"/api/agents/{agent['id']}/runs"
    narrower = api.call("POST", path, {"input": "y", "budget": {"cost_usd": 1.0, "tokens": 10}})[1]
    assert narrower["budget"] == {"cost_usd": 0.5, "tokens": 10}


def test_what_is_not_chosen_is_the_definitions(api):
    agent = api.call("POST", "/api/agents", {"definition": "writer"})[1]
    assert (agent["model"], agent["tools"], agent["budget"]) == (None, None, {})
    (writer,) = [one for one in api.get("/api/definitions")["definitions"] if one["name"] == "writer"]
    assert (writer["providers"], writer["tools"]) == (["anthropic", "openai"], ["read", "write"])


@pytest.mark.parametrize(
    ("chosen", "blamed"),
    [
        ({"model": "gemini:pro"}, "model"),
        ({"model": "large"}, "model"),
        ({"tools": []}, "tools"),
        ({"tools": ["write", "rm"]}, "tools"),
        ({"budget": {"cost_usd": 3.0}}, "budget.cost_usd"),
    ],
)
def test_nothing_wider_than_the_definition_is_taken(api, chosen, blamed):
    answer = api.call("POST", "/api/agents", {"definition": "writer", **chosen})
    assert problem(answer) == (422, "invalid-input")
    assert field(answer) == blamed
    assert not Agent.objects.exists()


def test_a_definition_that_was_narrowed_since_holds_for_older_agents(api):
    agent = api.call("POST", "/api/agents", {"definition": "writer", "model": "anthropic:large"})[1]
    site_settings.DEFINITIONS_FILE.write_text(WRITER.replace('providers = ["anthropic"]', ""))
    answer = api.call("POST", f"/api/agents/{agent['id']}/runs", {"input": "x"})
    assert (problem(answer), field(answer)) == ((422, "invalid-input"), "model")


def test_the_definition_that_runs_is_the_chosen_one():
    writer = Definition(name="w", image="w", model="openai:small", providers=["anthropic"], tools=["read", "write"])
    config = choices.applied(writer, "anthropic:large", ["read"]).config()
    assert (config["model"], config["tools"]) == ("anthropic:large", ["read"])
    assert choices.applied(writer, "", None) == writer
    for model, tools in (("gemini:pro", None), ("", ["bash"]), ("", [])):
        with pytest.raises(InputInvalid):
            choices.applied(writer, model, tools)


def test_an_export_takes_the_choices_along_and_an_import_is_held_to_the_definition(api, user):
    agent, _ = commands.create_agent(user, "writer", model="anthropic:large", tools=["read"])
    lines = b"".join(api.send("GET", f"/api/agents/{agent.pk}/export").streaming_content)
    again = api.django.generic(
        "POST", "/api/agents/import", lines, content_type="application/jsonl", headers=api.headers
    ).json()
    assert (again["model"], again["tools"]) == ("anthropic:large", ["read"])
    site_settings.DEFINITIONS_FILE.write_text(WRITER.replace('"read", ', ""))
    for address, status in (("/api/agents/import", 422), ("/api/agents/import?definition=demo", 201)):
        answer = api.django.generic("POST", address, lines, content_type="application/jsonl", headers=api.headers)
        assert answer.status_code == status, answer.content
