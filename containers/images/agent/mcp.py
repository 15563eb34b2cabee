"""Tools of MCP servers: programs in this container (`command`), or elsewhere (`url`), by HTTP through the proxy."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from .mcp_results import show
from .protocol import Json, Wire
from .tools import Output, Tool, ToolFailed

CONNECT_S = 10.0
"""How long the first question to the model waits for servers, if AGENT_MCP_CONNECT_S says nothing else."""
CLOSE_S = 2.0
CALL_S = 600.0
SEPARATOR = "__"
LOCAL = ("localhost", "127.0.0.1", "::1")


async def open_servers(configured: object, wire: Wire, stack: AsyncExitStack, *, takes_images: bool) -> list[Tool]:
    """The tools of all of them, named SERVER__TOOL, opened side by side. One that does not start is an `error`, and the
    run goes on without: its other tools may do."""
    servers = configured if isinstance(configured, dict) else {}
    opened = await asyncio.gather(*(_open(name, settings, stack, takes_images) for name, settings in servers.items()))
    tools: list[Tool] = []
    for name, found in zip(servers, opened, strict=True):
        if isinstance(found, list):
            tools += found
            continue
        wire.send(
            "error",
            code="mcp-server-failed",
            message=f"MCP server {name} cannot be used ({found}); going on without it.",
            retryable=False,
        )
    return tools


async def _open(name: str, settings: Json, stack: AsyncExitStack, takes_images: bool) -> list[Tool] | str:
    """Its tools, or why there are none."""
    closing = asyncio.Event()
    tools: asyncio.Future[list[Tool]] = asyncio.get_running_loop().create_future()
    keeping = asyncio.create_task(_keep(name, settings, tools, closing, takes_images))

    async def close() -> None:
        closing.set()
        await asyncio.wait((keeping,), timeout=CLOSE_S)

    wait_s = float(os.environ.get("AGENT_MCP_CONNECT_S") or CONNECT_S)
    await asyncio.wait((keeping, tools), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    if tools.done():
        stack.push_async_callback(close)
        return tools.result()
    if not keeping.done():
        keeping.cancel()
        return f"it did not answer within {wait_s:g} s"
    error = keeping.exception()
    return f"{type(error).__name__}: {error}"


async def _keep(
    name: str, settings: Json, tools: asyncio.Future[list[Tool]], closing: asyncio.Event, takes_images: bool
) -> None:
    """One server from its opening to its end. A connection has to be closed by the task that opened it."""
    from fastmcp.client import Client  # here: it takes a second, and few definitions have servers

    async with Client(_transport(settings)) as client:
        tools.set_result([_tool(client, name, found, takes_images) for found in await client.list_tools()])
        await closing.wait()


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


def _tool(client: Any, server: str, found: Any, takes_images: bool) -> Tool:
    async def work(arguments: Json, output: Output) -> str:
        async def progress(done: float, total: float | None, message: str | None) -> None:
            output.write(f"{message or f'{done:g}' + (f' of {total:g}' if total else '')}\n")

        try:
            answer = await client.call_tool_mcp(found.name, arguments, timeout=CALL_S, progress_handler=progress)
        except Exception as error:
            raise ToolFailed(f"{server} failed: {type(error).__name__}: {error}") from error
        show(answer, server, output, takes_images=takes_images)
        if answer.is_error:
            raise ToolFailed("It failed.")
        return "Done."

    name = f"{server}{SEPARATOR}{found.name}"
    return Tool(name, found.description or "", None, work, schema=found.input_schema)
