"""One run from start to done."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from .asking import Asking
from .compaction import CONTEXT_TOKENS
from .conversation import FEWEST_TOKENS, Conversation
from .errors import AgentError
from .history import messages_of
from .mcp import open_servers
from .models import images_are_taken
from .protocol import Inbox, Json, Wire, config_of, prompt_of, run
from .toolbox import Toolbox
from .tools import Tool, built_in

INSTRUCTIONS = (
    "You are an agent that works for a user by itself. You have tools; they work in a workspace, the current "
    "directory, whose files the user sees and keeps. You are in a container without a screen, with little or no "
    "network. Do the work rather than describe it, check what you did, and end with a short answer in Markdown: what "
    "you did or found, and which files matter."
)


def main() -> None:
    run(_work, defect_code="agent-failed")


async def _work(wire: Wire, inbox: Inbox, start: Json) -> str:
    config = config_of(start)
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
        return await conversation.run(messages_of(start.get("history")), prompt_of(start).strip() or "Go on.")


def _wanted(config: Json) -> list[Tool]:
    """Those that the definition names; all, if it names none. Raises AgentError."""
    tools, wanted = built_in(), config.get("tools") or []
    known = [tool.name for tool in tools]
    if unknown := [name for name in wanted if name not in known]:
        raise AgentError("unknown-tool", f"There is no tool {unknown[0]!r}; there are: {', '.join(known)}.")
    return [tool for tool in tools if tool.name in wanted or not wanted]


def _budget() -> int:
    given = os.environ.get("AGENT_CONTEXT_TOKENS", "")
    return max(FEWEST_TOKENS, int(given)) if given.isdigit() else CONTEXT_TOKENS
