"""One run from start to done."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from contextlib import AsyncExitStack

from .asking import Asking
from .compaction import CONTEXT_TOKENS
from .conversation import FEWEST_TOKENS, Conversation
from .errors import AgentError
from .history import messages_of
from .mcp import open_servers
from .models import images_are_taken
from .protocol import Inbox, Json, Wire, text_of
from .toolbox import Toolbox
from .tools import Tool, built_in

INSTRUCTIONS = (
    "You are an agent that works for a user by itself. You have tools; they work in a workspace, the current "
    "directory, whose files the user sees and keeps. You are in a container without a screen, with little or no "
    "network. Do the work rather than describe it, check what you did, and end with a short answer in Markdown: what "
    "you did or found, and which files matter."
)


def main() -> None:
    try:
        asyncio.run(_run())
    except BrokenPipeError:  # nobody reads any more, so nobody can be told
        os._exit(0)


async def _run() -> None:
    """Exactly one done, whatever happens. The exit code stays 0: the events have said how it ended."""
    wire, inbox = Wire(sys.stdout.buffer), Inbox()
    inbox.listen()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, inbox.cancel)
    work = asyncio.create_task(_work(wire, inbox))
    inbox.when_cancelled(work.cancel)
    try:
        wire.send("done", status="completed", result=await work)
    except asyncio.CancelledError:
        wire.send("done", status="cancelled", result="Cancelled.")
    except AgentError as error:
        _fail(wire, error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the process; the traceback goes to the log
        traceback.print_exc()
        _fail(wire, AgentError("agent-failed", f"The agent has a defect: {type(error).__name__}: {error}"))


def _fail(wire: Wire, error: AgentError) -> None:
    wire.send("error", code=error.code, message=str(error), retryable=error.retryable)
    wire.send("done", status="failed", result=str(error))


async def _work(wire: Wire, inbox: Inbox) -> str:
    start = await inbox.start
    if start is None:
        raise AgentError("no-start", "Standard input ended before a start line came.")
    config = start["config"] if isinstance(start.get("config"), dict) else {}
    asking = Asking(config.get("model"), wire)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asking.close)
        takes_images = images_are_taken(config.get("model"))
        servers = await open_servers(config.get("mcp_servers"), wire, stack, takes_images=takes_images)
        tools = _wanted(config) + servers
        conversation = Conversation(
            asking,
            Toolbox(wire, inbox, tools, config.get("approvals")),
            inbox,
            "\n\n".join(filter(None, (INSTRUCTIONS, config.get("system_prompt")))),
            _budget(),
        )
        return await conversation.run(messages_of(start.get("history")), _prompt(start))


def _wanted(config: Json) -> list[Tool]:
    """Those that the definition names; all, if it names none. Raises AgentError."""
    tools, wanted = built_in(), config.get("tools") or []
    known = [tool.name for tool in tools]
    if unknown := [name for name in wanted if name not in known]:
        raise AgentError("unknown-tool", f"There is no tool {unknown[0]!r}; there are: {', '.join(known)}.")
    return [tool for tool in tools if tool.name in wanted or not wanted]


def _prompt(start: Json) -> str:
    given = start.get("input")
    return text_of(given.get("content") if isinstance(given, dict) else given).strip() or "Go on."


def _budget() -> int:
    given = os.environ.get("AGENT_CONTEXT_TOKENS", "")
    return max(FEWEST_TOKENS, int(given)) if given.isdigit() else CONTEXT_TOKENS
