"""What an agent is given: capabilities, servers of tools, the prompt with what was said before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = 1
Block = dict[str, Any]


def initialize() -> dict[str, Any]:
    """Nothing is offered: an agent has a workspace and a shell of its own, inside its container."""
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
        "clientInfo": {"name": "agentsite", "title": "Agentsite", "version": "1"},
    }


def blocks(content: Any, history: Sequence[Mapping[str, Any]] = (), instructions: str | None = None) -> list[Block]:
    """The protocol knows neither a system prompt nor a history: both stand before the prompt."""
    before = [f"Instructions:\n{instructions}"] if instructions else []
    said = [f"{message['role']}: {message['content']}" for message in history if message["content"]]
    if said:
        before.append("What was said before, for you to go on from:\n\n" + "\n\n".join(said))
    return [{"type": "text", "text": text} for text in (*before, str(content))]


def mcp_servers(configured: Mapping[str, Mapping[str, Any]], capabilities: Mapping[str, Any]) -> list[dict[str, Any]]:
    """From a definition's table. Those that the agent can't speak to are left out: it would refuse the session."""
    kinds = capabilities.get("mcpCapabilities")
    can_http = isinstance(kinds, dict) and bool(kinds.get("http"))
    servers = []
    for name, server in configured.items():
        if "url" in server:
            if can_http:
                headers = _pairs(server.get("headers"))
                servers.append({"type": "http", "name": name, "url": server["url"], "headers": headers})
        elif "command" in server:
            args, env = list(server.get("args", ())), _pairs(server.get("env"))
            servers.append({"name": name, "command": server["command"], "args": args, "env": env})
    return servers


def _pairs(table: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in table.items()] if isinstance(table, dict) else []
