"""GET /api/runs/{id}/diff and /api/agents/{id}/diff"""

from __future__ import annotations

import os

import pytest

from agents.models import Run
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.model.events import draft
from tests.api.conftest import problem, write


def finished(api, agent_id: str, content: str) -> str:
    """A run that wrote that into `notes <b>.txt`, as a supervisor keeps it."""
    status, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})
    assert status == 202
    run_id, workspace, history = body["id"], Workspace(agent_id), History(agent_id)
    history.keep(run_id, "before", workspace)
    workspace.write_file("notes <b>.txt", [content.encode()])
    history.keep(run_id, "after", workspace)
    write(agent_id, [draft("status", run_id, status="running"), draft("done", run_id, status="completed")])
    return str(run_id)


@pytest.fixture
def run_id(api, agent_id):
    return finished(api, agent_id, "a\nb\n")


def test_it_is_in_the_promised_form(api, run_id):
    assert api.get(f"/api/runs/{run_id}/diff") == {
        "files": [
            {
                "path": "notes <b>.txt",
                "status": "added",
                "additions": 2,
                "deletions": 0,
                "diff": "--- /dev/null\n+++ b/notes <b>.txt\t\n@@ -0,0 +1,2 @@\n+a\n+b\n",
                "reason": None,
                "encoding": None,
            }
        ],
        "complete": True,
    }


def test_an_odd_name_is_escaped(api, agent_id):
    _, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})
    workspace, history = Workspace(agent_id), History(agent_id)
    history.keep(body["id"], "before", workspace)
    (workspace.path / os.fsdecode(b"bad\xff\n")).write_text("a\n")
    history.keep(body["id"], "after", workspace)
    (file,) = api.get(f"/api/runs/{body['id']}/diff")["files"]
    assert file["path"] == r"bad\xff\x0a"
    assert file["diff"].splitlines()[1] == r"+++ b/bad\xff\x0a"


def test_of_an_agent_it_is_that_of_the_newest_run_or_of_the_one_asked_for(api, agent_id, run_id):
    second = finished(api, agent_id, "a\nc\n")
    api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "queued"})
    newest = api.get(f"/api/runs/{second}/diff")
    assert newest["files"][0]["diff"].endswith("@@ -1,2 +1,2 @@\n a\n-b\n+c\n")
    assert api.get(f"/api/agents/{agent_id}/diff") == newest
    assert api.get(f"/api/agents/{agent_id}/diff?run={run_id}") == api.get(f"/api/runs/{run_id}/diff")


def test_what_has_no_diff_is_null_with_a_reason(api, agent_id):
    found = api.get(f"/api/runs/{finished(api, agent_id, chr(0))}/diff")["files"][0]
    assert (found["additions"], found["deletions"], found["diff"], found["reason"]) == (None, None, None, "binary")


def test_a_run_that_did_not_begin_changed_nothing(api, agent_id):
    nothing = {"files": [], "complete": True}
    assert api.get(f"/api/agents/{agent_id}/diff") == nothing
    _, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})
    assert api.get(f"/api/runs/{body['id']}/diff") == nothing


def test_a_run_of_which_nothing_is_kept_says_so(api, run_id):
    """It was begun by an older version, or dropped to make room."""
    run = Run.objects.get(pk=run_id)
    run.attempts.create(number=1, engine="process", container_ref="x", worker="w")
    History(run.agent_id).forget({run_id})
    assert api.get(f"/api/runs/{run_id}/diff") == {"files": [], "complete": False}


def test_an_ended_run_is_not_compared_with_what_later_came_to_the_disk(api, agent_id):
    """Its worker could not keep what was there at its end."""
    _, body = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})
    run_id = body["id"]
    History(agent_id).keep(run_id, "before", Workspace(agent_id))
    write(agent_id, [draft("status", run_id, status="running")])
    Workspace(agent_id).write_file("f", [b"x"])
    assert [file["path"] for file in api.get(f"/api/runs/{run_id}/diff")["files"]] == ["f"]
    write(agent_id, [draft("done", run_id, status="failed")])
    assert api.get(f"/api/runs/{run_id}/diff") == {"files": [], "complete": False}


@pytest.mark.parametrize("path", ["runs/{run}/diff", "agents/{agent}/diff", "agents/{agent}/diff?run={run}"])
def test_somebody_elses_is_not_there(stranger, agent_id, run_id, path):
    assert problem(stranger.call("GET", "/api/" + path.format(run=run_id, agent=agent_id))) == (404, "not-found")


@pytest.mark.parametrize("wanted", ["", "x", "%00", "4c54bb80-e18a-46f8-8f05-9cc2b9a2e284"])
def test_a_run_that_is_not_there_is_not_found(api, agent_id, wanted):
    assert problem(api.call("GET", f"/api/agents/{agent_id}/diff?run={wanted}")) == (404, "not-found")


def test_a_run_of_another_agent_of_yours_is_not_this_agents(api, run_id):
    _, other = api.call("POST", "/api/agents", {"definition": "demo"})
    assert problem(api.call("GET", f"/api/agents/{other['id']}/diff?run={run_id}")) == (404, "not-found")
