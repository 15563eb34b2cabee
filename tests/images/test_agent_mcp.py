"""Tools of MCP servers: as if they were the agent's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.provider import Call, MockProvider, turn

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
