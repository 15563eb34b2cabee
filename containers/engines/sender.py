"""Lines to stdin, one after the other, without ever waiting for long on a program that does not read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from weakref import WeakValueDictionary

from containers.errors import EngineError
from containers.interface import SEND_TIMEOUT_S


class Sender:
    """`write(ref, line)` writes one line and takes as long as the program does to read it.

    A write that takes too long goes on by itself, since breaking it off would tear its line; until it is through, the
    next one is refused. So at most one line a ref waits in memory, and order is kept.
    """

    def __init__(
        self, write: Callable[[str, bytes], Coroutine[None, None, None]], timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        self._write = write
        self._timeout_s = timeout_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unfinished: dict[str, asyncio.Task[None]] = {}

    async def send(self, ref: str, line: bytes) -> None:
        """Raises EngineError if the line is not written in time; what `write` raises otherwise."""
        deadline = time.monotonic() + self._timeout_s
        lock = self._locks.setdefault(ref, asyncio.Lock())
        async with lock:
            if earlier := self._unfinished.pop(ref, None):
                await self._finish(ref, earlier, deadline)
            await self._finish(ref, asyncio.create_task(self._write(ref, line)), deadline)

    def forget(self, ref: str) -> None:
        if task := self._unfinished.pop(ref, None):
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._unfinished.values())
        for ref in list(self._unfinished):
            self.forget(ref)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, ref: str, task: asyncio.Task[None], deadline: float) -> None:
        self._unfinished[ref] = task
        done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
        if not done:
            raise EngineError(f"container {ref[:32]} does not read its stdin")
        self._unfinished.pop(ref, None)
        task.result()


async def write_all(fd: int, data: bytes) -> None:
    """All of it into a pipe that does not block, as the program reads it. BrokenPipeError if it ends."""
    loop = asyncio.get_running_loop()
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(fd, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(fd)
