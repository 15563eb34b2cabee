"""GET /api/agents/{id}/export, POST /api/agents/import"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.models import Agent, Run, Spending
from agents.workspace import Workspace
from streaming.model.cursor import Cursor
from streaming.model.events import draft
from streaming.model.fold import initial
from streaming.store import journal
from tests.api.conftest import field, over_asgi, problem, write

TIME = "2026-11-20T12:00:00.123456Z"
RUN = "0199c3f0-0000-7000-8000-000000000001"


def export(api, agent_id: str, query: str = "") -> list[dict[str, Any]]:
    response = api.send("GET", f"/api/agents/{agent_id}/export{query}")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/x-ndjson"
    assert "attachment" in response["Content-Disposition"]
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


def take(api, lines: list[Any], query: str = "") -> tuple[int, Any]:
    body = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    response = api.django.generic(
        "POST", f"/api/agents/import{query}", body, content_type="application/x-ndjson", headers=api.headers
    )
    return response.status_code, response.json()


@pytest.fixture
def told(api, agent_id):
    """An agent with a title, metadata, two runs (the second goes on), and files."""
    first = api.call(
        "POST", f"/api/agents/{agent_id}/runs", {"input": "Count", "metadata": {"ticket": 7}, "budget": {"tokens": 5}}
    )[1]["id"]
    write(
        agent_id,
        [
            draft("status", first, status="running", attempt=1),
            draft("text", first, message_id="m1", content="one ünï 😀"),
            draft("tool-call", first, call_id="c1", name="bash", arguments={"command": "ls"}),
            draft("tool-result", first, call_id="c1", result={"code": 0}, is_error=False, duration_ms=5),
            draft("files", first, changes=[{"path": "a", "change": "added", "size": 1, "sha256": None}]),
            draft("usage", first, model="m", input_tokens=3, output_tokens=1, cost_usd=0.5),
            draft("status", first, status="completed"),
            draft("done", first, status="completed", result=1, duration_ms=3, tool_calls=1, files_changed=1),
        ],
    )
    second = api.call("POST", f"/api/runs/{first}/retry")[1]["id"]
    write(agent_id, [draft("status", second, status="running"), draft("text", second, message_id="m1", content="tw")])
    api.call("PATCH", f"/api/agents/{agent_id}", {"title": "Counter"})
    workspace = Workspace(agent_id)
    workspace.create()
    workspace.write_file("deep/er/ünï 😀.bin", [bytes(range(256)) * 5000])
    workspace.write_file("empty", [])
    workspace.write_file(r"bad\xff\x0aname", [b"odd"])
    return agent_id


def test_export_begins_with_the_agent_and_ends_with_the_end(api, told):
    lines = export(api, told)
    assert lines[0]["type"] == "agent"
    assert (lines[0]["format"], lines[0]["agent_id"], lines[0]["definition"]) == (2, told, "demo")
    assert [line["input"] for line in lines if line["type"] == "run"] == ["Count", "Count"]
    events = [line for line in lines if "seq" in line]
    assert lines[-1] == {"type": "end", "events": len(events), "files": 3, "pages": 0, "complete": True}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_exported_events_are_those_of_the_wire_byte_for_byte(api, told):
    raw = b"".join(api.send("GET", f"/api/agents/{told}/export").streaming_content).decode().splitlines()
    stored = [one.payload for one in journal.page(told, Cursor(0, 0)).events]
    assert [line for line in raw if '"seq":' in line] == stored


def test_export_without_files(api, told):
    assert {line["type"] for line in export(api, told, "?files=false")}.isdisjoint({"file", "file-data"})


def test_what_retention_has_left_of_an_export_of_format_1_is_taken_along(api, told):
    """A run whose beginning is gone is there with its end. Exports of format 1 do not say what was before it."""
    journal.trim(told, 4)
    lines = [line for line in export(api, told) if line["type"] != "state"]
    lines = [{**lines[0], "format": 1}, *({k: v for k, v in line.items() if k != "ended"} for line in lines[1:])]
    events = [line for line in lines if "seq" in line]
    assert events[0]["seq"] > 1
    status, answer = take(api, lines)
    assert status == 201, answer
    taken = [event.encode() for event in journal.events(answer["id"])]
    assert len(taken) == len(events) + 2, "the run that went on is ended"
    state = journal.load(answer["id"]).state
    assert [run["status"] for run in state["runs"]] == ["completed", "cancelled"]
    assert [run["input"] for run in api.get(f"/api/agents/{answer['id']}/runs")["runs"]] == ["Count", "Count"]


def test_a_prompt_that_another_runs_program_took_stands_in_that_run_after_an_import(api, told):
    steering = api.call("POST", f"/api/agents/{told}/runs", {"input": "Faster"})[1]["id"]
    into = str(Run.objects.get(agent=told, status="running").pk)
    taken = draft("status", steering, status="completed", into=into)
    write(told, [taken, draft("done", steering, status="completed")])
    status, answer = take(api, export(api, told))
    assert status == 201, answer
    runs = dict(Run.objects.filter(agent=answer["id"]).values_list("number", "pk"))
    messages = journal.load(answer["id"]).state["messages"]
    (prompt,) = [message for message in messages if "into" in message]
    assert (prompt["run_id"], prompt["into"]) == (str(runs[3]), str(runs[2]))


async def test_export_comes_in_pieces_over_asgi(api, agent_id, monkeypatch):
    from asgiref.sync import sync_to_async

    def prepare() -> None:
        workspace = Workspace(agent_id)
        workspace.create()
        workspace.write_file("large", [b"x" * 3_000_000])

    await sync_to_async(prepare)()
    status, pieces = await over_asgi(api, "GET", f"/api/agents/{agent_id}/export")
    assert status == 200
    assert len([piece for piece in pieces if piece]) > 4
    assert json.loads(b"".join(pieces).splitlines()[-1])["files"] == 1


def test_an_imported_agent_is_the_same_but_for_its_ids(api, told):
    lines = export(api, told)
    status, answer = take(api, lines)
    assert status == 201, answer
    assert (answer["title"], answer["definition"], answer["status"]) == ("Counter", "demo", "cancelled")
    assert answer["id"] != told
    before, after = (journal.load(one).state for one in (told, answer["id"]))
    ids = {old["id"]: new["id"] for old, new in zip(before["runs"], after["runs"], strict=True)}
    assert len({*ids, *ids.values()}) == 4

    def renamed(value: Any) -> Any:
        text = json.dumps(value)
        for old, new in ids.items():
            text = text.replace(old, new)
        return json.loads(text)

    for key in ("messages", "files", "approvals", "usage", "title"):
        assert after[key] == renamed(before[key])
    for path in ("deep/er/ünï 😀.bin", "empty", r"bad\xff\x0aname"):
        with Workspace(told).open_file(path).file as old, Workspace(answer["id"]).open_file(path).file as new:
            assert old.read() == new.read()


def test_rows_of_imported_runs_say_what_the_log_says(api, told):
    answer = take(api, export(api, told))[1]
    first, second = api.get(f"/api/agents/{answer['id']}/runs")["runs"][::-1]
    assert (first["status"], first["input"], first["metadata"], first["result"]) == (
        *("completed", "Count", {"ticket": 7}, 1),
    )
    assert (second["status"], second["retry_of"]) == ("cancelled", first["id"])
    assert first["budget"] == {"tokens": 5}
    assert Run.objects.get(pk=first["id"]).first_seq == 1


def test_what_an_imported_agent_used_elsewhere_is_nobodys_spending_here(api, told):
    before = list(Spending.objects.order_by("scope").values())
    assert before
    take(api, export(api, told))
    assert list(Spending.objects.order_by("scope").values()) == before


def test_what_had_not_ended_is_cancelled_with_a_reason(api, told):
    answer = take(api, export(api, told))[1]
    *_, status, done = journal.events(answer["id"])
    assert (status.type, status.data["status"], status.data["reason"]) == (
        *("status", "cancelled", "exported before it ended"),
    )
    assert (done.type, done.data["status"]) == ("done", "cancelled")
    assert journal.load(answer["id"]).state["active_run"] is None


def test_an_imported_agent_can_be_exported_and_go_on(api, told, no_worker):
    imported = take(api, export(api, told))[1]["id"]
    assert export(api, imported)[-1]["events"] == export(api, told)[-1]["events"] + 2
    run = api.call("POST", f"/api/agents/{imported}/runs", {"input": "Go on"})
    assert (run[0], run[1]["number"]) == (202, 3)
    assert imported in no_worker
    assert journal.load(imported).state["queue"][0]["run_id"] == run[1]["id"]


def test_another_definition_can_be_named(api, told):
    lines = export(api, told)
    lines[0]["definition"] = "gone"
    assert problem(take(api, lines)) == (422, "unknown-definition")
    assert field(take(api, lines)) == "definition"
    assert take(api, lines, "?definition=other")[1]["definition"] == "other"


def test_an_agent_without_a_run_comes_through(api, agent_id):
    status, answer = take(api, export(api, agent_id))
    assert (status, answer["status"]) == (201, "idle")


# What is wrong ------------------------------------------------------------------------------------------------------

AGENT = {"type": "agent", "format": 1, "agent_id": "x", "definition": "demo"}
END = {"type": "end", "events": 0, "files": 0}


def event(type_: str, seq: int, run_id: str | None = RUN, **data: Any) -> dict[str, Any]:
    return {"type": type_, "agent_id": "x", "run_id": run_id, "epoch": 1, "seq": seq, "timestamp": TIME, "data": data}


OTHER = "0199c3f0-0000-7000-8000-000000000002"
DONE = event("done", 2, status="completed")
FILE = {"type": "file", "path": "a"}
RUN_LINE = {"type": "run", "run_id": RUN, "input": "x"}
WRONG: dict[str, tuple[list[Any], int]] = {
    "nothing": ([], 1),
    "no-agent": ([END], 1),
    "not-json": ([AGENT, b"{"], 2),
    "not-an-object": ([AGENT, b"[]"], 2),
    "not-utf-8": ([AGENT, b'{"type":"\xff"}'], 2),
    "another-format": ([{**AGENT, "format": 3}], 1),
    "no-end": ([AGENT], 2),
    "cut-file": ([AGENT, event("title", 1, None, title="a")], 3),
    "wrong-counts": ([AGENT, {**END, "events": 1}], 2),
    "unknown-type": ([AGENT, event("nonsense", 1), END], 2),
    "wrong-data": ([AGENT, event("text", 1, content=5), END], 2),
    "no-run": ([AGENT, event("status", 1, None, status="running"), END], 2),
    "gap": ([AGENT, event("text", 1, message_id="m", content=""), event("text", 3, message_id="m", content="")], 3),
    "after-done": ([AGENT, event("status", 1, status="running"), DONE, event("done", 3, status="failed")], 4),
    "two-active": ([AGENT, event("status", 1, status="running"), event("status", 2, OTHER, status="running")], 3),
    "time": ([AGENT, {**event("text", 1, message_id="m", content=""), "timestamp": "yesterday"}], 2),
    "no-such-day": (
        [AGENT, {**event("text", 1, message_id="m", content=""), "timestamp": TIME.replace("11-20", "02-31")}],
        2,
    ),
    "path-outside": ([AGENT, {**FILE, "path": "../a"}, END], 2),
    "path-taken": ([AGENT, FILE, {**FILE, "path": "a/b"}, END], 3),
    "not-base64": ([AGENT, FILE, {"type": "file-data", "content": "?"}, END], 3),
    "data-of-no-file": ([AGENT, {"type": "file-data", "content": ""}, END], 2),
    "run-twice": ([AGENT, *[RUN_LINE] * 2, END], 3),
    "nul": ([{**AGENT, "title": "a\0b"}], 1),
}


# A log that begins with a state ---------------------------------------------------------------------------------------

NEW = {**AGENT, "format": 2}
PART = {"n": 1, "type": "text", "text": "x"}
MESSAGE = {"id": "m", "run_id": RUN, "role": "assistant", "parts": [PART]}
STATE = {"type": "state", "epoch": 3, "seq": 8, "first_seq": 9, "state": initial(), "files": {}}
PAGED = {**STATE, "state": {**initial(), "parts_total": 1, "earlier": {"before": "3-8"}}}
PAGE = {"type": "page", "epoch": 3, "seq": 8, "messages": [MESSAGE], "earlier": None}
ENDED = {
    "status": "completed",
    "created_at": TIME,
    "started_at": TIME,
    "finished_at": TIME,
    "first_seq": 1,
    "started_seq": 2,
    "last_seq": 8,
}


def state(**changes: Any) -> dict[str, Any]:
    return {**STATE, "state": {**initial(), **changes}}


def later(seq: int, epoch: int = 3) -> dict[str, Any]:
    return {**event("text", seq, message_id="m", content=""), "epoch": epoch}


DEEP: dict[str, Any] = {}
for _ in range(200):
    DEEP = {"a": DEEP}
CALL = {
    "n": 1,
    "type": "tool-call",
    "call_id": "c",
    "name": "bash",
    "title": None,
    "arguments": DEEP,
    "output": "",
    "result": None,
    "is_error": False,
    "duration_ms": None,
    "state": "running",
}
WRONG |= {
    "state-in-format-1": ([AGENT, STATE, END], 2),
    "state-without-a-field": ([NEW, {**STATE, "state": {"fold": 2}}, END], 2),
    "state-of-another-fold": ([NEW, state(fold=3), END], 2),
    "state-with-an-unknown-field": ([NEW, state(more=1), END], 2),
    "state-of-infinity": ([NEW, b'{"type":"state","epoch":3,"seq":8,"first_seq":9,"files":{},"state":1e999}', END], 2),
    "state-too-deep": ([NEW, state(messages=[{**MESSAGE, "parts": [CALL]}]), END], 2),
    "state-too-large": ([NEW, state(messages=[{**MESSAGE, "parts": [{**PART, "text": "x" * 600_000}]}]), END], 2),
    "state-twice": ([NEW, STATE, STATE, END], 3),
    "state-after-a-gap": ([NEW, {**STATE, "first_seq": 10}, END], 2),
    "state-of-open-runs": ([NEW, state(active_run=RUN), END], 3),
    "state-with-a-queue": ([NEW, state(queue=[{"run_id": RUN, "message_id": "m", "prompt": "x"}]), END], 3),
    "state-beyond-its-log": ([NEW, {**STATE, "first_seq": 7}, later(7), END], 4),
    "event-before-the-log": ([NEW, STATE, later(8), END], 3),
    "event-of-an-earlier-epoch": ([NEW, STATE, later(9, 2), END], 3),
    "event-of-another-epoch": ([NEW, {**STATE, "first_seq": 8}, later(8, 2), END], 3),
    "log-that-begins-late": ([NEW, later(2), END], 2),
    "page-missing": ([NEW, PAGED, END], 3),
    "page-cut-off": ([NEW, PAGED], 3),
    "page-that-nothing-names": ([NEW, STATE, PAGE, END], 3),
    "page-of-another-name": ([NEW, PAGED, {**PAGE, "seq": 7}, END], 3),
    "page-that-names-itself": ([NEW, PAGED, {**PAGE, "earlier": {"before": "3-8"}}, PAGE, END], 4),
    "page-without-messages": ([NEW, PAGED, {**PAGE, "messages": []}, END], 3),
    "page-without-a-state": ([NEW, PAGE, END], 2),
    "pages-not-counted": ([NEW, PAGED, PAGE, END], 4),
    "run-that-has-not-ended": ([NEW, {**RUN_LINE, "ended": {**ENDED, "status": "running"}}, STATE, END], 2),
    "run-that-ended-at-no-time": ([NEW, {**RUN_LINE, "ended": {**ENDED, "finished_at": "today"}}, STATE, END], 2),
}


def test_a_log_that_begins_with_a_state_is_taken(api):
    lines = [NEW, {**RUN_LINE, "ended": ENDED}, PAGED, PAGE, {**END, "pages": 1}]
    status, answer = take(api, lines)
    assert status == 201, answer
    assert [message["parts"] for message in journal.conversation_before(answer["id"], journal.load(answer["id"]))] == [
        [PART]
    ]
    (run,) = api.get(f"/api/agents/{answer['id']}/runs")["runs"]
    assert (run["status"], run["input"], run["finished_at"]) == ("completed", "x", "2026-11-20T12:00:00.123Z")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_line_and_leaves_nothing(api, name, tmp_path):
    lines, at = WRONG[name]
    answer = take(api, lines)
    assert problem(answer) == (422, "invalid-import")
    assert answer[1]["error"]["details"]["line"] == at, answer
    assert answer[1]["error"]["message"].startswith(f"line {at}: ")
    assert not Agent.objects.exists()
    assert not list((tmp_path / "workspaces").glob("*/*"))


def test_more_than_the_site_takes_is_refused(api, settings):
    settings.IMPORT_MAX_BYTES = 100
    answer = take(api, [AGENT, {**AGENT, "x": "x" * 200}])
    assert problem(answer) == (413, "import-too-large")


def test_files_beyond_the_workspace_are_refused(api, site, settings):
    text = settings.DEFINITIONS_FILE.read_text()
    settings.DEFINITIONS_FILE.write_text(text + '\n[definitions.small]\nimage="x"\nlimits={workspace_mib=1}\n')
    data = {"type": "file-data", "content": base64.b64encode(b"x" * 700_000).decode()}
    lines = [{**AGENT, "definition": "small"}, FILE, data, data, {**END, "files": 1}]
    answer = take(api, lines)
    assert problem(answer) == (422, "invalid-import")
    assert "workspace" in answer[1]["error"]["message"]


def test_events_of_an_import_cannot_forge_what_only_the_site_says_elsewhere(api):
    """An import is the importer's own agent: other agents, runs and users are untouched by what it names."""
    mine = api.call("POST", "/api/agents", {"definition": "demo", "input": "mine"})[1]
    lines = [
        {**AGENT, "agent_id": mine["id"]},
        event("status", 1, mine["run"]["id"], status="running"),
        event("done", 2, mine["run"]["id"], status="failed"),
        {**END, "events": 2},
    ]
    status, answer = take(api, lines)
    assert status == 201
    assert Run.objects.get(pk=mine["run"]["id"]).status == "queued"
    assert Run.objects.get(agent_id=answer["id"]).status == "failed"


def test_only_the_owner_exports(api, stranger, agent_id):
    assert problem(stranger.call("GET", f"/api/agents/{agent_id}/export")) == (404, "not-found")
    assert User.objects.count() == 2
