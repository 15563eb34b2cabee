"""/api/definitions, /api/models, /api/mcp-servers, /api/providers"""

from __future__ import annotations

import json

import redis
from django.conf import settings as site
from pydantic import SecretStr


def test_definitions_say_what_can_be_run_and_keep_what_is_nobodys_business(api):
    body = api.get("/api/definitions")
    assert body["problem"] is None
    demo = body["definitions"][0]
    assert (demo["name"], demo["title"], demo["model"], demo["trusted"]) == ("demo", "Demo", "small", True)
    assert demo["limits"]["wall_s"] == site.RUN_TIME_LIMIT_S
    assert demo["mcp_servers"] == ["search"]
    assert "nobody's business" not in str(body)
    assert "secret" not in str(body)


def test_a_mistake_in_the_file_is_named_and_the_last_good_definitions_stay(api):
    api.get("/api/definitions")
    site.DEFINITIONS_FILE.write_text('[definitions.demo]\nimage = "demo"\nlimit = 3\n')
    body = api.get("/api/definitions")
    assert "line 3" in body["problem"]
    assert "limit" in body["problem"]
    assert [found["name"] for found in body["definitions"]] == ["demo"]
    assert body["invalid"] == [{"name": "demo", "mistake": "line 3: demo.limit: is not a known field"}]


def test_an_agent_of_a_definition_with_a_mistake_is_refused_with_the_mistake(api):
    site.DEFINITIONS_FILE.write_text("[definitions.fresh]\nimage = 5\n")
    assert [one["name"] for one in api.get("/api/definitions")["invalid"]] == ["fresh"]
    status, body = api.call("POST", "/api/agents", {"definition": "fresh"})
    assert (status, body["error"]["code"]) == (422, "invalid-definition")
    assert "line 2: fresh.image" in body["error"]["message"]
    assert body["error"]["details"]["field"] == "definition"


def test_models_and_mcp_servers_are_those_that_definitions_name(api):
    assert api.get("/api/models") == {
        "models": [{"name": "small", "definitions": ["demo", "other"], "provider": None, "usable": False}]
    }
    assert api.get("/api/mcp-servers") == {"mcp_servers": [{"name": "search", "definitions": ["demo"]}]}


def test_providers_are_usable_when_their_key_is_there_and_the_key_is_never_shown(api, settings):
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "openai": SecretStr("sk-secret")}
    body = api.get("/api/providers")
    reasons = {provider["name"]: provider["reason"] for provider in body["providers"]}
    assert reasons["openai"] is None
    assert reasons["gemini"] == "GEMINI_API_KEY is not set, and the admin has no key for it"
    assert reasons["ollama"] == "OLLAMA_BASE_URL is not set"
    assert {provider["name"]: provider["usable"] for provider in body["providers"]} == {
        "openai": True,
        "anthropic": False,
        "gemini": False,
        "ollama": False,
    }
    assert "secret" not in str(body)


def test_what_can_be_run_is_for_users_only(db):
    from tests.api.conftest import ApiClient

    for path in ("definitions", "models", "mcp-servers", "providers"):
        assert ApiClient().call("GET", f"/api/{path}")[0] == 401


def test_providers_are_those_of_the_workers_which_have_the_keys(api, settings):
    settings.PROVIDER_KEYS = {**settings.PROVIDER_KEYS, "openai": SecretStr("sk-of-the-web-process")}
    settings.DEFINITIONS_FILE.write_text('[definitions.demo]\nimage = "demo"\nmodel = "gemini:gemini-2.5-flash"\n')
    without = dict.fromkeys(("openai", "anthropic", "gemini", "ollama"), "no key")
    said = {"one": without, "two": {**without, "gemini": None}}
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for worker, providers in said.items():
            client.set(f"agentsite:worker:{worker}", json.dumps({"worker": worker, "providers": providers}), ex=30)
        try:
            found = {one["name"]: one["reason"] for one in api.get("/api/providers")["providers"]}
            models = api.get("/api/models")["models"]
        finally:
            client.delete(*(f"agentsite:worker:{worker}" for worker in said))
    assert found == {**without, "gemini": None}
    assert [(one["provider"], one["usable"]) for one in models] == [("gemini", True)]
