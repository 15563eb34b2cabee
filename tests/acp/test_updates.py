"""Updates of a tool call, and what is said of it: each thing once, when it is complete."""

from __future__ import annotations

from typing import Any

from containers.protocols.acp.updates import Updates


def calls(*updates: dict[str, Any]) -> list[dict[str, Any]]:
    made = Updates()
    said = [one for what in updates for one in made.take({"sessionUpdate": "tool_call_update", **what}) or []]
    return said + made.close()


def test_a_call_is_said_once_when_its_arguments_are_complete() -> None:
    said = calls(
        {"toolCallId": "c", "kind": "read", "status": "pending", "rawInput": {}},
        {"toolCallId": "c", "status": "in_progress", "rawInput": {"path": "a"}},
        {"toolCallId": "c", "status": "in_progress", "rawInput": {"path": "a"}},
        {"toolCallId": "c", "status": "completed", "rawOutput": {"lines": 3}},
        {"toolCallId": "c", "status": "completed"},
    )
    assert [one["type"] for one in said] == ["tool-call", "tool-result"]
    assert said[0]["arguments"] == {"path": "a"}
    assert said[1]["result"] == {"lines": 3}


def test_a_call_that_never_begins_is_said_at_the_end() -> None:
    assert [one["type"] for one in calls({"toolCallId": "c", "rawInput": "ls"})] == ["tool-call"]


def test_a_call_that_ends_at_once_is_said_before_its_result() -> None:
    said = calls({"toolCallId": "c", "status": "failed", "rawInput": ["ls", "-l"]})
    assert [one["type"] for one in said] == ["tool-call", "tool-result"]
    assert said[0]["arguments"] == {"input": ["ls", "-l"]}


def test_output_that_grows_is_said_by_what_is_new() -> None:
    content = [[{"type": "content", "content": {"type": "text", "text": text}}] for text in ("a", "ab", "X")]
    said = calls(*({"toolCallId": "c", "status": "in_progress", "content": one} for one in content))
    assert [one["content"] for one in said if one["type"] == "tool-output"] == ["a", "b"]
