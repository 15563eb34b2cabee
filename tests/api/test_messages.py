"""GET /api/agents/{id}/messages: what has left the state, page by page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.model.cursor import Cursor
from streaming.model.events import Draft, draft
from streaming.store import journal
from tests.api.conftest import ApiClient, write


@pytest.fixture
def run_id(api: ApiClient, agent_id: str) -> str:
    return str(api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Hello"})[1]["id"])


def long_talk(run_id: str, texts: int = 40) -> list[Draft]:
    """Twenty thousand characters each."""
    started = draft("status", run_id, status="running")
    said = [draft("text", run_id, message_id=f"m{at}", content=f"{at:04d}" * 5000) for at in range(texts)]
    return [started, *said]


def pages_of(api: ApiClient, agent_id: str, earlier: Any) -> list[dict[str, Any]]:
    """Newest first."""
    found = []
    while earlier is not None:
        status, page = api.call("GET", f"/api/agents/{agent_id}/messages?before={earlier['before']}")
        assert status == 200, page
        found.append(page)
        earlier = page["earlier"]
    return found


def test_pages_and_state_are_the_whole_conversation(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id))
    state = api.call("GET", f"/api/agents/{agent_id}/snapshot")[1]["state"]
    pages = pages_of(api, agent_id, state["earlier"])
    assert len(pages) > 5
    entries = [entry for page in [*reversed(pages), state] for entry in page["messages"]]
    parts = [part for entry in entries for part in entry["parts"]]
    assert [part["n"] for part in parts] == list(range(1, state["parts_total"] + 1))
    texts = [part["text"] for entry in entries for part in entry["parts"] if entry["role"] == "assistant"]
    assert [text[:4] for text in texts] == [f"{at:04d}" for at in range(40)]


def test_pages_stay_when_the_events_are_trimmed(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id))
    state = api.call("GET", f"/api/agents/{agent_id}/snapshot")[1]["state"]
    before = pages_of(api, agent_id, state["earlier"])
    assert journal.trim(agent_id, 2**40) > 1
    assert pages_of(api, agent_id, state["earlier"]) == before


def test_a_page_of_what_is_not_stored_yet_is_made_of_the_events(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id), snapshot=False)
    state = api.call("GET", f"/api/agents/{agent_id}/snapshot")[1]["state"]
    response = api.send("GET", f"/api/agents/{agent_id}/messages?before={state['earlier']['before']}")
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert json.loads(response.content)["messages"]


def test_a_page_that_is_committed_during_the_request_is_found(
    api: ApiClient, agent_id: str, run_id: str, monkeypatch: pytest.MonkeyPatch
):
    write(agent_id, long_talk(run_id))
    state = api.call("GET", f"/api/agents/{agent_id}/snapshot")[1]["state"]
    load_page, calls = journal.conversation_page, []

    def not_at_first(agent_id: str, before: Cursor) -> str | None:
        calls.append(before)
        return load_page(agent_id, before) if len(calls) > 1 else None

    monkeypatch.setattr(journal, "conversation_page", not_at_first)
    response = api.send("GET", f"/api/agents/{agent_id}/messages?before={state['earlier']['before']}")
    assert (response.status_code, response["Cache-Control"]) == (200, "private, immutable, max-age=31536000")


def test_a_stored_page_may_be_kept_for_ever(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id))
    state = api.call("GET", f"/api/agents/{agent_id}/snapshot")[1]["state"]
    path = f"/api/agents/{agent_id}/messages?before={state['earlier']['before']}"
    response = api.send("GET", path)
    assert response["Cache-Control"] == "private, immutable, max-age=31536000"
    again = api.send("GET", path, **{"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("before", ["1-1", "7-7", "0-0", "x", "1-", "1-99999999999999999999"])
def test_a_cursor_that_the_server_did_not_give_is_refused(api: ApiClient, agent_id: str, run_id: str, before: str):
    write(agent_id, long_talk(run_id, 3))
    status, answer = api.call("GET", f"/api/agents/{agent_id}/messages?before={before}")
    assert (status, answer["error"]["code"]) == (400, "unknown-page")


def test_somebody_elses_conversation_is_not_found(api: ApiClient, stranger: ApiClient, agent_id: str):
    assert stranger.call("GET", f"/api/agents/{agent_id}/messages?before=1-1")[0] == 404
