"""Uploads are held to the size of the workspace and to what the disk has left; new runs to the latter."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from agents.models import Agent, Run
from agents.workspace import FileTooLarge, Workspace, WorkspaceFull
from containers.spec import MIB
from tests.api.conftest import ApiClient, problem

KIB = 1024
DEFINITION = '[definitions.demo]\nimage = "demo"\n[definitions.demo.limits]\nworkspace_mib = 1\n'


@pytest.fixture(autouse=True)
def small(settings: Any) -> None:
    settings.DEFINITIONS_FILE.write_text(DEFINITION)


def put(api: ApiClient, agent_id: str, path: str, size: int) -> tuple[int, Any]:
    address = f"/api/agents/{agent_id}/files/{path}"
    answer = api.django.generic("PUT", address, b"x" * size, "application/octet-stream", headers=api.headers)
    return answer.status_code, answer.json()


# The workspace -----------------------------------------------------------------------------------------------------


def test_workspace_is_not_filled_beyond_its_definition(api: ApiClient, agent_id: str):
    assert [put(api, agent_id, f"{n}.bin", 400 * KIB)[0] for n in range(2)] == [201, 201]
    refused = put(api, agent_id, "2.bin", 400 * KIB)
    assert problem(refused) == (413, "workspace-full")
    assert refused[1]["error"]["message"].startswith("the workspace may hold 1 MiB")
    assert refused[1]["error"]["details"] == {"limit_bytes": MIB}
    assert [file["path"] for file in api.get(f"/api/agents/{agent_id}/files")["files"]] == ["0.bin", "1.bin"]
    assert put(api, agent_id, "small.bin", 100 * KIB)[0] == 201
    assert api.call("DELETE", f"/api/agents/{agent_id}/files/0.bin")[0] == 204
    assert put(api, agent_id, "2.bin", 400 * KIB)[0] == 201


def test_of_several_uploads_at_once_only_those_with_room_pass(
    api: ApiClient, agent_id: str, monkeypatch: pytest.MonkeyPatch
):
    measure = Workspace._room_bytes

    def measure_slowly(workspace: Workspace, path: str, workspace_bytes: int) -> int:
        room_bytes = measure(workspace, path, workspace_bytes)
        time.sleep(0.1)  # what a large workspace takes: others come meanwhile
        return room_bytes

    monkeypatch.setattr(Workspace, "_room_bytes", measure_slowly)
    together = threading.Barrier(6)

    def upload(number: int) -> int:
        try:
            together.wait(timeout=30)
            return put(api, agent_id, f"{number}.bin", 400 * KIB)[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        statuses = list(threads.map(upload, range(6)))
    assert sorted(statuses) == [201, 201, 413, 413, 413, 413]


@pytest.fixture
def workspace(settings: Any, tmp_path: Path) -> Workspace:
    settings.WORKSPACES_DIR = tmp_path / "workspaces"
    made = Workspace(uuid.uuid4())
    made.create()
    return made


def test_length_that_nobody_announced_is_measured_as_it_comes(workspace: Workspace):
    workspace.upload("a", iter([b"x" * 400 * KIB]), 0, MIB)
    with pytest.raises(WorkspaceFull):
        workspace.upload("b", (b"x" * 100 * KIB for _ in range(9)), 0, MIB)
    assert [path.name for path in workspace.path.iterdir()] == ["a"]


def test_file_makes_room_for_what_replaces_it(workspace: Workspace):
    for _ in range(2):
        workspace.upload("a", [b"x" * 900 * KIB], 900 * KIB, MIB)
    (workspace.path / "beyond").write_bytes(b"x" * MIB)
    with pytest.raises(WorkspaceFull):
        workspace.upload("a", [b"x"], 1, MIB)
    workspace.upload("beyond", [b"x"], 1, MIB)


def test_empty_files_and_directories_take_room_too(workspace: Workspace):
    limit_bytes = 16 * 4096
    for n in range(16):
        workspace.upload(f"{n}", [], 0, limit_bytes)
    with pytest.raises(WorkspaceFull):
        workspace.upload("one-more", [], 0, limit_bytes)
    for path in workspace.path.iterdir():
        path.unlink()
    with pytest.raises(WorkspaceFull):
        workspace.upload("/".join("abcdefghijklmnopq"), [], 0, limit_bytes)
    workspace.upload("/".join("abcdefghijklmnop"), [], 0, limit_bytes)


def test_limit_for_one_file_is_still_another(workspace: Workspace, settings: Any):
    settings.UPLOAD_MAX_BYTES = 100 * KIB
    with pytest.raises(FileTooLarge):
        workspace.upload("a", [b"x" * 101 * KIB], 0, MIB)


def test_files_of_an_agent_without_its_definition_can_be_uploaded(api: ApiClient, agent_id: str, settings: Any):
    settings.DEFINITIONS_FILE.write_text('[definitions.other]\nimage = "other"\n')
    assert put(api, agent_id, "a", 1)[0] == 201


# The disk ----------------------------------------------------------------------------------------------------------


def test_almost_full_disk_takes_no_uploads_imports_and_runs(api: ApiClient, agent_id: str, settings: Any):
    runs, body = f"/api/agents/{agent_id}/runs", {"input": "Hello"}
    accepted = api.call("POST", runs, body, **{"Idempotency-Key": "one"})
    assert accepted[0] == 202
    put(api, agent_id, "a", 1)
    export = b"".join(api.send("GET", f"/api/agents/{agent_id}/export").streaming_content)
    settings.MIN_FREE_MIB = 2**40
    for refused in (
        put(api, agent_id, "b", 1),
        api.call("POST", runs, body),
        api.call("POST", "/api/agents", {"definition": "demo", "input": "Hello"}),
        api.call("POST", "/api/agents/import", export),
    ):
        assert problem(refused) == (507, "disk-full")
        assert "AGENTSITE_MIN_FREE_MIB" in refused[1]["error"]["message"]
    assert (Agent.objects.count(), Run.objects.count()) == (1, 1)
    assert api.call("POST", runs, body, **{"Idempotency-Key": "one"})[1]["id"] == accepted[1]["id"]
    assert api.call("DELETE", f"/api/agents/{agent_id}/files/a")[0] == 204


def test_announced_length_counts_for_the_disk(api: ApiClient, agent_id: str, settings: Any, monkeypatch):
    monkeypatch.setattr("agents.workspace.room.shutil.disk_usage", lambda _: type("Usage", (), {"free": 8 * MIB}))
    settings.MIN_FREE_MIB = 7
    settings.DEFINITIONS_FILE.write_text(DEFINITION.replace("= 1\n", "= 100\n"))
    assert put(api, agent_id, "a", MIB)[0] == 201
    assert problem(put(api, agent_id, "b", MIB + 1)) == (507, "disk-full")
