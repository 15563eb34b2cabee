"""Who may call, and what is answered to what is wrong. Always JSON, never a traceback."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client

from agents.auth.credentials import UNKNOWN_TOKEN
from tests.api.conftest import ApiClient, on_postgres, problem

# Who may call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Bearer as_wrong", "Bearer", "Basic eDp5", "as_wrong", "Bearer \xff", ""])
def test_a_wrong_token_is_refused(api, header):
    response = ApiClient().send("GET", "/api/agents", Authorization=header)
    assert problem((response.status_code, response.json())) == (401, "not-authenticated")
    assert response["WWW-Authenticate"] == "Bearer"
    said = response.json()["error"]["message"]
    assert said == (UNKNOWN_TOKEN if header.startswith("Bearer ") else "send a token as Authorization: Bearer <token>")


def test_who_sends_nothing_is_asked_for_a_token(api):
    assert ApiClient().call("GET", "/api/agents")[1]["error"]["message"] == "log in, or send a token"


def test_a_wrong_token_is_not_made_good_by_a_session(api, user):
    client = ApiClient()
    client.django.force_login(user)
    assert client.call("GET", "/api/agents")[0] == 200
    assert client.call("GET", "/api/agents", Authorization="Bearer as_wrong")[0] == 401


def browser(user) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def post(client: Client, **headers: str):
    response = client.post("/api/agents", {"definition": "demo"}, content_type="application/json", headers=headers)
    return response.status_code, response.json()


def test_a_session_reads_without_and_writes_only_with_a_csrf_token(user):
    client = browser(user)
    assert client.get("/api/agents").status_code == 200
    assert problem(post(client)) == (403, "csrf-failed")
    token = "a" * 32
    client.cookies["csrftoken"] = token
    assert problem(post(client)) == (403, "csrf-failed")
    assert problem(post(client, **{"X-CSRFToken": "b" * 32})) == (403, "csrf-failed")
    assert post(client, **{"X-CSRFToken": token})[0] == 201


def test_a_page_of_another_site_can_not_write(user):
    client = browser(user)
    client.cookies["csrftoken"] = token = "a" * 32
    headers = {"X-CSRFToken": token, "Origin": "https://elsewhere.example"}
    assert problem(post(client, **headers)) == (403, "csrf-failed")


@pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", "127.0.0.1@evil.example", "x" * 300])
def test_a_wrong_host_is_refused_in_json_under_every_address_of_the_api(settings, host):
    settings.ALLOWED_HOSTS = ["testserver"]
    client = ApiClient()
    for path in ("/api/agents", "/api/nothing", "/api", "/api/openapi.json", "/api/docs", "/api/feed", "/healthz"):
        answer = client.call("GET", path, Host=host)
        assert problem(answer) == (400, "bad-request")
        assert "AGENTSITE_ALLOWED_HOSTS" in answer[1]["error"]["message"]
    assert client.send("GET", "/login/", Host=host)["Content-Type"].startswith("text/html")  # people get a page


def test_a_database_that_is_away_before_any_view_is_asked_is_unavailable_in_json(monkeypatch):
    def fail(self, request):
        raise OperationalError("gone")

    monkeypatch.setattr("django.middleware.common.CommonMiddleware.process_request", fail)
    client = ApiClient()
    assert problem(client.call("GET", "/api/definitions")) == (503, "database-unavailable")


def test_a_mistake_of_ours_before_any_view_is_asked_is_an_internal_error_in_json(monkeypatch):
    monkeypatch.setattr("django.middleware.common.CommonMiddleware.process_request", lambda self, request: 1 / 0)
    assert problem(ApiClient().call("GET", "/api/definitions")) == (500, "internal-error")


def test_a_token_needs_no_csrf(api):
    api.django.handler.enforce_csrf_checks = True
    assert api.call("POST", "/api/agents", {"definition": "demo"})[0] == 201


def test_without_credentials_csrf_is_not_even_asked_for(db):
    assert problem(post(Client(enforce_csrf_checks=True))) == (401, "not-authenticated")


# What is not there -------------------------------------------------------------------------------------------------

NOWHERE = [
    "/api",
    "/api/",
    "/api/x",
    "/api/agents/",
    "/api/agents/x/y",
    "/api/agents/x/diffs",
    "/api/docs/../x",
    "/api/%00",
]


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_is_not_found_in_json(api, method, path):
    assert problem(api.call(method, path)) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/agents", "GET, POST"),
        ("POST", "/api/agents/x", "DELETE, GET, PATCH"),
        ("GET", "/api/runs/x/cancel", "POST"),
        ("OPTIONS", "/api/agents", "GET, POST"),
        ("TRACE", "/api/agents", "GET, POST"),
        ("GET", "/api/agents/x/execute", "POST"),
        ("POST", "/api/agents/x/diff", "GET"),
        ("NONSENSE", "/api/agents", "GET, POST"),
    ],
)
def test_a_wrong_method_is_said_in_json(api, method, path, allowed):
    response = api.send(method, path)
    assert problem((response.status_code, response.json())) == (405, "method-not-allowed")
    assert response["Allow"] == allowed


def test_streams_need_the_asgi_application(api, agent_id):
    assert problem(api.call("GET", f"/api/agents/{agent_id}/stream")) == (501, "streams-need-asgi")


# What is not well --------------------------------------------------------------------------------------------------


def test_a_mistake_of_ours_is_500_without_a_word_about_it(api, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("agents.api.definitions.catalog.current", broken)
    answer = api.call("GET", "/api/definitions")
    assert problem(answer) == (500, "internal-error")
    assert "secret" not in str(answer)


def test_without_redis_everything_stored_is_read_and_written(api, healthy_redis, agent_id):
    healthy_redis.stop()
    assert api.call("GET", f"/api/agents/{agent_id}/snapshot")[0] == 200
    assert api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"})[0] == 202


@on_postgres
def test_without_the_database_calls_are_asked_to_come_back(api, agent_id, database_away):
    for method, path in (("GET", "/api/agents"), ("POST", f"/api/agents/{agent_id}/runs")):
        response = api.send(method, path, {"input": "x"} if method == "POST" else None)
        assert problem((response.status_code, response.json())) == (503, "database-unavailable")
        assert response["Retry-After"] == "2"
