"""The form of a new agent, made from its definition: model, tools and budget, never more than that allows."""

from __future__ import annotations

import html as html_of
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic import SecretStr

from agents.definitions import catalog
from agents.fleet import workers
from agents.fleet.redis_client import redis_client
from agents.models import Agent
from agents.pages.forms import OptionsForm, ceilings
from tests.pages.hostile import HOSTILE
from tests.pages.test_list import assert_inert

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]
AGENT_OF_NOBODY = "0193467e-7e2a-7c1f-9d52-00000000dead"
WRITER = """
[definitions.writer]
title = "Writer"
image = "writer"
model = "openai:small"
providers = ["anthropic"]
tools = ["read", "write", "bash"]
sample_prompts = ["Write it."]
[definitions.writer.budget]
cost_usd = 2.0
[definitions.writer.limits]
wall_s = 600
[definitions.other]
image = "other"
model = "anthropic:large"
[definitions.plain]
image = "plain"
"""


@pytest.fixture(autouse=True)
def keys(definitions_file: Path, settings: Any) -> None:
    definitions_file.write_text(WRITER)
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "anthropic": SecretStr("sk-ant-1234567890")}
    settings.RUN_TIME_LIMIT_S = 3600


def page(client: Client) -> str:
    return html_of.unescape(client.get("/agents/new/").content.decode())


def post(client: Client, name: str = "writer", **fields: Any) -> Any:
    given = {"definition": name, f"{name}-options": "1", f"{name}-tools": ["read", "write", "bash"]}
    options = {f"{name}-{field}": value for field, value in fields.items()}
    return client.post("/agents/new/", {**given, **options})


def test_the_form_offers_what_each_definition_lets_one_choose(client: Client) -> None:
    text = page(client)
    for field in ("writer-model", "writer-tools", "writer-cost_usd", "writer-tokens", "writer-minutes"):
        assert f'name="{field}"' in text
    assert text.count('name="writer-tools"') == len(re.findall(r'name="writer-tools"[^>]*checked', text)) == 3
    assert '<option value="anthropic:large">' in text, (
        "a model that another definition names, of a provider allowed here"
    )
    assert "$2.00 at most" in text
    assert "10 min 0 s at most" in text
    assert 'name="plain-minutes"' in text
    assert 'name="plain-model"' not in text
    assert 'name="plain-cost_usd"' not in text


def test_a_provider_that_can_not_be_used_is_said_with_why_and_where_its_key_goes(client: Client, ada: User) -> None:
    text = page(client)
    assert "OpenAI can\u2019t be used:" in text
    assert "OPENAI_API_KEY is not set" in text
    assert "in the admin under Provider keys" in text
    assert "Anthropic: can be used" in text
    assert "/admin/agents/providerkey/" not in text, "who may not go there is not sent there"
    ada.is_staff = True
    ada.save()
    assert "/admin/agents/providerkey/" in page(client)
    assert "sk-ant" not in text


def test_what_is_chosen_is_the_agents(client: Client) -> None:
    made = post(client, model="anthropic:large", tools=["bash", "read"], cost_usd="0.5", tokens="1000", minutes="1.5")
    agent = Agent.objects.get()
    assert made["Location"] == f"/agents/{agent.pk}/"
    assert (agent.model, agent.tools) == ("anthropic:large", ["read", "bash"])
    assert agent.budget == {"cost_usd": 0.5, "tokens": 1000, "wall_s": 90.0}


def test_duplicate_of_an_agent_begins_with_what_was_chosen_for_it(client: Client, stranger: Client) -> None:
    post(client, model="anthropic:large", tools=["bash", "read"], cost_usd="0.5", minutes="1.5")
    address = f"/agents/new/?like={Agent.objects.get().pk}"
    text = html_of.unescape(client.get(address).content.decode())
    assert re.search(r'value="writer"[^>]*checked', text)
    assert re.search(r'name="writer-model" value="anthropic:large"', text)
    assert len(re.findall(r'name="writer-tools"[^>]*checked', text)) == 2
    assert re.search(r'name="writer-cost_usd" value="0.5"', text)
    assert re.search(r'name="writer-minutes" value="1.5"', text)
    for other in ("/agents/new/?like=x", f"/agents/new/?like={AGENT_OF_NOBODY}"):
        assert 'anthropic:large" maxlength' not in client.get(other).content.decode()
    assert 'value="anthropic:large" maxlength' not in stranger.get(address).content.decode(), "it is not her agent"


def test_what_is_left_alone_stays_the_definitions(client: Client) -> None:
    post(client)
    post(client, model="openai:small")
    client.post("/agents/new/", {"definition": "writer"})
    assert list(Agent.objects.values_list("model", "tools", "budget")) == [("", None, {})] * 3


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": "gemini:pro"}, "allows these providers: anthropic, openai"),
        ({"model": "small"}, "a model is written provider:name"),
        ({"model": "anthropic:"}, "a model is written provider:name"),
        ({"tools": []}, "Choose at least one tool."),
        ({"tools": ["read", "rm"]}, "rm is not one of the available choices"),
        ({"cost_usd": "2.01"}, "less than or equal to 2.0"),
        ({"cost_usd": "0"}, "greater than or equal to"),
        ({"cost_usd": "nan"}, "Enter a number"),
        ({"minutes": "11"}, "less than or equal to 10"),
        ({"tokens": "1.5"}, "Enter a whole number"),
        ({"tokens": "-1"}, "greater than or equal to 1"),
    ],
)
def test_what_the_definition_does_not_allow_is_said_beside_the_field(
    client: Client, fields: dict[str, Any], problem: str
) -> None:
    answer = post(client, **fields)
    text = html_of.unescape(answer.content.decode())
    assert answer.status_code == 400
    assert '<p class="field-error" role="alert">' in text
    assert problem in text
    assert '<details class="options" open>' in text, "nobody has to look for it"
    assert not Agent.objects.exists()


def test_options_of_another_definition_are_not_looked_at(client: Client) -> None:
    given = {"definition": "plain", "plain-options": "1", "writer-options": "1", "writer-model": "gemini:pro"}
    assert client.post("/agents/new/", given).status_code == 302
    assert Agent.objects.get().model == ""


ENGINES = """
[definitions.image-only]
image = "a"
[definitions.packages]
image = "a"
process_command = ["{venv}/bin/python", "x"]
[definitions.untrusted]
image = "a"
process_command = ["true"]
[definitions.anywhere]
image = "a"
process_command = ["{venv}/bin/python", "x"]
venv = "/srv/venv"
trusted = true
"""


@pytest.mark.parametrize(
    ("engines", "refused"),
    [
        ([], []),
        (["docker"], []),
        (["bwrap"], ["image-only", "packages"]),
        (["process"], ["image-only", "packages", "untrusted"]),
        (["process", "docker"], []),
    ],
)
def test_what_no_worker_can_run_can_not_be_chosen_and_says_why(
    client: Client, definitions_file: Path, engines: list[str], refused: list[str]
) -> None:
    definitions_file.write_text(ENGINES)
    with redis_client() as redis:
        for engine in engines:
            said = {"worker": engine, "engine": engine, "active": 0, "concurrency": 1, "providers": {}}
            redis.set(f"{workers.PRESENCE}{engine}", json.dumps(said), ex=60)
        try:
            text = page(client)
        finally:
            redis.delete(*[f"{workers.PRESENCE}{engine}" for engine in (*engines, "nobody")])
    choices = re.findall(r'<input type="radio" name="definition"[^>]*>', text, re.DOTALL)
    names = {re.findall(r'value="([^"]+)"', one)[0]: one for one in choices}
    assert [name for name, one in names.items() if " disabled" in one] == refused
    assert text.count("It can\u2019t run here:") == len(refused)
    (chosen,) = [name for name, one in names.items() if "checked" in one]
    assert chosen not in refused
    if "image-only" in refused:
        assert "it says no process_command, so it runs in a container only (Docker or Podman)." in text
    if "packages" in refused:
        assert "a virtual environment that has them (venv)." in text


def test_a_definition_with_a_mistake_is_shown_with_it_and_can_not_be_chosen(
    client: Client, definitions_file: Path
) -> None:
    definitions_file.write_text("[definitions.crooked]\nimage = 5\n" + WRITER)
    text = page(client)
    assert re.search(r'<input type="radio" disabled id="invalid-1"', text)
    assert "It can\u2019t be started: line 2: crooked.image: must be text" in text
    assert 'value="crooked"' not in text
    assert 'value="writer"' in text
    answer = client.post("/agents/new/", {"definition": "crooked"})
    assert answer.status_code == 400
    assert "crooked is not one of the available choices" in html_of.unescape(answer.content.decode())
    assert "line 2: crooked.image" in html_of.unescape(client.get("/").content.decode())


def test_definitions_that_are_hostile_stay_text(client: Client, definitions_file: Path) -> None:
    words = json.dumps([word for word in HOSTILE if "\u202e" not in word])
    first = json.dumps(HOSTILE[1])
    text = f"title = {first}\ndescription = {first}\nmodel = {first}\ntools = {words}\nsample_prompts = {words}\n"
    definitions_file.write_text(f"[definitions.bad]\nimage = 'x'\nproviders = ['openai']\n{text}")
    tags = {"strong", "fieldset", "legend", "details", "summary", "datalist", "textarea"}
    assert_inert(client.get("/agents/new/").content.decode(), tags)


def test_most_time_is_the_least_of_definition_budget_and_site(settings: Any) -> None:
    settings.RUN_TIME_LIMIT_S = 120
    writer = catalog.current().definitions["writer"]
    assert ceilings(writer)["minutes"] == 2
    assert list(OptionsForm(catalog.current().definitions["plain"]).fields) == ["minutes"]
