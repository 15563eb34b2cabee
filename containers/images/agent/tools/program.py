"""Runs a program in the workspace. Its output streams; nothing of it outlives the call."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT, Popen

from .encoding import Decoder
from .tool import Output, ToolFailed
from .workspace import root

READ_BYTES = 1 << 14
LINGER_S = 1.0
"""For output, after the program itself has ended: a child of it may still hold the pipe."""


async def run(command: Sequence[str], output: Output, timeout_s: float) -> int:
    """Its exit code. Raises ToolFailed if it could not be started, or took too long."""
    process = _start(command)
    reading = asyncio.create_task(_follow(process, output))
    try:
        async with asyncio.timeout(timeout_s):
            # Not asyncio's own process: up to Python 3.12 its wait() also waits for whoever else holds the pipe.
            code = await asyncio.to_thread(process.wait)
        await asyncio.wait((reading,), timeout=LINGER_S)
        return code
    except TimeoutError as error:
        raise ToolFailed(f"It took longer than {timeout_s:g} s and was stopped.") from error
    finally:
        _end(process)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


def _start(command: Sequence[str]) -> Popen[bytes]:
    try:
        return Popen(command, cwd=root(), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, bufsize=0, start_new_session=True)
    except OSError as error:
        raise ToolFailed(f"{command[0]} cannot be started: {error.strerror}.") from error


async def _follow(process: Popen[bytes], output: Output) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    decoder = Decoder()
    try:
        while piece := await reader.read(READ_BYTES):
            output.write_terminal(decoder.decode(piece).replace("\0", "\ufffd"))
        output.write_terminal(decoder.finish())
    finally:
        transport.close()


def _end(process: Popen[bytes]) -> None:
    """With its whole group, whatever it left behind: whose number is free only once nobody has it any more."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
