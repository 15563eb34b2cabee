"""A run may be broken off at any step; what it leaves behind is a conversation that every provider takes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.programs.history import told_of
from agents.programs.translator import Translator
from containers.images.agent.asking import Asking
from containers.images.agent.conversation import Conversation
from containers.images.agent.history import messages_of
from containers.images.agent.protocol import Inbox, Wire
from containers.images.agent.toolbox import Toolbox
from containers.images.agent.tools import built_in
from containers.protocols.acp.prompt import blocks
from containers.protocols.jsonl import Parser
from streaming.model import fold
from streaming.model.events import Draft, Event, draft
from tests.provider import MockProvider, turn

from .agent_driving import GOLDEN, MODELS

RUN = "01990000-0000-7000-8000-000000000001"
ODD: list[dict[str, Any]] = [
    {"type": "text", "content": "\n\n"},
    {"type": "tool-call", "call_id": "odd1", "name": "server__näme.with/odd characters", "arguments": {}},
    {"type": "tool-call", "call_id": "odd2", "name": "bash", "arguments": {"command": "ls"}},
    {"type": "approval-request", "approval_id": "a1", "call_id": "odd2", "question": "May it?"},
    {"type": "tool-output", "call_id": "odd2", "content": "half"},
]


def steps() -> list[dict[str, Any]]:
    golden = (GOLDEN / "five-steps.jsonl").read_text().splitlines()
    return [*(step for step in map(json.loads, golden) if step["type"] != "done"), *ODD]


def state_after(said: list[dict[str, Any]], status: str) -> fold.State:
    """As the site folds it: the prompt, what the program said until then, and the end."""
    translator, parser = Translator(RUN), Parser()
    drafts = [
        draft("status", RUN, status="queued"),
        draft("message", RUN, message_id=f"u-{RUN}", role="user", content="Work."),
        draft("status", RUN, status="running"),
    ]
    for step in said:
        for line in parser.feed("stdout", json.dumps(step).encode() + b"\n"):
            drafts += translator.translate(line)
    drafts += [draft("status", RUN, status=status), draft("done", RUN, status=status)]
    state = fold.initial()
    for seq, one in enumerate(drafts, 1):
        state = fold.apply(state, event(one, seq))
    return state


def told_after(said: list[dict[str, Any]], status: str) -> list[dict[str, Any]]:
    """What the next run is told."""
    state = state_after(said, status)
    return told_of(reversed(state["messages"]), lambda run_id: status if run_id == RUN else None)


def event(one: Draft, seq: int) -> Event:
    return Event(one.type, "a", one.run_id, 1, seq, "2026-11-20T12:00:00.000000Z", one.data)


def histories() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    said = steps()
    for count in range(len(said) + 1):
        status = "failed" if count % 2 else "cancelled"
        yield count, told_after(said[:count], status)


@pytest.mark.parametrize("model", [*MODELS.values(), "openai-chat:gpt-4o"])
def test_a_run_that_stopped_at_any_step_can_be_gone_on_from(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go_on(provider: MockProvider) -> None:
        wire = Wire(io.BytesIO())
        asking = Asking(model, wire)
        for count, given in histories():
            provider.say(turn("I go on."))
            inbox = Inbox()
            conversation = Conversation(asking, Toolbox(wire, inbox, built_in()), inbox, "Be kind.", 100_000)
            given = json.loads(json.dumps(given))
            assert await conversation.run(messages_of(given), "Go on.") == "I go on.", count
            assert provider.requests[-1].asked.texts("user")[-1].endswith("Go on.")
        await asking.close()

    with MockProvider() as provider:
        for name, value in provider.environment().items():
            monkeypatch.setenv(name, value)
        asyncio.run(go_on(provider))
        if model.partition(":")[0] in ("openai", "anthropic", "gemini"):
            assert all(request.asked.thinking for request in provider.requests)


def test_an_agent_of_acp_is_told_that_the_run_was_not_finished() -> None:
    for count, given in histories():
        told = blocks("Go on.", given)
        assert all(block["type"] == "text" and block["text"].strip() for block in told), count
        word = "failed" if count % 2 else "was stopped"
        assert f"[This run {word} before it was finished.]" in told[0]["text"]


def test_the_word_stands_behind_what_a_run_said_and_only_if_it_did_not_finish() -> None:
    said = [{"type": "text", "content": "Half"}, {"type": "tool-call", "call_id": "c", "name": "bash"}]
    first, second = told_after(said, "cancelled")
    assert first["role"] == "user"
    assert [part["type"] for part in second["parts"]] == ["text", "tool-call", "text"]
    assert second["content"] == "Half\n\n[This run was stopped before it was finished.]"
    assert told_after([], "failed")[1] == {
        "role": "assistant",
        "content": "[This run failed before it was finished.]",
        "parts": [{"type": "text", "text": "[This run failed before it was finished.]"}],
    }
    finished = told_after(said, "completed")
    assert finished[1]["content"] == "Half"
