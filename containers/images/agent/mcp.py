"""Tools of MCP servers: programs in this container (`command`), or elsewhere (`url`), by HTTP through the proxy."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from .protocol import Json, Wire
from .tools import Output, Tool, ToolFailed

CONNECT_S = 30.0
CALL_S = 600.0
SEPARATOR = "__"
LOCAL = ("localhost", "127.0.0.1", "::1")


async def open_servers(configured: object, wire: Wire, stack: AsyncExitStack) -> list[Tool]:
    """The tools of all of them, named SERVER__TOOL. One that does not start is an `error`, and the run goes on without:
    its other tools may do."""
    servers = configured if isinstance(configured, dict) else {}
    tools: list[Tool] = []
    for name, settings in servers.items():
        try:
            async with asyncio.timeout(CONNECT_S):
                tools += await _open(name, settings, stack)
        except Exception as error:  # noqa: BLE001 - a server is somebody else's program, and may fail in any way
            why = "it did not answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            wire.send(
                "error",
                code="mcp-server-failed",
                message=f"MCP server {name} cannot be used ({why}); going on without it.",
                retryable=False,
            )
    return tools


async def _open(name: str, settings: Json, stack: AsyncExitStack) -> list[Tool]:
    from fastmcp.client import Client  # here: it takes a second, and few definitions have servers

    client = await stack.enter_async_context(Client(_transport(settings)))
    return [_tool(client, name, found) for found in await client.list_tools()]


def _transport(settings: Json) -> Any:
    from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

    if url := settings.get("url"):
        if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in LOCAL:
            raise ValueError("its url must begin with https: nothing else leaves the container")
        return StreamableHttpTransport(url, headers=settings.get("headers") or {})
    command = settings["command"]
    program, *arguments = [command] if isinstance(command, str) else command
    environment = {**os.environ, **(settings.get("env") or {})}
    return StdioTransport(program, [*arguments, *(settings.get("args") or [])], env=environment, keep_alive=False)


def _tool(client: Any, server: str, found: Any) -> Tool:
    async def work(arguments: Json, output: Output) -> str:
        async def progress(done: float, total: float | None, message: str | None) -> None:
            output.write(f"{message or f'{done:g}' + (f' of {total:g}' if total else '')}\n")

        try:
            answer = await client.call_tool_mcp(found.name, arguments, timeout=CALL_S, progress_handler=progress)
        except Exception as error:  # as above
            raise ToolFailed(f"{server} failed: {type(error).__name__}: {error}") from error
        output.write(_text(answer.content))
        if answer.is_error:
            raise ToolFailed("It failed.")
        return "Done."

    name = f"{server}{SEPARATOR}{found.name}"
    return Tool(name, found.description or "", None, work, schema=found.input_schema)


def _text(content: Any) -> str:
    """What is no text is named."""
    parts = [getattr(part, "text", None) or f"[{part.type}]" for part in content]
    return "\n".join(parts) + "\n" if parts else ""
