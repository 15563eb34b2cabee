"""/api/agents/{id}/snapshot and /events"""

from __future__ import annotations

import json
import uuid

import pytest
from asgiref.sync import async_to_sync

from streaming.model.events import Event, decode, draft, encode, now
from streaming.model.fold import fold
from streaming.models import Snapshot
from streaming.store import journal
from streaming.store.bus import Bus
from tests.api.conftest import field, problem, write


def texts(run_id: str, count: int, start: int = 0):
    return [draft("text", run_id, message_id="m1", content=f"{start + at} ") for at in range(count)]


@pytest.fixture
def run_id(api, agent_id):
    return api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})[1]["id"]


def read_all(api, agent_id, query=""):
    events, after = [], "0-0"
    while True:
        page = api.get(f"/api/agents/{agent_id}/events?after={after}{query}")
        events += page["events"]
        after = page["next"]
        if page["complete"]:
            return events


def test_pages_of_events_are_the_whole_log_in_order(api, agent_id, run_id):
    write(agent_id, texts(run_id, 30))
    write(agent_id, texts(run_id, 30, 30))
    events = read_all(api, agent_id, "&limit=7")
    assert [event["seq"] for event in events] == list(range(1, 63))
    assert [encode(event) for event in events] == [event.encode() for event in journal.events(agent_id)]


def test_snapshot_and_later_events_fold_to_the_same_state(api, agent_id, run_id):
    before = api.get(f"/api/agents/{agent_id}/snapshot")
    write(agent_id, texts(run_id, 30))
    after = api.get(f"/api/agents/{agent_id}/snapshot")
    page = api.get(f"/api/agents/{agent_id}/events?after={before['epoch']}-{before['seq']}&limit=1000")
    folded = fold([decode(encode(event)) for event in page["events"]], before["state"])
    assert encode(folded) == encode(after["state"])
    assert page["next"] == f"{after['epoch']}-{after['seq']}"


def test_snapshot_is_up_to_date_although_a_large_state_is_not_stored_with_every_commit(api, agent_id, run_id):
    old = Snapshot.objects.get(agent_id=agent_id)
    write(agent_id, texts(run_id, 3))
    old.save()
    body = api.get(f"/api/agents/{agent_id}/snapshot")
    assert body["seq"] == 5
    assert body["state"]["messages"][-1]["parts"][0]["text"] == "0 1 2 "


def test_snapshot_of_a_new_agent_is_empty(api, agent_id):
    body = api.get(f"/api/agents/{agent_id}/snapshot")
    assert (body["agent_id"], body["epoch"], body["seq"]) == (agent_id, 0, 0)
    assert body["state"]["status"] == "idle"


def test_events_by_type_and_run(api, agent_id, run_id):
    other = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "two"})[1]["id"]
    write(agent_id, [*texts(run_id, 3), *texts(other, 2), draft("log", other, content='{"type":"text"')])
    by_type = read_all(api, agent_id, "&type=text&type=log&limit=2")
    assert [event["type"] for event in by_type] == ["text"] * 5 + ["log"]
    assert {event["run_id"] for event in read_all(api, agent_id, f"&run={other}")} == {other}


def test_events_of_a_run_that_is_not_the_agents_are_not_found(api, agent_id, run_id):
    other = api.call("POST", "/api/agents", {"definition": "demo", "input": "x"})[1]["run"]["id"]
    for run in ("nobody", other, str(uuid.uuid4())):
        assert problem(api.call("GET", f"/api/agents/{agent_id}/events?run={run}")) == (404, "not-found")
    assert api.get(f"/api/agents/{agent_id}/events?run={run_id.upper()}")["events"]


def test_a_filter_looks_through_a_bounded_part_of_the_log(api, agent_id, run_id, monkeypatch):
    monkeypatch.setattr("agents.api.events.PAGE_BYTES", 1)
    monkeypatch.setattr("agents.api.events.SCANNED_PAGES", 2)
    for at in range(6):
        write(agent_id, texts(run_id, 1, at))
    page = api.get(f"/api/agents/{agent_id}/events?type=done")
    assert (page["events"], page["complete"]) == ([], False)
    assert read_all(api, agent_id, "&type=done") == []
    assert len(read_all(api, agent_id, "&type=text")) == 6


def test_the_end_of_the_log_is_complete_with_its_own_cursor(api, agent_id, run_id):
    end = api.get(f"/api/agents/{agent_id}/events")
    page = api.get(f"/api/agents/{agent_id}/events?after={end['next']}")
    assert page == {"events": [], "next": end["next"], "complete": True}


@pytest.mark.parametrize(
    "after", ["x", "1", "1-", "-1-1", "1-1-1", "01-1", "1-" + "9" * 19, "%00", "1-1%0A2", "\u0661-\u0661"]
)
def test_what_is_no_cursor_is_refused(api, agent_id, after):
    assert field(api.call("GET", f"/api/agents/{agent_id}/events?after={after}")) == "after"


def gone(answer):
    assert problem(answer) == (410, "cursor-gone")
    return answer[1]["error"]["details"]["reason"]


def test_a_cursor_that_was_never_given_out_is_gone(api, agent_id, run_id):
    tip = journal.head(agent_id).tip
    for cursor in ("9-1", f"{tip.epoch}-999999", "0-1"):
        assert gone(api.call("GET", f"/api/agents/{agent_id}/events?after={cursor}")) == "unknown-cursor"


def test_a_cursor_of_events_that_a_later_writer_did_not_take_over_is_gone(api, agent_id, run_id):
    old = journal.head(agent_id).tip
    write(agent_id, texts(run_id, 3))
    assert gone(api.call("GET", f"/api/agents/{agent_id}/events?after={old.epoch}-{old.seq + 2}")) == "superseded"


def test_a_cursor_before_the_oldest_stored_event_is_gone(api, agent_id, run_id):
    write(agent_id, texts(run_id, 3))
    journal.trim(agent_id, 4)
    assert gone(api.call("GET", f"/api/agents/{agent_id}/events")) == "trimmed"


def test_a_trim_between_two_pages_of_one_answer_is_no_gap_in_it(api, agent_id, run_id, monkeypatch):
    write(agent_id, texts(run_id, 3))
    write(agent_id, texts(run_id, 3))
    real = journal.page

    def page(agent_id, after, max_bytes):
        found = real(agent_id, after, 1)  # a chunk a page
        journal.trim(agent_id, found.events[-1].cursor.seq + 4)
        return found

    monkeypatch.setattr(journal, "page", page)
    assert gone(api.call("GET", f"/api/agents/{agent_id}/events?limit=1000")) == "trimmed"


async def publish(agent_id, tip, count):
    """Put events into Redis behind the tip, as their writer does before it commits them."""
    bus = Bus()
    payloads = [
        Event("text", agent_id, "r1", tip.epoch, tip.seq + at, now(), {"message_id": "m1", "content": "x"}).encode()
        for at in range(1, count + 1)
    ]
    try:
        await bus.fence(agent_id, tip.epoch)
        await bus.publish(agent_id, tip.epoch, tip.seq + 1, payloads, "", tip.seq)
    finally:
        await bus.close()


def test_a_cursor_of_an_event_that_is_live_and_not_yet_stored_waits_for_it(api, agent_id, run_id):
    """A live subscriber sees events half a second before they are stored."""
    tip = journal.head(agent_id).tip
    async_to_sync(publish)(agent_id, tip, 5)
    ahead = f"{tip.epoch}-{tip.seq + 5}"
    page = api.get(f"/api/agents/{agent_id}/events?after={ahead}")
    assert page == {"events": [], "next": ahead, "complete": True}


def test_a_cursor_ahead_of_what_is_live_is_gone(api, agent_id, run_id, monkeypatch):
    """Its events would be skipped without a word, once there are so many."""
    monkeypatch.setattr("streaming.read.reader.TIP_PATIENCE_S", 0.0)
    tip = journal.head(agent_id).tip
    ahead = f"/api/agents/{agent_id}/events?after={tip.epoch}-{tip.seq + 3}"
    assert gone(api.call("GET", ahead)) == "unknown-cursor"
    async_to_sync(publish)(agent_id, tip, 2)
    assert gone(api.call("GET", ahead)) == "unknown-cursor"


@pytest.mark.parametrize(
    ("query", "wrong"), [("limit=0", "limit"), ("limit=1001", "limit"), ("type=x", "type.0"), ("run=", "run")]
)
def test_a_wrong_parameter_is_named(api, agent_id, query, wrong):
    assert field(api.call("GET", f"/api/agents/{agent_id}/events?{query}")) == wrong


def test_answers_are_json_as_it_is_stored(api, agent_id, run_id):
    write(agent_id, [draft("text", run_id, message_id="m1", content='ü\u2028"\\</script>')])
    response = api.send("GET", f"/api/agents/{agent_id}/events?type=text")
    assert json.loads(response.content)["events"][0]["data"]["content"] == 'ü\u2028"\\</script>'
    assert response["Cache-Control"] == "no-store"
