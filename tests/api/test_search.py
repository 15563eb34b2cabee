"""GET /api/agents/{id}/messages/search: the conversation, newest first, a bounded stretch at a time."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from agents.log import conversation_search
from streaming.model.events import Draft, draft
from tests.api.conftest import ApiClient, write


@pytest.fixture
def run_id(api: ApiClient, agent_id: str) -> str:
    return str(api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Find the Needle"})[1]["id"])


def long_talk(run_id: str, texts: int = 60) -> list[Draft]:
    """Ten thousand characters each; every tenth has a needle."""
    started = draft("status", run_id, status="running")
    words = ["A NEEDLE in" if at % 10 == 0 else "only" for at in range(texts)]
    return [
        started,
        *(
            draft("text", run_id, message_id=f"m{at}", content=f"{at} {word} hay {'x ' * 5000}")
            for at, word in enumerate(words)
        ),
    ]


def search(api: ApiClient, agent_id: str, text: str, before: str | None = None) -> dict[str, Any]:
    more = f"&before={quote(before)}" if before else ""
    status, answer = api.call("GET", f"/api/agents/{agent_id}/messages/search?q={quote(text)}{more}")
    assert status == 200, answer
    return dict(answer)


def test_matches_come_newest_first_from_state_and_pages(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id))
    answer = search(api, agent_id, "needle")
    assert answer["searched_to"] is None
    excerpts = [match["excerpt"] for match in answer["matches"]]
    assert [text.split()[0] for text in excerpts] == ["50", "40", "30", "20", "10", "0", "Find"]
    assert excerpts[-1] == "Find the Needle"
    ordinals = [match["n"] for match in answer["matches"]]
    assert ordinals == sorted(ordinals, reverse=True)
    for match in answer["matches"][1:]:
        if match["before"] is not None:
            page = api.call("GET", f"/api/agents/{agent_id}/messages?before={match['before']}")[1]
            assert match["n"] in [part["n"] for entry in page["messages"] for part in entry["parts"]]
    assert answer["matches"][0]["before"] is None
    assert answer["matches"][-1]["before"] is not None


def test_what_is_not_stored_yet_is_searched_too(api: ApiClient, agent_id: str, run_id: str):
    write(agent_id, long_talk(run_id), snapshot=False)
    assert len(search(api, agent_id, "NEEDLE in")["matches"]) == 6


def test_a_call_that_reads_enough_says_how_far_it_came(
    api: ApiClient, agent_id: str, run_id: str, monkeypatch: pytest.MonkeyPatch
):
    write(agent_id, long_talk(run_id))
    all_of_it = search(api, agent_id, "needle")["matches"]
    monkeypatch.setattr(conversation_search, "SEARCHED_BYTES", 1)
    monkeypatch.setattr(conversation_search, "MATCHES_MOST", 2)
    found, before, calls = [], None, 0
    while calls == 0 or before is not None:
        answer = search(api, agent_id, "needle", before)
        assert len(answer["matches"]) <= 2
        found += answer["matches"]
        before, calls = answer["searched_to"], calls + 1
    assert found == all_of_it
    assert calls > 4


def test_calls_are_found_by_what_they_did(api: ApiClient, agent_id: str, run_id: str):
    call = draft("tool-call", run_id, call_id="c", name="bash", arguments={"command": "grep [x-z]+ file"})
    result = draft("tool-result", run_id, call_id="c", result="Exit code 1", is_error=True)
    write(
        agent_id,
        [
            draft("status", run_id, status="running"),
            call,
            draft("tool-output", run_id, call_id="c", content="none here\n"),
            result,
        ],
    )
    for text in ("[X-Z]+", "none here", "exit code", "BASH"):
        (match,) = search(api, agent_id, text)["matches"]
        assert (match["type"], match["run_id"]) == ("tool-call", run_id)


@pytest.mark.parametrize("before", ["x", "7-7.1", "1-1", "0-0.x", "1-1.-1"])
def test_a_position_that_the_server_did_not_give_is_refused(api: ApiClient, agent_id: str, run_id: str, before: str):
    status, answer = api.call("GET", f"/api/agents/{agent_id}/messages/search?q=x&before={before}")
    assert (status, answer["error"]["code"]) == (400, "unknown-page")


def test_another_persons_conversation_is_not_there(api: ApiClient, stranger: ApiClient, agent_id: str):
    assert stranger.call("GET", f"/api/agents/{agent_id}/messages/search?q=x")[0] == 404
