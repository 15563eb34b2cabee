"""A worker of the model's site, and the container whose output it pumps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from agents.log import lease as leases
from agents.log.lease import Lease
from streaming.errors import Fenced, JournalUnavailable
from streaming.model.events import Draft
from streaming.write.takeover import take_over
from streaming.write.writer import Writer
from tests.model.scale import AGENT, BATCH_LINES
from tests.model.stand_ins import in_memory_database

if TYPE_CHECKING:
    from tests.model.site import Site

HEARTBEAT_S = 10.0


class Worker:
    """What agents.worker.runner and agents.worker.supervisor do with a log: lease, takeover, and a container's output
    pumped into it, line by line from the position that the log names."""

    def __init__(self, site: Site, name: str) -> None:
        self.name = name
        self.writer: Writer | None = None
        self._site = site
        self._going = asyncio.Event()
        self._going.set()
        self._leaving = asyncio.Event()
        self._remarks: list[str] = []
        self._bus = site.bus()
        self.task = site.loop.start(self._work(), name)

    @property
    def is_stalled(self) -> bool:
        return not self._going.is_set()

    @property
    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    def stall(self) -> None:
        self._going.clear()
        self._site.gate.stop(self.name)

    def go_on(self) -> None:
        self._going.set()
        self._site.gate.go_on(self.name)
        self._site.loop.settle()

    def kill(self) -> None:
        """SIGKILL. What it has asked of a store may happen later."""
        self._site.gate.dead.add(self.name)
        self._site.gate.go_on(self.name)
        self._site.workers.remove(self)
        self.task.cancel()
        self._site.loop.settle()

    def remark(self, text: str) -> None:
        """An event of its own: no line of the container's, so nobody writes it again when it is lost."""
        self._remarks.append(text)
        self._site.wake_pumps()

    def leave(self) -> None:
        """SIGTERM."""
        self._leaving.set()
        self._site.loop.settle()

    async def _work(self) -> None:
        while not self._leaving.is_set():
            with contextlib.suppress(JournalUnavailable):
                lease: Lease | None = await in_memory_database(leases.acquire, AGENT, self.name)
                if lease is not None:
                    await self._supervise(lease)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()
        self._site.workers.remove(self)

    async def _supervise(self, lease: Lease) -> None:
        renewing = asyncio.create_task(self._renew(lease))
        try:
            with contextlib.suppress(Fenced):
                opening = await take_over(self._bus, AGENT, lease.epoch)
                self._site.takeovers += 1
                self.writer = Writer(AGENT, lease.epoch, opening, self._bus, lease.held)
                await self._write(self.writer)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            self.writer = None
        with contextlib.suppress(JournalUnavailable):
            await in_memory_database(leases.release, lease)

    async def _write(self, writer: Writer) -> None:
        pumping = asyncio.create_task(self._pump(writer))
        losing = asyncio.create_task(writer.wait_lost())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((pumping, losing, leaving), return_when=asyncio.FIRST_COMPLETED)
            pumping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pumping
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await writer.close()
        finally:
            for task in (pumping, losing, leaving):
                task.cancel()
            await asyncio.gather(pumping, losing, leaving, return_exceptions=True)
            await writer.abandon()

    async def _pump(self, writer: Writer) -> None:
        at = int(writer.position or 0)
        while True:
            await self._going.wait()
            if self._remarks:
                await writer.append([_text(self._remarks.pop(0))])
            end = min(at + BATCH_LINES, self._site.lines)
            if end == at:
                await self._site.printed.wait()
                continue
            await writer.append([_text(f"{number} ") for number in range(at + 1, end + 1)], str(end))
            at = end

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._going.wait()
            with contextlib.suppress(JournalUnavailable):
                if await in_memory_database(leases.renew, [lease]):
                    lease.deadline = 0.0
                    if self.writer is not None:
                        self.writer.lose()


def _text(content: str) -> Draft:
    return Draft("text", "r1", {"message_id": "m", "content": content})
