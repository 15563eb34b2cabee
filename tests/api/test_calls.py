"""/api/agents/{id}/runs/{run_id}/calls/{call_id}"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync

from agents.log import run_events
from agents.log.tool_calls import fold_call, own_event
from streaming.model.events import Draft, Event, decode, draft, now
from streaming.model.fold import fold
from streaming.store import journal
from streaming.store.bus import Bus
from streaming.store.database import in_database
from tests.api.conftest import problem, write
from tests.golden.test_golden import LOGS, lines_of


@pytest.fixture
def run_id(api, agent_id):
    return api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})[1]["id"]


def address(agent_id: str, run_id: str, call_id: str) -> str:
    return f"/api/agents/{agent_id}/runs/{run_id}/calls/{quote(call_id, safe='')}"


def call(run_id: str, call_id: str = "c1", **more: Any) -> Draft:
    return draft("tool-call", run_id, call_id=call_id, name="bash", **{"arguments": {}, **more})


def result(run_id: str, call_id: str = "c1", **more: Any) -> Draft:
    return draft("tool-result", run_id, call_id=call_id, **{"result": "done", "duration_ms": 7, **more})


def test_all_of_a_call_is_there_where_the_state_leaves_it_out(api, agent_id, run_id):
    large = {"text": "é" * 30_000, "number": 2**60}
    output = [draft("tool-output", run_id, call_id="c1", content=f"{at}\n" * 2000) for at in range(9)]
    others = [call(run_id, "c2"), result(run_id, "c2")]
    ended = result(run_id, result=[large])
    write(agent_id, [call(run_id, title="ls", arguments=large), *output[:5], *others, *output[5:], ended])
    messages = api.get(f"/api/agents/{agent_id}/snapshot")["state"]["messages"]
    part = next(part for one in messages for part in one["parts"] if part.get("call_id") == "c1")
    assert part["arguments"] is part["output"] is part["result"] is None
    assert api.get(address(agent_id, run_id, "c1")) == {
        "call_id": "c1",
        "name": "bash",
        "title": "ls",
        "arguments": large,
        "output": "".join(one.data["content"] for one in output),
        "result": [large],
        "is_error": False,
        "duration_ms": 7,
        "state": "completed",
    }


def test_a_call_is_read_from_the_end_of_a_long_run_back_to_where_it_began(api, agent_id, run_id, monkeypatch):
    monkeypatch.setattr(run_events, "WINDOW_EVENTS", 10)
    early = [call(run_id, "early"), draft("tool-output", run_id, call_id="early", content="a")]
    middle = [one for at in range(30) for one in (call(run_id, f"m{at}"), result(run_id, f"m{at}"))]
    late = [draft("tool-output", run_id, call_id="early", content="b"), call(run_id, "late"), result(run_id, "early")]
    write(agent_id, [draft("status", run_id, status="running"), *early])
    for at in range(0, len(middle), 5):
        write(agent_id, middle[at : at + 5])
    write(agent_id, late)
    read, real = [], journal.page

    def page(agent_id, after):
        read.append(after.seq)
        return real(agent_id, after)

    monkeypatch.setattr(journal, "page", page)
    found = api.get(address(agent_id, run_id, "early"))
    assert (found["output"], found["state"]) == ("ab", "completed")
    assert read == sorted(read, reverse=True)
    read.clear()
    assert api.get(address(agent_id, run_id, "late"))["state"] == "running"
    assert len(read) == 1


def test_its_state_is_that_of_the_conversation(api, agent_id, run_id):
    write(agent_id, [call(run_id, "open"), call(run_id, "bad"), result(run_id, "bad", is_error=True)])
    states = {name: api.get(address(agent_id, run_id, name))["state"] for name in ("open", "bad")}
    assert states == {"open": "running", "bad": "failed"}
    write(agent_id, [draft("status", run_id, status="failed"), draft("done", run_id, status="failed")])
    assert api.get(address(agent_id, run_id, "open"))["state"] == "interrupted"


def test_of_several_calls_with_one_id_it_is_the_latest(api, agent_id, run_id):
    """It is what a question about that id asks about now: an earlier one must not be shown in its place."""
    first, second = call(run_id, arguments={"command": "ls"}), call(run_id, arguments={"command": "rm -rf /"})
    output = draft("tool-output", run_id, call_id="c1", content="of the first")
    write(agent_id, [first, output, result(run_id), second])
    found = api.get(address(agent_id, run_id, "c1"))
    assert (found["arguments"], found["output"], found["state"]) == ({"command": "rm -rf /"}, "", "running")


@pytest.mark.parametrize("call_id", ["a/b", "../../x", "%2F", 'say "hi"', "é\U0001f600", "a b?c#d", "__proto__"])
def test_an_id_may_have_any_characters(api, agent_id, run_id, call_id):
    write(agent_id, [call(run_id, call_id)])
    assert api.get(address(agent_id, run_id, call_id))["call_id"] == call_id


def test_a_call_of_another_run_is_not_found(api, agent_id, run_id):
    other = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "And"})[1]["id"]
    mention = draft("text", other, message_id="m", content='"call_id":"c1"')
    question = draft("approval-request", other, approval_id="a", call_id="c1", question="?")
    write(agent_id, [call(run_id), mention, question])
    assert problem(api.call("GET", address(agent_id, other, "c1"))) == (404, "not-found")
    assert problem(api.call("GET", address(agent_id, run_id, "c"))) == (404, "not-found")


def test_only_who_may_see_the_agent_finds_its_calls(api, stranger, agent_id, run_id):
    write(agent_id, [call(run_id)])
    assert problem(stranger.call("GET", address(agent_id, run_id, "c1"))) == (404, "not-found")
    second = api.call("POST", "/api/agents", {"definition": "demo"})[1]["id"]
    assert problem(api.call("GET", address(second, run_id, "c1"))) == (404, "not-found")
    api.headers = {}
    assert problem(api.call("GET", address(agent_id, run_id, "c1"))) == (401, "not-authenticated")


def test_what_retention_has_removed_is_gone(api, agent_id, run_id):
    write(agent_id, [call(run_id, "old")])
    write(agent_id, [result(run_id, "old"), call(run_id, "new")])
    journal.trim(agent_id, journal.head(agent_id).tip.seq - 1)
    assert problem(api.call("GET", address(agent_id, run_id, "old"))) == (410, "trimmed")
    assert api.get(address(agent_id, run_id, "new"))["state"] == "running"


def test_a_call_that_only_redis_has_yet_is_found(api, agent_id, run_id):
    write(agent_id, [draft("status", run_id, status="running"), call(run_id, arguments={"command": "ls"})])
    output = draft("tool-output", run_id, call_id="c1", content="!")
    publish(agent_id, [call(run_id, arguments={"command": "rm"}), output])
    found = api.get(address(agent_id, run_id, "c1"))
    assert (found["arguments"], found["output"]) == ({"command": "rm"}, "!")


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_a_call_is_as_the_fold_has_it(log):
    """Where a small one stands whole in the state."""
    events = [decode(line) for line in lines_of(log)]
    ended = {event.run_id for event in events if event.type == "done"}
    parts = {}
    for message in fold(events)["messages"]:
        for part in message["parts"]:
            if part["type"] == "tool-call":
                parts[message["run_id"], part["call_id"]] = part
    for (run_id, call_id), part in parts.items():
        own = [one for event in events for one in own_event(event.encode(), run_id, call_id)]
        found = fold_call(own, run_id in ended)
        assert found is not None
        whole = [name for name in asdict(found) if name not in part.get("omitted_bytes", ())]
        assert [getattr(found, name) for name in whole] == [part[name] for name in whole]


@async_to_sync
async def publish(agent_id: str, drafts: list[Draft]) -> None:
    """Put events into Redis behind what is committed, as their writer does before it commits them."""
    tip = (await in_database(journal.head, agent_id)).tip
    payloads = [
        Event(one.type, agent_id, one.run_id, tip.epoch, tip.seq + at, now(), one.data).encode()
        for at, one in enumerate(drafts, 1)
    ]
    bus = Bus()
    try:
        await bus.fence(agent_id, tip.epoch)
        await bus.publish(agent_id, tip.epoch, tip.seq + 1, payloads, "", tip.seq)
    finally:
        await bus.close()
