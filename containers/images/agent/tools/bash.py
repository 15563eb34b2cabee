"""The shell."""

from __future__ import annotations

import shutil

from pydantic import Field

from .program import run
from .tool import Arguments, Output, Tool, ToolFailed

TIMEOUT_S, MAX_TIMEOUT_S = 120.0, 3600.0


class BashArguments(Arguments):
    command: str = Field(description="What to run, in a shell, in the workspace.")
    timeout_s: float = Field(TIMEOUT_S, gt=0, le=MAX_TIMEOUT_S, description="Seconds it may take.")


async def bash(given: BashArguments, output: Output) -> str:
    shell = shutil.which("bash") or "/bin/sh"
    code = await run([shell, "-c", given.command], output, given.timeout_s)
    if code:
        raise ToolFailed(f"Exit code {code}.")
    return "Exit code 0."


BASH = Tool(
    "bash",
    "Run a command in a shell. The working directory is the workspace; each call is a new shell. Stdin is empty, and "
    "what still runs in the background when the command ends is stopped.",
    BashArguments,
    bash,
)
