"""The fold of an agent's output, without any agent: what is sent and said, and what a second reader makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from containers.protocols.acp import Session, messages
from containers.protocols.acp.prompt import blocks
from containers.protocols.acp.session import SYNC_METHOD

INITIALIZED = {"id": 1, "result": {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}}
OPENED = {"id": 10, "result": {"sessionId": "s1"}}
STOPPED = {"id": 12, "result": {"stopReason": "end_turn"}}
OPTIONS = [
    {"optionId": "a", "name": "Allow", "kind": "allow_once"},
    {"optionId": "z", "name": "Never", "kind": "reject_always"},
    {"optionId": "r", "name": "Reject", "kind": "reject_once"},
    {"optionId": "r2", "name": "Reject", "kind": "reject_once"},
]


def session(**fields: Any) -> Session:
    return Session("/workspace", **{"fresh": blocks("Go"), **fields})


def chunk(text: str, session_id: str = "s1") -> dict[str, Any]:
    return update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}, session_id)


def update(what: dict[str, Any], session_id: str = "s1") -> dict[str, Any]:
    return {"method": "session/update", "params": {"sessionId": session_id, "update": what}}


def asks(id_: int | str = 7, session_id: str = "s1", **call: Any) -> dict[str, Any]:
    params = {"sessionId": session_id, "toolCall": {"toolCallId": "c1", **call}, "options": OPTIONS}
    return {"id": id_, "method": "session/request_permission", "params": params}


def sent(talk: Session) -> list[dict[str, Any]]:
    return [json.loads(outgoing.line) for outgoing in talk.due()]


def methods(talk: Session) -> list[str]:
    return [message.get("method", "answer") for message in sent(talk)]


def read(talk: Session, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    return [said for line in lines for said in talk.take(line) or []]


def test_each_step_waits_for_the_answer_to_the_one_before() -> None:
    talk = session()
    assert methods(talk) == []
    talk.go_live(prompted=False)
    assert methods(talk) == ["initialize"]
    assert methods(talk) == []
    read(talk, INITIALIZED)
    assert methods(talk) == ["session/new"]
    read(talk, OPENED)
    (prompt,) = talk.due()
    assert prompt.is_prompt
    assert json.loads(prompt.line)["params"] == {"sessionId": "s1", "prompt": [{"type": "text", "text": "Go"}]}
    assert read(talk, chunk("x"), STOPPED)[-1] == {"type": "done", "status": "completed"}
    assert methods(talk) == []


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ([], ["initialize"]),
        ([INITIALIZED], ["session/new"]),
        ([INITIALIZED, OPENED, chunk("x")], []),
        ([INITIALIZED, OPENED, asks()], []),
    ],
)
def test_who_takes_over_asks_again_what_is_unanswered_and_never_repeats_a_prompt(
    seen: list[dict[str, Any]], wanted: list[str]
) -> None:
    talk = session()
    read(talk, *seen)
    assert methods(talk) == []
    talk.go_live(prompted=False)
    assert methods(talk) == wanted


def test_a_prompt_that_was_noted_is_waited_for() -> None:
    talk = session()
    read(talk, INITIALIZED, OPENED)
    assert talk.go_live(prompted=True) == []
    assert methods(talk) == []
    assert read(talk, STOPPED)[-1]["status"] == "completed"


def test_a_prompt_that_may_be_lost_is_put_to_a_new_session_and_the_old_one_is_cancelled() -> None:
    talk = session()
    read(talk, INITIALIZED, OPENED)
    talk.go_live(prompted=False)
    first, second = sent(talk)
    assert (first["method"], first["params"]) == ("session/cancel", {"sessionId": "s1"})
    assert (second["method"], second["id"]) == ("session/new", 20)
    assert read(talk, {"id": 12, "result": {"stopReason": "cancelled"}}, chunk("late")) == []
    read(talk, {"id": 20, "result": {"sessionId": "s2"}})
    (prompt,) = sent(talk)
    assert (prompt["id"], prompt["params"]["sessionId"]) == (22, "s2")
    assert read(talk, chunk("old"), chunk("new", "s2")) == [{"type": "text", "message_id": "m1", "content": "new"}]
    assert read(talk, {"id": 22, "result": {"stopReason": "end_turn"}})[-1]["status"] == "completed"


def test_a_third_reader_follows_the_second_session() -> None:
    talk = session()
    cancelled = {"id": 12, "result": {"stopReason": "cancelled"}}
    read(talk, INITIALIZED, OPENED, cancelled, {"id": 20, "result": {"sessionId": "s2"}}, chunk("new", "s2"))
    assert talk.go_live(prompted=True) == []
    assert methods(talk) == []
    assert read(talk, {"id": 22, "result": {"stopReason": "end_turn"}})[-1]["status"] == "completed"


def test_an_end_that_was_read_again_is_said_when_live() -> None:
    talk = session()
    assert read(talk, INITIALIZED, OPENED, chunk("x"), STOPPED)[-1]["type"] == "text"
    assert talk.go_live(prompted=False) == [{"type": "done", "status": "completed"}]
    assert methods(talk) == []


def test_the_answer_to_sync_is_known_whatever_it_is() -> None:
    talk = session()
    question = json.loads(talk.sync(3))
    assert question["method"] == SYNC_METHOD
    answer = {"id": question["id"], "error": {"code": -32601, "message": "no"}}
    assert talk.is_sync(answer)
    assert not talk.is_sync({"id": question["id"] - 1, "result": {}})
    assert read(talk, answer) == []


def test_a_second_answer_changes_nothing() -> None:
    talk = session()
    talk.go_live(prompted=False)
    read(talk, INITIALIZED, OPENED, {"id": 10, "result": {"sessionId": "other"}}, {"id": 1, "error": {"message": "?"}})
    assert talk.session_id == "s1"
    assert read(talk, STOPPED, STOPPED) == [{"type": "done", "status": "completed"}]


def test_refusals_are_sent_once_and_again_by_who_takes_over() -> None:
    wants = {"id": "x", "method": "fs/read_text_file", "params": {"sessionId": "s1", "path": "/etc/passwd"}}
    talk = session()
    talk.go_live(prompted=False)
    talk.due()
    assert read(talk, wants) == []
    (refusal,) = sent(talk)
    assert (refusal["id"], refusal["error"]["code"]) == ("x", messages.METHOD_NOT_FOUND)
    second = session()
    read(second, INITIALIZED, OPENED, chunk("x"), wants)
    second.go_live(prompted=True)
    assert sent(second) == [refusal]


LOADED = {"id": 11, "result": None}
SETTLED = {"id": 13, "error": {"code": -32601, "message": "Method not found"}}


def loading(*lines: dict[str, Any]) -> Session:
    talk = session(loaded=blocks("Go on"), earlier="s0")
    assert read(talk, INITIALIZED, *lines) == []
    return talk


def settles(talk: Session) -> bool:
    return talk.is_settling


@pytest.mark.parametrize("repeats_late", [True, False])
def test_a_loaded_session_says_nothing_of_what_was_before(repeats_late: bool) -> None:
    before = chunk("as it was", "s0")
    talk = loading()
    talk.go_live(prompted=False)
    assert methods(talk) == ["session/load"]
    assert read(talk, *([LOADED, before] if repeats_late else [before, LOADED])) == []
    assert methods(talk) == ["_agentsite/sync"]
    assert settles(talk)
    assert read(talk, SETTLED) == []
    assert not settles(talk)
    (prompt,) = sent(talk)
    assert prompt["params"] == {"sessionId": "s0", "prompt": blocks("Go on")}
    assert read(talk, chunk("new", "s0"))[0]["content"] == "new"


def test_who_takes_over_while_a_session_is_loaded_asks_again_and_prompts_once() -> None:
    talk = loading(LOADED, chunk("as it was", "s0"))
    talk.go_live(prompted=False)
    assert methods(talk) == ["_agentsite/sync"]
    read(talk, SETTLED)
    assert methods(talk) == ["session/prompt"]
    read(talk, SETTLED)
    assert methods(talk) == []


def test_a_session_that_was_given_up_stays_so() -> None:
    talk = loading(LOADED)
    talk.go_live(prompted=False)
    assert methods(talk) == ["_agentsite/sync"]
    talk.give_up_loading()
    assert methods(talk) == ["session/new"]
    read(talk, OPENED, SETTLED)
    (prompt,) = sent(talk)
    assert prompt["params"] == {"sessionId": "s1", "prompt": blocks("Go")}
    later = loading(LOADED, OPENED, SETTLED)
    later.go_live(prompted=True)
    assert methods(later) == []
    assert read(later, chunk("new", "s1"))[0]["content"] == "new"


def test_options_are_told_apart_and_a_denial_is_for_once() -> None:
    talk = session()
    (call, question) = read(talk, INITIALIZED, OPENED, asks(title="Delete it"))
    assert (call["type"], call["title"]) == ("tool-call", "Delete it")
    assert question["options"] == ["Allow", "Never", "Reject", "Reject (r2)"]
    assert talk.denial("permission-7") == "Reject"
    for decision, option in (("Reject (r2)", "r2"), ("Allow", "a")):
        line = talk.answer("permission-7", decision)
        assert line is not None
        assert json.loads(line)["result"]["outcome"] == {"outcome": "selected", "optionId": option}
    assert talk.answer("permission-8", "Allow") is None


@pytest.mark.parametrize(
    "question",
    [
        asks("i" * 200),
        {"id": 7, "method": "session/request_permission", "params": {"sessionId": "s1", "options": []}},
        {"id": 7, "method": "session/request_permission", "params": {"sessionId": "s1", "options": "all"}},
        {"id": 7, "method": "terminal/create", "params": 5},
    ],
)
def test_what_nobody_could_answer_is_refused(question: dict[str, Any]) -> None:
    talk = session()
    talk.go_live(prompted=False)
    read(talk, INITIALIZED, OPENED)
    talk.due()
    assert read(talk, question) == []
    (answer,) = sent(talk)
    assert answer["id"] == question["id"]
    assert "error" in answer


def test_a_question_under_a_used_id_is_refused() -> None:
    """Its answer would count for the other one."""
    talk = session()
    talk.go_live(prompted=False)
    read(talk, INITIALIZED, OPENED, asks())
    talk.due()
    assert read(talk, asks(title="And this?")) == []
    assert "error" in sent(talk)[0]


def test_cancel_answers_what_is_open_and_begins_nothing() -> None:
    talk = session()
    talk.go_live(prompted=False)
    read(talk, INITIALIZED, OPENED, asks())
    answer, cancel = map(json.loads, talk.cancel())
    assert answer["result"] == {"outcome": {"outcome": "cancelled"}}
    assert cancel["params"] == {"sessionId": "s1"}
    early = session()
    early.go_live(prompted=False)
    early.due()
    assert early.cancel() == []
    read(early, INITIALIZED)
    assert methods(early) == []


@pytest.mark.parametrize("result", [None, 5, {}, {"stopReason": ["refusal"]}, {"stopReason": None}])
def test_an_answer_without_a_reason_is_an_end(result: Any) -> None:
    talk = session()
    talk.go_live(prompted=False)
    assert read(talk, INITIALIZED, OPENED, {"id": 12, "result": result})[-1]["status"] == "completed"


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"sessionUpdate": 5},
        {"sessionUpdate": ["plan"]},
        {"sessionUpdate": "tool_call"},
        {"sessionUpdate": "tool_call", "toolCallId": 5},
        {
            "sessionUpdate": "tool_call",
            "toolCallId": "c",
            "status": ["x"],
            "content": 5,
            "locations": {"a": 1},
            "kind": 3,
        },
        {"sessionUpdate": "tool_call", "toolCallId": "c", "status": "completed", "content": [5, {"type": "diff"}, {}]},
        {"sessionUpdate": "plan", "entries": [5, {}, {"content": "x", "status": [], "priority": {}}]},
        {"sessionUpdate": "agent_message_chunk", "content": [1]},
    ],
)
def test_no_update_is_a_mistake_of_ours(what: dict[str, Any]) -> None:
    talk = session()
    talk.go_live(prompted=False)
    read(talk, INITIALIZED, OPENED)
    talk.take(update(what))
    assert read(talk, STOPPED)[-1]["type"] == "done"
