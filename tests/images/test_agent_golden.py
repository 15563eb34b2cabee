"""The golden log of each scripted conversation: what the bundled agent says in it, ids and times apart, with every
provider. `five-steps` is test_agent_conversation's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.provider import Call, Fault, MockProvider, Thinking, Turn, refusal, turn

from .agent_driving import GOLDEN, MODELS, settled
from .agent_fixtures import Launch

LOOKS = turn("I look.", Call("bash", {"command": "echo one; echo two"}))
BREAKS: dict[str, Any] = {"piece_characters": 4}
CONVERSATIONS: dict[str, Callable[[threading.Event], list[Turn]]] = {
    "parallel-calls": lambda _: [
        turn(
            Thinking("Both at once."),
            "I do both.",
            Call("write_file", {"path": "a.txt", "content": "one\n"}),
            Call("bash", {"command": "echo begun; exit 3"}),
            Call("read_file", {"path": "missing.txt"}),
        ),
        turn(Thinking("Two of three failed."), "One of three."),
    ],
    "error-mid-stream": lambda _: [LOOKS, turn("One two three four.", fault=Fault("break", after=2), **BREAKS)],
    "cut-mid-stream": lambda _: [LOOKS, turn("One two three four.", fault=Fault("cut", after=2), **BREAKS)],
    "garbage-mid-stream": lambda _: [LOOKS, turn("One two three four.", fault=Fault("garbage", after=2), **BREAKS)],
    "rate-limited": lambda _: [LOOKS, refusal("rate-limited", 1), refusal("overloaded", 0), turn("There it is.")],
    "rate-limited-for-an-hour": lambda _: [LOOKS, refusal("rate-limited", 3600)],
    "slow-first-token": lambda slow: [LOOKS, turn(Thinking("Slowly."), "There it is.", hold=slow)],
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_is_its_golden_log_with_every_provider(
    provider: MockProvider, agent: Launch, name: str, model: str
) -> None:
    slow = threading.Event()
    turns = CONVERSATIONS[name](slow)
    provider.say(*turns)
    one = agent("Work.", model=model)
    provider.wait_for_requests(2)
    slow.set()
    events = settled(one.finish())
    assert said(events, model) == golden(name)
    assert len(provider.requests) == len(turns)


def test_each_golden_log_has_its_conversation() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} == {*CONVERSATIONS, "five-steps"}


def golden(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text("utf-8").splitlines()]


def said(events: list[dict[str, Any]], provider: str) -> list[dict[str, Any]]:
    """An error without the words that are the provider's own: they come behind the first sentence, which is ours."""
    for event in events:
        for name in ("message", "result"):
            if event["type"] in ("error", "done") and events[-1]["status"] == "failed" and name in event:
                event[name] = event[name].partition(". ")[0].replace(provider, "PROVIDER")
    return events
