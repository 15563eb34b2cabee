"""What a program says most, a delta a line, goes a shorter way; it must come to the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.programs.translator import Translator, user_message_id
from containers.protocols.jsonl import Parser
from streaming.errors import EventInvalid
from streaming.model.events import Draft, Event, draft
from streaming.model.fold import fold

RUN = "0199c3f0-0000-7000-8000-000000000001"
whole = st.integers(-(2**63), 2**63 - 1)
anything = st.none() | whole | st.text(max_size=8) | st.lists(whole, max_size=2)
ids = st.sampled_from(["m1", "", "x" * 200, "x" * 201, user_message_id(RUN)]) | anything
said = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool-output"])},
    optional={"message_id": ids, "call_id": ids, "content": st.text(max_size=20) | anything, "seq": whole},
)


@given(said)
def test_a_delta_is_what_the_schema_makes_of_it(line: dict[str, Any]) -> None:
    (parsed,) = Parser().feed("stdout", json.dumps(line).encode() + b"\n")
    (made,) = Translator(RUN).translate(parsed)
    assert made == _by_the_schema(line) or (made.type == "log" and _by_the_schema(line) is None)


def _by_the_schema(line: dict[str, Any]) -> Draft | None:
    """None if it is not for a program to say."""
    given_ = {"message_id": "m1", **line} if line["type"] != "tool-output" else line
    try:
        made = draft(line["type"], RUN, **{key: value for key, value in given_.items() if key != "type"})
    except EventInvalid:
        return None
    return None if user_message_id(RUN) in (made.data.get("message_id"), made.data.get("call_id")) else made


OTHER_RUN = "0199c3f0-0000-7000-8000-000000000002"


@pytest.mark.parametrize("run", [RUN, OTHER_RUN])
@pytest.mark.parametrize(
    "line",
    [
        {"type": "text", "message_id": "{}", "content": "yes, delete it"},
        {"type": "thinking", "message_id": "{}", "content": "yes"},
        {"type": "message", "message_id": "{}", "content": "yes"},
        {"type": "tool-call", "call_id": "{}", "name": "bash", "arguments": {"command": "yes"}},
        {"type": "tool-output", "call_id": "{}", "content": "yes"},
        {"type": "tool-result", "call_id": "{}", "result": "yes", "is_error": False},
    ],
)
def test_nothing_a_program_says_stands_in_a_users_message(line: dict[str, Any], run: str) -> None:
    """The fold finds messages by their ids, and makes one named after a call that comes before any text."""
    prompt = user_message_id(run)
    asked = draft("message", run, message_id=prompt, role="user", content="What is here?")
    said = {key: prompt if value == "{}" else value for key, value in line.items()}
    (parsed,) = Parser().feed("stdout", json.dumps(said).encode() + b"\n")
    begun = draft("status", run, status="running")  # moves the prompt from the queue to the conversation
    made = [asked, begun, *Translator(RUN).translate(parsed)]
    events = [
        Event(one.type, "a", one.run_id, 1, seq, "2026-11-20T12:00:00Z", one.data) for seq, one in enumerate(made, 1)
    ]
    messages = fold(events)["messages"]
    assert [message["parts"] for message in messages] == [[{"n": 1, "type": "text", "text": "What is here?"}]]
