"""/api/agents/{id}/files"""

from __future__ import annotations

import json
import os
import uuid
from urllib.parse import quote

import pytest

from agents.workspace import Workspace
from streaming.model.events import draft
from tests.api.conftest import field, over_asgi, problem, write


@pytest.fixture
def put(api, agent_id):
    def send(path: str, content: bytes = b"x", **headers: str):
        response = api.django.generic(
            "PUT",
            f"/api/agents/{agent_id}/files/{quote(path)}",
            content,
            content_type="application/octet-stream",
            headers={**api.headers, **headers},
        )
        return response.status_code, response.json()

    return send


@pytest.fixture
def fetch(api, agent_id):
    def send(path: str, query: str = ""):
        return api.send("GET", f"/api/agents/{agent_id}/files/{quote(path)}{query}")

    return send


def body(response) -> bytes:
    content = b"".join(response.streaming_content)
    response.close()
    return content


# List --------------------------------------------------------------------------------------------------------------


def test_list_of_a_new_agent_is_empty(api, agent_id):
    assert api.get(f"/api/agents/{agent_id}/files") == {"files": [], "complete": True}


def test_list_shows_path_size_and_time(api, agent_id, put):
    put("b/ünï 😀.txt", b"12345")
    put("a", b"")
    files = api.get(f"/api/agents/{agent_id}/files")["files"]
    assert [(file["path"], file["size"]) for file in files] == [("a", 0), ("b/ünï 😀.txt", 5)]
    assert files[0]["modified_at"].endswith("Z")


def test_list_says_when_there_is_more(api, agent_id, put, settings):
    settings.WORKSPACE_SCAN_FILES = 1
    put("a")
    put("b")
    assert api.get(f"/api/agents/{agent_id}/files")["complete"] is False


# Upload ------------------------------------------------------------------------------------------------------------


def test_an_uploaded_file_is_there_and_in_the_log(api, agent_id, put, fetch):
    status, answer = put("data/in.csv", b"a,b\n1,2\n")
    assert (status, answer["path"], answer["size"]) == (201, "data/in.csv", 8)
    assert body(fetch("data/in.csv")) == b"a,b\n1,2\n"
    (event,) = api.get(f"/api/agents/{agent_id}/events")["events"]
    assert event["type"] == "files"
    assert event["data"]["changes"][0]["change"] == "added"
    assert api.get(f"/api/agents/{agent_id}/snapshot")["state"]["files"]["data/in.csv"]["size"] == 8


def test_a_second_upload_replaces_the_first(api, agent_id, put, fetch):
    put("f", b"old")
    assert put("f", b"new and longer")[0] == 200
    assert body(fetch("f")) == b"new and longer"
    assert len(api.get(f"/api/agents/{agent_id}/files")["files"]) == 1


def test_an_upload_while_a_run_is_active_is_left_to_its_supervisor(api, agent_id, put):
    write(agent_id, [draft("status", str(uuid.uuid4()), status="running")])
    assert put("f")[0] == 201
    assert [event["type"] for event in api.get(f"/api/agents/{agent_id}/events")["events"]] == ["status"]


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 1000])
def test_any_bytes_come_back_as_they_were(put, fetch, content):
    put("f.bin", content)
    response = fetch("f.bin")
    assert body(response) == content
    assert response["Content-Length"] == str(len(content))


def test_an_upload_above_the_limit_is_refused_before_it_is_read(settings, api, agent_id, put):
    settings.UPLOAD_MAX_BYTES = 10
    assert problem(put("f", b"x" * 11)) == (413, "file-too-large")
    assert put("f", b"x" * 10)[0] == 201
    assert api.get(f"/api/agents/{agent_id}/files")["files"][0]["size"] == 10


STRANGE = [
    "../f",
    "a/../f",
    "/f",
    "a//f",
    "./f",
    "f/",
    "a\0b",
    "a\tb",
    "a\nb",
    "a\n",
    "\r",
    "\x7f",
    "n" * 256,
    "d/" * 70 + "f",
]


@pytest.mark.parametrize("path", STRANGE)
def test_a_path_that_could_mean_something_else_is_refused(api, agent_id, put, fetch, path):
    assert problem(put(path)) == (422, "invalid-path")
    assert field(put(path)) == "path"
    for method in ("GET", "DELETE"):
        answer = api.call(method, f"/api/agents/{agent_id}/files/{quote(path)}")
        assert problem(answer) == (422, "invalid-path")
    assert api.get(f"/api/agents/{agent_id}/files")["files"] == []


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_a_path_that_is_not_utf_8_is_refused(api, agent_id, method):
    """A server hands on U+FFFD for it: %FE and %FF would be one file."""
    status, pieces = await over_asgi(api, method, f"/api/agents/{agent_id}/files/%FE.bin")
    assert problem((status, json.loads(b"".join(pieces)))) == (422, "invalid-path")
    assert (await over_asgi(api, "PUT", f"/api/agents/{agent_id}/files/%EF%BF%BD"))[0] == 201


def test_an_upload_over_a_directory_is_a_conflict(put):
    put("d/f")
    assert problem(put("d")) == (409, "path-taken")
    assert problem(put("d/f/g")) == (409, "path-taken")


# Download ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type", "disposition"),
    [
        ("chart.png", "image/png", "inline"),
        ("chart.SVG", "image/svg+xml", "inline"),
        ("photo.jpeg", "image/jpeg", "inline"),
        ("report.md", "text/plain; charset=utf-8", "inline"),
        ("data.csv", "text/plain; charset=utf-8", "inline"),
        ("page.html", "text/plain; charset=utf-8", "inline"),
        ("page.xhtml", "application/octet-stream", "attachment"),
        ("paper.pdf", "application/octet-stream", "attachment"),
        ("run.swf", "application/octet-stream", "attachment"),
        ("chart.svgz", "application/octet-stream", "attachment"),
        ("noending", "application/octet-stream", "attachment"),
        (".png", "application/octet-stream", "attachment"),
    ],
)
def test_only_images_and_text_are_shown_and_nothing_runs(put, fetch, path, content_type, disposition):
    put(path, b"<script>alert(1)</script>")
    response = fetch(path)
    assert response["Content-Type"] == content_type
    assert response["Content-Disposition"].startswith(disposition)
    assert response["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "script" not in response["Content-Security-Policy"]
    response.close()


WRITTEN = [
    ("utf-8", "utf-8"),
    ("utf-8-sig", "utf-8"),
    ("ascii", "utf-8"),
    ("cp1252", "windows-1252"),
    ("latin-1", "windows-1252"),
    ("gbk", "gb18030"),
    ("shift_jis", "shift_jis"),
    ("utf-16", "utf-16"),
    ("utf-16-le", "utf-16le"),
    ("utf-16-be", "utf-16be"),
]
SAMPLES = {"gbk": "姓名,金额\n张三,12\n", "shift_jis": "名前,金額\n山田,12\n", "ascii": "a,b\n"}


@pytest.mark.parametrize(("codec", "charset"), WRITTEN)
def test_text_is_served_with_the_charset_that_it_is_written_in(put, fetch, codec, charset):
    text = SAMPLES.get(codec, "Müller,5\n")
    put("a.csv", text.encode(codec))
    response = fetch("a.csv")
    assert response["Content-Type"] == f"text/plain; charset={charset}"
    assert response["Content-Disposition"].startswith("inline")
    content = body(response)
    assert content == text.encode(codec)
    assert content.decode(charset).removeprefix("\ufeff") == text


@pytest.mark.parametrize("content", [bytes(range(256)), "città\n".encode("utf-32")])
def test_what_no_browser_shows_as_text_is_to_be_saved_whatever_its_name(put, fetch, content):
    put("a.txt", content)
    response = fetch("a.txt")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert body(response) == content


def test_the_charset_is_found_in_the_beginning_of_a_large_file(put, fetch):
    content = "Müller\n".encode("cp1252") * 200_000
    put("a.txt", content)
    response = fetch("a.txt")
    assert response["Content-Type"] == "text/plain; charset=windows-1252"
    assert body(response) == content


def test_anything_can_be_saved(put, fetch):
    put('ünï "x".png', b"x")
    response = fetch('ünï "x".png', "?download=true")
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''%C3%BCn%C3%AF%20%22x%22.png"
    response.close()


def test_links_directories_and_missing_files_are_not_found(api, agent_id, put, tmp_path):
    put("d/f")
    workspace = Workspace(agent_id).path
    (tmp_path / "secret").write_text("not for agents")
    (workspace / "link").symlink_to(tmp_path / "secret")
    (workspace / "up").symlink_to(tmp_path)
    os.mkfifo(workspace / "pipe")
    for path in ("link", "up/secret", "pipe", "d", "missing", "d/f/g"):
        assert problem(api.call("GET", f"/api/agents/{agent_id}/files/{path}")) == (404, "not-found")


def test_a_file_that_grows_while_it_is_sent_is_cut_where_it_was_announced(agent_id, put, fetch):
    put("f", b"123")
    response = fetch("f")
    with (Workspace(agent_id).path / "f").open("ab") as file:
        file.write(b"456")
    assert body(response) == b"123"


def test_head_says_what_get_would(api, agent_id, put):
    put("f", b"123")
    response = api.send("HEAD", f"/api/agents/{agent_id}/files/f")
    assert (response.status_code, response["Content-Length"]) == (200, "3")
    response.close()


@pytest.fixture
def uploaded(put):
    put("f", b"x" * 250)


async def test_a_download_over_asgi_is_read_piece_by_piece(api, agent_id, uploaded, monkeypatch):
    """Django would read a plain iterator into memory as a whole (and warn, which fails tests)."""
    monkeypatch.setattr("agents.api.files.CHUNK_BYTES", 100)
    status, pieces = await over_asgi(api, "GET", f"/api/agents/{agent_id}/files/f")
    assert status == 200
    assert [len(piece) for piece in pieces if piece] == [100, 100, 50]


# Delete ------------------------------------------------------------------------------------------------------------


def test_a_deleted_file_is_gone_here_and_in_the_log(api, agent_id, put):
    put("f")
    assert api.call("DELETE", f"/api/agents/{agent_id}/files/f") == (204, None)
    assert problem(api.call("DELETE", f"/api/agents/{agent_id}/files/f")) == (404, "not-found")
    assert api.get(f"/api/agents/{agent_id}/snapshot")["state"]["files"] == {}


def test_a_directory_is_not_deleted(api, agent_id, put):
    put("d/f")
    assert problem(api.call("DELETE", f"/api/agents/{agent_id}/files/d")) == (409, "path-taken")


def test_files_that_a_program_named_oddly_are_listed_downloaded_replaced_and_deleted(api, agent_id, put, fetch):
    workspace = Workspace(agent_id).path
    names = {rb"bad\xff.txt": rb"bad\xff.txt", b"bad\xff.txt": b"1", b"two\nlines": b"2"}
    paths = [r"bad\x5cxff.txt", r"bad\xff.txt", r"two\x0alines"]
    for name, content in names.items():
        (workspace / os.fsdecode(name)).write_bytes(content)
    listed = api.get(f"/api/agents/{agent_id}/files")
    assert ([file["path"] for file in listed["files"]], listed["complete"]) == (paths, True)
    assert [body(fetch(path)) for path in paths] == list(names.values())
    assert put(paths[1], b"new")[0] == 200
    assert (workspace / os.fsdecode(b"bad\xff.txt")).read_bytes() == b"new"
    events = api.get(f"/api/agents/{agent_id}/events")["events"]
    assert {change["path"] for event in events for change in event["data"].get("changes", [])} == set(paths)
    for path in paths:
        assert api.send("DELETE", f"/api/agents/{agent_id}/files/{quote(path)}").status_code == 204
    assert not list(workspace.iterdir())


async def test_their_paths_go_through_a_server_as_they_are(api, agent_id):
    (Workspace(agent_id).path / os.fsdecode(b"bad\xff")).write_bytes(b"1")
    status, pieces = await over_asgi(api, "GET", f"/api/agents/{agent_id}/files/bad%5Cxff")
    assert (status, b"".join(pieces)) == (200, b"1")


# A lost workspace --------------------------------------------------------------------------------------------------


def test_a_workspace_that_is_lost_is_an_error_and_not_empty(api, agent_id, put, fetch):
    put("kept", b"1")
    path = Workspace(agent_id).path
    away = path.rename(path.with_name("away"))
    for answer in (
        put("new", b"2"),
        *(
            api.call(*what)
            for what in (("GET", f"/api/agents/{agent_id}/files"), ("GET", f"/api/agents/{agent_id}/export"))
        ),
        *(api.call(method, f"/api/agents/{agent_id}/files/kept") for method in ("GET", "DELETE")),
    ):
        assert problem(answer) == (503, "workspace-missing")
    assert not path.exists()
    away.rename(path)
    assert [file["path"] for file in api.get(f"/api/agents/{agent_id}/files")["files"]] == ["kept"]
    events = api.get(f"/api/agents/{agent_id}/events")["events"]
    changes = [change for event in events if event["type"] == "files" for change in event["data"]["changes"]]
    assert [(change["path"], change["change"]) for change in changes] == [("kept", "added")]
