"""Tools of MCP servers: as if they were the agent's own."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from containers.images.agent.names import NAME_CHARACTERS, safe_name
from tests.provider import Call, MockProvider, turn

from .agent_driving import MODELS
from .agent_fixtures import Launch

SERVER = str(Path(__file__).with_name("mcp_server.py"))
SUMS: dict[str, Any] = {"command": sys.executable, "args": [SERVER], "env": {"UNIT": "apples"}}


def test_a_servers_tools_are_called(provider: MockProvider, agent: Launch) -> None:
    provider.say(
        turn(Call("sums__add", {"a": 2, "b": 3}), Call("sums__add", {"a": -1, "b": 3})),
        turn("Five."),
    )
    one = agent(mcp_servers={"sums": SUMS})
    assert one.finish()[-1]["result"] == "Five."
    assert "sums__add" in provider.requests[0].asked.tools
    good, bad = provider.requests[1].asked.texts("tool")
    assert "5 apples" in good
    assert "No negative numbers." in bad
    assert one.of("tool-call")[0]["arguments"] == {"a": 2, "b": 3}
    assert sorted(event["is_error"] for event in one.of("tool-result")) == [False, True]


def test_a_servers_tools_may_need_approval(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("sums__add", {"a": 2, "b": 3})), turn("Then not."))
    one = agent(mcp_servers={"sums": SUMS}, approvals=["sums__*"])
    question = one.until_type("approval-request")
    one.tell({"type": "approval", "approval_id": question["approval_id"], "decision": "deny"})
    one.finish()
    assert "denied" in one.of("tool-result")[0]["result"]


def test_a_server_that_does_not_start_is_said_and_the_run_goes_on(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn("Without, then."))
    broken = {"command": sys.executable, "args": [SERVER, "--broken"]}
    one = agent(mcp_servers={"broken": broken, "nonsense": {}, "sums": SUMS})
    assert one.finish()[-1]["result"] == "Without, then."
    assert [error["code"] for error in one.of("error")] == ["mcp-server-failed"] * 2
    assert "broken" in one.of("error")[0]["message"]
    assert "sums__add" in provider.requests[0].asked.tools


def serving(*tools: str, result: object = None) -> dict[str, Any]:
    env = {} if result is None else {"RESULT": json.dumps(result)}
    return {"command": sys.executable, "args": [SERVER, "--tools", ",".join(tools)], "env": env}


ODD_NAMES = ["files.read", "files/read", "größe", "x" * 70 + "a", "x" * 70 + "b"]


@pytest.mark.parametrize("model", [*MODELS, "openai-chat:gpt-4o"])
def test_any_name_of_a_tool_is_one_that_the_provider_takes(provider: MockProvider, agent: Launch, model: str) -> None:
    """The mock refuses what its provider would."""
    shown = [f"srv__{name}" for name in ODD_NAMES]
    calls = [Call(safe_name(name), {"a": 1, "b": 1}) for name in shown]
    provider.say(turn(*calls), turn("Done."))
    one = agent(model=model, mcp_servers={"srv": serving(*ODD_NAMES)}, approvals=["srv__files/*"])
    question = one.until_type("approval-request")
    one.tell({"type": "approval", "approval_id": question["approval_id"], "decision": "approve"})
    assert one.finish()[-1]["result"] == "Done."
    assert [event["name"] for event in one.of("tool-call")] == shown, "people see the tools' own names"
    results = provider.requests[1].asked.texts("tool")
    assert [f"This is {name}." in result for name, result in zip(ODD_NAMES, results, strict=True)] == [True] * 5


def test_safe_names_are_safe_different_and_lasting() -> None:
    names = [*ODD_NAMES, "a" * 64, "a" * 65, "", "-", "1", "\ud83d", "a.b", "a_b", "bash"]
    safe = [safe_name(name) for name in names]
    assert len(set(safe)) == len(names)
    assert all(0 < len(name) <= NAME_CHARACTERS and name.isascii() and name[0].isalpha() for name in safe)
    assert (safe_name("bash"), safe_name("a" * 64)) == ("bash", "a" * 64)
    assert [safe_name(name) for name in safe] == safe


PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
SOUND = base64.b64encode(b"RIFF" + b"\0" * 20).decode()
PARTS = {
    "content": [
        {"type": "text", "text": "First."},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "embedded words"}},
        {"type": "resource_link", "uri": "https://a.example/b", "name": "b", "description": "more of it"},
        {"type": "image", "data": PIXEL, "mimeType": "image/png"},
        {"type": "audio", "data": SOUND, "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "file:///c", "mimeType": "application/x-c", "blob": SOUND}},
    ],
    "structuredContent": {"sum": 5, "wörd": [1, 2]},
}


@pytest.mark.parametrize("model", ["anthropic", "openai", "gemini", "openai-chat:local"])
def test_every_part_of_a_result_reaches_the_model(provider: MockProvider, agent: Launch, model: str) -> None:
    provider.say(turn(Call("srv__show", {"a": 1, "b": 1})), turn("Seen."))
    one = agent(model=model, mcp_servers={"srv": serving("show", result=PARTS)})
    assert one.finish()[-1]["result"] == "Seen."
    (told,) = (text for text in provider.requests[1].asked.texts("tool") if text)
    for words in ("First.", "embedded words", "[b](https://a.example/b) more of it", '{"sum": 5, "wörd": [1, 2]}'):
        assert words in told
    saved = sorted(path.suffix for path in (one.workspace / "mcp").iterdir())
    is_shown = PIXEL in json.dumps(provider.requests[1].body)
    assert is_shown == (model != "openai-chat:local")
    assert saved == ([".bin", ".wav"] if is_shown else [".bin", ".png", ".wav"])
    assert "saved as mcp/srv-" in told
    assert "embedded words" in one.text("tool-output"), "people see it too"


def test_structure_that_is_the_text_is_told_once(provider: MockProvider, agent: Launch) -> None:
    result = {"content": [{"type": "text", "text": '{"sum":5}'}], "structuredContent": {"sum": 5}}
    provider.say(turn(Call("srv__show", {"a": 1, "b": 1})), turn("Seen."))
    agent(mcp_servers={"srv": serving("show", result=result)}).finish()
    assert provider.requests[1].asked.texts("tool")[0].count("sum") == 1


def test_servers_are_opened_side_by_side_and_waited_for_once(provider: MockProvider, agent: Launch) -> None:
    provider.say(turn(Call("sums__add", {"a": 2, "b": 3})), turn("Five."))
    silent = {"command": sys.executable, "args": [SERVER, "--silent"]}
    started = time.monotonic()
    one = agent(
        mcp_servers={"one": silent, "two": silent, "three": silent, "sums": SUMS},
        environment={"AGENT_MCP_CONNECT_S": "6"},
    )
    provider.wait_for_requests(1)
    assert time.monotonic() - started < 2 * 6, "not one after the other"
    assert one.finish()[-1]["result"] == "Five."
    errors = one.of("error")
    assert [error["code"] for error in errors] == ["mcp-server-failed"] * 3
    assert "did not answer within 6 s" in errors[0]["message"]
