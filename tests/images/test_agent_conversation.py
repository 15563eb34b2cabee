"""The bundled agent says the same whatever provider its model has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from containers.images.agent.history import STOPPED
from tests.provider import Call, MockProvider, Thinking, turn

from .agent_driving import AGENT, GOLDEN, MODELS, check, settled, start_line
from .agent_fixtures import Launch

FIVE_STEPS = [
    turn(
        Thinking("First I look at what is there."),
        "I look at the files.",
        Call("list_files", {}),
        Call("search", {"pattern": "two"}),
    ),
    turn("Now I read it.", Call("read_file", {"path": "notes.txt"})),
    turn(Thinking("It lacks a line."), Call("edit_file", {"path": "notes.txt", "old": "two\n", "new": "two\nthree\n"})),
    turn("And a new one.", Call("write_file", {"path": "made/new.md", "content": "# New: ünï\n"})),
    turn(Call("bash", {"command": "cat made/new.md; echo oh >&2; exit 3"})),
    turn(Thinking("That will do."), "Done: **three** lines."),
]
EVERY_MODEL = [*MODELS, "openai-chat:gpt-4o"]


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_a_conversation_of_five_steps_is_the_same_with_every_provider(
    provider: MockProvider, agent: Launch, workspace: Path, model: str
) -> None:
    (workspace / "notes.txt").write_text("one\ntwo\n")
    provider.say(*FIVE_STEPS)
    events = settled(agent("Work.", model=model).finish())
    golden = GOLDEN / "five-steps.jsonl"
    assert events == [json.loads(line) for line in golden.read_text().splitlines()]
    assert (workspace / "notes.txt").read_text() == "one\ntwo\nthree\n"
    assert (workspace / "made" / "new.md").read_text() == "# New: ünï\n"


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_the_model_is_told_what_its_tools_did(
    provider: MockProvider, agent: Launch, workspace: Path, model: str
) -> None:
    (workspace / "notes.txt").write_text("one\ntwo\n")
    provider.say(*FIVE_STEPS)
    agent("Work.", model=model, system_prompt="Be kind.").finish()
    asked = provider.requests[-1].asked
    assert len(provider.requests) == 6
    assert all(request.asked.streaming for request in provider.requests)
    assert asked.texts("user") == ["Work."]
    assert asked.system.endswith("Be kind.")
    results = asked.texts("tool")
    assert len(results) == 6
    assert "notes.txt:2:two" in results[1].replace("./", "")
    assert "one\ntwo\n" in results[2]
    assert "+three" in results[3]
    assert "Exit code 3." in results[5]
    assert set(asked.tools) == {"bash", "read_file", "write_file", "edit_file", "list_files", "search"}


@pytest.mark.parametrize("model", ["openai", "anthropic", "gemini"])
def test_thinking_is_asked_for_where_the_model_has_it(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(turn("Hello."))
    agent(model=model).finish()
    assert provider.requests[0].asked.thinking


@pytest.mark.parametrize("model", MODELS)
def test_text_is_out_while_the_model_still_speaks(provider: MockProvider, agent: Launch, model: str) -> None:
    go_on = threading.Event()
    provider.say(turn("The beginning and the end.", hold_last=go_on, piece_characters=13))
    one = agent(model=model)
    assert one.until_type("text")["content"] == "The beginning"
    go_on.set()
    one.finish()
    assert one.text() == "The beginning and the end."


def test_calls_of_one_answer_run_at_the_same_time(provider: MockProvider, agent: Launch) -> None:
    meet = "mkfifo {0} 2>/dev/null; {1}"
    provider.say(
        turn(
            Call("bash", {"command": meet.format("p", "echo met > p")}),
            Call("bash", {"command": meet.format("p", "cat p")}),
        ),
        turn("Done."),
    )
    one = agent()
    events = one.finish()
    assert [event["type"] for event in events[:2]] == ["tool-call", "tool-call"]
    assert one.text("tool-output") == "met\n"


@pytest.mark.parametrize("model", MODELS)
def test_earlier_runs_are_told_to_the_model(provider: MockProvider, agent: Launch, model: str) -> None:
    call = {"type": "tool-call", "call_id": "x", "name": "bash", "arguments": {"command": "ls"}, "output": "a.txt\n"}
    history = [
        {"role": "user", "content": "What is here?", "parts": []},
        {
            "role": "assistant",
            "content": "I look.One file.",
            "parts": [
                {"type": "thinking", "text": "Hm."},
                {"type": "text", "text": "I look."},
                {**call, "result": "Exit code 0.", "is_error": False, "state": "done"},
                {"type": "text", "text": "One file."},
                {**call, "call_id": "y", "output": "", "result": None, "state": "running"},
            ],
        },
        {"role": "nobody", "content": 1},
        "nonsense",
    ]
    provider.say(turn("Yes."))
    agent("Are you sure?", model=model, history=history).finish()
    asked = provider.requests[0].asked
    assert asked.texts("user") == ["What is here?", "Are you sure?"]
    assert [text for text in asked.texts("assistant") if text] == ["I look.", "One file.", STOPPED]
    assert [call.arguments for message in asked.messages for call in message.calls] == [{"command": "ls"}] * 2
    first, second = asked.texts("tool")
    assert "a.txt\n\nExit code 0." in first
    assert "broken off" in second


BROKEN: list[tuple[Call, str]] = [
    (Call("no_such_tool", {}), "There is no tool"),
    (Call("write_file", {"path": "a"}), "content: Field required"),
    (Call("bash", {"command": "ls", "colour": "red"}), "colour"),
    (Call("read_file", {"path": "missing.txt"}), "cannot be read"),
]


@pytest.mark.parametrize(("call", "words"), BROKEN)
def test_a_call_that_can_not_be_done_is_told_to_the_model(
    provider: MockProvider, agent: Launch, call: Call, words: str
) -> None:
    provider.say(turn(call), turn("I see."))
    one = agent()
    events = one.finish()
    (result,) = one.of("tool-result")
    assert result["is_error"]
    assert words in result["result"]
    assert words in provider.requests[1].asked.texts("tool")[0]
    assert events[-1]["status"] == "completed"


def test_arguments_that_are_no_json_are_told_to_the_model(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("bash", '{"command": "ls')), turn("I see."))
    one = agent(model="openai-chat:gpt-4o")
    one.finish()
    assert one.of("tool-call")[0]["arguments"] == {}
    assert "not a JSON object" in one.of("tool-result")[0]["result"]
    assert one.events[-1]["status"] == "completed"


def test_a_definition_names_the_tools(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn("Hello."))
    agent(tools=["read_file", "search"]).finish()
    assert provider.requests[0].asked.tools == ("read_file", "search")


def test_the_result_is_the_last_answer_and_usage_is_left_to_the_gateway(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn("Looking.", Call("list_files", {})), turn("All is well."))
    one = agent()
    assert one.finish()[-1] == {"type": "done", "status": "completed", "result": "All is well."}
    assert not one.of("usage")


def test_it_runs_from_its_command_line(provider: MockProvider, workspace: Path) -> None:
    provider.say(*FIVE_STEPS[3:])
    said = subprocess.run(
        [sys.executable, "-u", str(AGENT)],
        input=start_line("Go.", model="openai:gpt-5-mini"),
        capture_output=True,
        check=True,
        timeout=90,
        env={**os.environ, **provider.environment(), "WORKSPACE": str(workspace)},
    )
    events = [json.loads(line) for line in said.stdout.splitlines()]
    check(events)
    assert events[-1]["status"] == "completed", said.stderr
    assert said.stderr == b""
