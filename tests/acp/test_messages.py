"""Messages as they are sent and read: a line each, with servers of tools as the agent can use them."""

from __future__ import annotations

from typing import Any

from containers.protocols.acp import messages
from containers.protocols.acp.prompt import mcp_servers


def test_servers_of_tools_are_put_as_the_agent_can_use_them() -> None:
    configured: dict[str, Any] = {
        "here": {"command": "srv", "args": ["-x"], "env": {"A": "1"}},
        "there": {"url": "http://example.org"},
    }
    here = {"name": "here", "command": "srv", "args": ["-x"], "env": [{"name": "A", "value": "1"}]}
    there = {"type": "http", "name": "there", "url": "http://example.org", "headers": []}
    assert mcp_servers(configured, {}) == [here]
    assert mcp_servers(configured, {"mcpCapabilities": {"http": True}}) == [here, there]


def test_a_line_is_one_line_whatever_it_says() -> None:
    line = messages.notification("x", {"text": "a\nb\u2028\ud800"})
    assert line.isascii()
    assert b"\n" not in line


def test_only_messages_are_read_as_messages() -> None:
    parser = messages.parser()
    printed = (
        b'{"type":"text"}\n{"id":1}\n{"id":true,"result":1}\n{"jsonrpc":"2.0","id":1,"result":{}}\n{"method":"x"}\n'
    )
    assert [line.kind for line in parser.feed("stdout", printed)] == ["text", "text", "text", "object", "object"]
