"""The child processes of `up`: start them, print their output, restart them when they die, stop them together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

STOP_PATIENCE_S = 3.0
"""Time from SIGTERM to SIGKILL. All processes must be gone 5 s after Ctrl-C, and a worker needs DETACH_MOST_S
(agents.worker.supervisor) to release its leases."""
HEALTHY_S = 10.0
"""A process that ran this long is restarted at once. One that dies sooner is restarted after growing pauses."""
MAX_RESTART_PAUSE_S = 10.0
_COLOURS = {"up": "1", "redis": "31", "web": "36", "worker": "33", "beat": "35"}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A process to run. `last`: stop it after the others, which need it until they have ended."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    last: bool = False


class Children:
    def __init__(self) -> None:
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._children: dict[str, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self, child: Child) -> None:
        self._children[child.name] = child
        await self._spawn(child)
        self._keepers.append(asyncio.create_task(self._keep(child)))

    async def stop(self) -> None:
        """Send SIGTERM to all, those marked `last` at the end, and SIGKILL to what is left after STOP_PATIENCE_S."""
        self._stopping.set()
        deadline = monotonic() + STOP_PATIENCE_S
        for last in (False, True):
            names = [name for name, child in self._children.items() if child.last is last]
            await self._stop_some([self._running[name] for name in names], deadline)
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def say(self, text: str) -> None:
        _print("up", text)

    async def _stop_some(self, processes: list[asyncio.subprocess.Process], deadline: float) -> None:
        for process in processes:
            _signal(process, signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in processes]
        if waits:
            await asyncio.wait(waits, timeout=max(0.2, deadline - monotonic()))
        for process in processes:
            _signal(process, signal.SIGKILL)
        if waits:
            await asyncio.wait(waits, timeout=1)

    async def _spawn(self, child: Child) -> None:
        self._running[child.name] = await asyncio.create_subprocess_exec(
            *child.command,
            env=child.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C comes to us alone: we stop them in order
            preexec_fn=_die_with_parent,
            limit=2**20,
        )

    async def _keep(self, child: Child) -> None:
        pause_s = 0.5
        while True:
            process, started_at = self._running[child.name], monotonic()
            await self._relay(child.name, process)
            code = await process.wait()
            if self._stopping.is_set():
                return
            pause_s = 0.5 if monotonic() - started_at > HEALTHY_S else min(pause_s * 2, MAX_RESTART_PAUSE_S)
            self.say(f"{child.name} ended with code {code}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            if self._stopping.is_set():
                return
            await self._spawn(child)

    async def _relay(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the buffer: asyncio has dropped it
                continue
            if not line:
                return
            _print(name, line.decode("utf-8", "replace").rstrip())


def _print(name: str, text: str) -> None:
    label = f"{name:<7}"
    if sys.stdout.isatty():
        label = f"\033[{_COLOURS.get(name, '0')}m{label}\033[0m"
    with contextlib.suppress(BrokenPipeError):
        print(f"{label}| {text}", flush=True)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when `up` is killed (Linux), so that nothing is left running."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it died before we could ask
            os._exit(1)
