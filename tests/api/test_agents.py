"""/api/agents"""

from __future__ import annotations

import uuid

import pytest

from agents.models import Agent, Run
from agents.workspace import Workspace
from streaming.errors import LogMissing
from streaming.model.events import draft
from streaming.store import journal
from tests.api.conftest import field, problem, write

# POST /api/agents --------------------------------------------------------------------------------------------------


def test_post_creates_an_agent_with_log_and_workspace(api):
    status, body = api.call("POST", "/api/agents", {"definition": "demo", "title": "My agent", "metadata": {"a": [1]}})
    assert status == 201
    assert body["title"] == "My agent"
    assert body["metadata"] == {"a": [1]}
    assert body["status"] == "idle"
    assert body["run"] is None
    assert journal.head(body["id"]).tip.seq > 0
    assert Workspace(body["id"]).path.is_dir()
    assert api.get(f"/api/agents/{body['id']}")["title"] == "My agent"


def test_post_with_input_starts_a_run(api, no_worker):
    status, body = api.call("POST", "/api/agents", {"definition": "demo", "input": "Hello"})
    assert status == 201
    assert body["run"]["status"] == "queued"
    assert body["run"]["input"] == "Hello"
    assert body["status"] == "queued"
    assert body["id"] in no_worker
    state = api.get(f"/api/agents/{body['id']}/snapshot")["state"]
    assert [one["run_id"] for one in state["queue"]] == [body["run"]["id"]]


def test_post_says_where_the_agent_is(api):
    response = api.send("POST", "/api/agents", {"definition": "demo"})
    assert response["Location"] == f"/api/agents/{response.json()['id']}"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "definition"),
        ({"definition": ""}, "definition"),
        ({"definition": 1}, "definition"),
        ({"definition": "demo", "title": "x" * 201}, "title"),
        ({"definition": "demo", "title": "a\0b"}, "title"),
        ({"definition": "demo", "title": "\ud800"}, "title"),
        ({"definition": "demo", "title": None}, "title"),
        ({"definition": "demo", "input": ""}, "input"),
        ({"definition": "demo", "input": " \n"}, "input"),
        ({"definition": "demo", "input": ["x"]}, "input"),
        ({"definition": "demo", "input": "a\0b"}, "input"),
        ({"definition": "demo", "input": "\udfff"}, "input"),
        ({"definition": "demo", "metadata": []}, "metadata"),
        ({"definition": "demo", "metadata": {"a": "\0"}}, "metadata"),
        ({"definition": "demo", "metadata": {"\0": 1}}, "metadata"),
        ({"definition": "demo", "metadata": {"a": "\ud800"}}, "metadata"),
        ({"definition": "demo", "metadata": {"\ud800": 1}}, "metadata"),
        ({"definition": "demo", "metadata": {"a": "x" * 20_000}}, "metadata"),
        ({"definition": "demo", "prompt": "x"}, "prompt"),
        ([], "body"),
        ('"text"', "body"),
        (None, "body"),
    ],
)
def test_post_names_the_field_that_is_wrong(api, body, wrong):
    answer = api.call("POST", "/api/agents", body)
    assert problem(answer) == (422, "invalid-input")
    assert field(answer) == wrong
    assert Agent.objects.count() == 0


@pytest.mark.parametrize(
    "raw", ['{"definition":"demo","metadata":{"a":1e999}}', "[" * 100_000, '{"definition":NaN}', "{", "\0"]
)
def test_post_refuses_what_json_can_not_say(api, raw):
    assert api.call("POST", "/api/agents", raw)[0] in (400, 422)


def test_post_refuses_metadata_nested_too_deeply(api):
    raw = '{"definition":"demo","metadata":{"a":' + "[" * 500 + "]" * 500 + "}}"
    assert field(api.call("POST", "/api/agents", raw)) == "metadata"


def test_post_refuses_bytes_that_are_no_text(api):
    assert problem(api.call("POST", "/api/agents", b'{"definition":"\xff"}')) == (400, "invalid-json")


@pytest.mark.parametrize(
    ("value", "what"),
    [("[" * 20_000 + "]" * 20_000, "nested too deeply"), ("9" * 5000, "a number is too large"), ("[", "not JSON")],
)
def test_what_is_wrong_with_a_body_that_can_not_be_read_is_said(api, value, what):
    answer = api.call("POST", "/api/agents", f'{{"definition":"demo","metadata":{{"a":{value}}}}}'.encode())
    assert problem(answer) == (400, "invalid-json")
    assert what in answer[1]["error"]["message"]


def test_post_says_which_definitions_there_are(api):
    answer = api.call("POST", "/api/agents", {"definition": "nobody"})
    assert problem(answer) == (422, "unknown-definition")
    assert field(answer) == "definition"
    assert "demo" in answer[1]["error"]["message"]


def test_post_refuses_input_above_the_limit(api, settings):
    settings.INPUT_MAX_BYTES = 10
    answer = api.call("POST", "/api/agents", {"definition": "demo", "input": "ä" * 6})
    assert problem(answer) == (413, "input-too-large")
    assert field(answer) == "input"
    assert Agent.objects.count() == 0


def test_post_refuses_a_body_too_large_to_be_read(api):
    answer = api.call("POST", "/api/agents", {"definition": "demo", "input": "x" * 3_000_000})
    assert problem(answer) == (413, "too-large")


def test_post_wants_json(api):
    response = api.django.generic(
        "POST", "/api/agents", "definition=demo", content_type="application/x-www-form-urlencoded", headers=api.headers
    )
    assert problem((response.status_code, response.json())) == (415, "unsupported-media-type")


# GET /api/agents ---------------------------------------------------------------------------------------------------


def titles(body):
    return [agent["title"] for agent in body["agents"]]


def make(owner, title, **fields):
    agent = Agent.objects.create(owner=owner, definition=fields.pop("definition", "demo"), title=title, **fields)
    journal.create(str(agent.pk))
    return agent


def test_list_shows_ones_own_those_that_changed_last_first(api, stranger, user):
    for title in ("one", "two", "three"):
        make(user, title)
    assert titles(api.get("/api/agents")) == ["three", "two", "one"]
    assert stranger.get("/api/agents") == {"agents": [], "total": 0, "page": 1, "limit": 50}


def test_list_filters(api, user):
    make(user, "Alpha", status="completed")
    make(user, "100% sure", definition="other", status="failed")
    make(user, "Beta", status="completed")
    assert titles(api.get("/api/agents?status=completed")) == ["Beta", "Alpha"]
    assert titles(api.get("/api/agents?definition=other")) == ["100% sure"]
    assert titles(api.get("/api/agents?q=alph")) == ["Alpha"]
    assert titles(api.get("/api/agents?q=%25")) == ["100% sure"]
    assert titles(api.get("/api/agents?q=OTHER")) == ["100% sure"]
    assert titles(api.get("/api/agents?status=completed&q=beta")) == ["Beta"]


def test_list_pages_with_the_total(api, user):
    for number in range(5):
        make(user, str(number))
    body = api.get("/api/agents?limit=2&page=2")
    assert titles(body) == ["2", "1"]
    assert (body["total"], body["page"], body["limit"]) == (5, 2, 2)
    assert titles(api.get("/api/agents?limit=2&page=4")) == []


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=99999999999999999999", "page"),
        ("status=gone", "status"),
        ("q=%00", "q"),
        ("q=" + "x" * 201, "q"),
        ("definition=%00", "definition"),
        ("archived=perhaps", "archived"),
    ],
)
def test_list_names_the_parameter_that_is_wrong(api, query, wrong):
    assert field(api.call("GET", f"/api/agents?{query}")) == wrong


def test_list_shows_archived_agents_only_when_asked(api, user):
    kept, archived = make(user, "kept"), make(user, "archived")
    assert api.call("PATCH", f"/api/agents/{archived.pk}", {"archived": True})[1]["archived"] is True
    assert titles(api.get("/api/agents")) == ["kept"]
    assert titles(api.get("/api/agents?archived=true")) == ["archived"]
    api.call("PATCH", f"/api/agents/{archived.pk}", {"archived": False})
    assert set(titles(api.get("/api/agents"))) == {"kept", "archived"}
    assert kept.archived_at is None


# GET, PATCH, DELETE /api/agents/{id} ---------------------------------------------------------------------------------

ADDRESSES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("GET", "/snapshot"),
    ("GET", "/events"),
    ("GET", "/runs"),
    ("POST", "/runs"),
    ("POST", "/execute"),
    ("GET", "/files"),
    ("GET", "/files/a"),
    ("PUT", "/files/a"),
    ("DELETE", "/files/a"),
]
BODIES = {"PATCH": {"title": "x"}, "POST": {"input": "x"}}


@pytest.mark.parametrize(("method", "rest"), ADDRESSES)
def test_somebody_elses_missing_and_malformed_agents_are_not_found(stranger, agent_id, method, rest):
    for given in (agent_id, str(uuid.uuid4()), "x", agent_id.replace("-", ""), "%00"):
        answer = stranger.call(method, f"/api/agents/{given}{rest}", BODIES.get(method))
        assert problem(answer) == (404, "not-found")
    assert Agent.objects.count() == 1


@pytest.mark.parametrize(("method", "rest"), ADDRESSES)
def test_without_credentials_everything_is_refused(agent_id, method, rest):
    from tests.api.conftest import ApiClient

    response = ApiClient().send(method, f"/api/agents/{agent_id}{rest}", BODIES.get(method))
    assert problem((response.status_code, response.json())) == (401, "not-authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


def test_patch_renames_in_the_log_too(api, agent_id):
    assert api.call("PATCH", f"/api/agents/{agent_id}", {"title": "Renamed"})[1]["title"] == "Renamed"
    assert api.get(f"/api/agents/{agent_id}/snapshot")["state"]["title"] == "Renamed"


def test_patch_changes_only_what_it_names(api, agent_id):
    before = api.get(f"/api/agents/{agent_id}")
    after = api.call("PATCH", f"/api/agents/{agent_id}", {})[1]
    assert after == before


@pytest.mark.parametrize(
    ("body", "wrong"),
    [({"title": "x" * 201}, "title"), ({"archived": "yes"}, "archived"), ({"status": "idle"}, "status")],
)
def test_patch_names_the_field_that_is_wrong(api, agent_id, body, wrong):
    assert field(api.call("PATCH", f"/api/agents/{agent_id}", body)) == wrong


def test_delete_leaves_nothing_behind(api, agent_id):
    api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"})
    workspace = Workspace(agent_id)
    workspace.write_file("f", [b"x"])
    assert api.call("DELETE", f"/api/agents/{agent_id}") == (204, None)
    assert problem(api.call("GET", f"/api/agents/{agent_id}")) == (404, "not-found")
    assert problem(api.call("DELETE", f"/api/agents/{agent_id}")) == (404, "not-found")
    assert Run.objects.count() == 0
    assert not workspace.path.exists()
    with pytest.raises(LogMissing):
        journal.head(agent_id)


def test_an_agents_status_is_that_of_its_log(api, agent_id):
    write(agent_id, [draft("status", str(uuid.uuid4()), status="running")])
    assert api.get(f"/api/agents/{agent_id}/snapshot")["state"]["status"] == "running"
