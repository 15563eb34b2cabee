"""The part of a worker process that all its supervisors share: one event loop, one engine, one heartbeat.

Celery gives each run a thread that only waits (300 parked runs cost 12 MB); the work is coroutines on this loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import redis.asyncio as redis
import structlog
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agents.errors import RunDeleted
from agents.fleet import hosts
from agents.fleet.hosts import OnAnotherHost
from agents.fleet.workers import PRESENCE
from agents.gateway import run_gateway
from agents.gateway.providers import keys
from agents.gateway.providers.upstream import close_upstream
from agents.log import lease as leases
from agents.log import pending_intents, wakeups
from agents.log.brief_lease import acquire_brief
from agents.worker import container_cleanup
from agents.worker.engine_pool import Engines
from agents.worker.execution import Detached
from agents.worker.supervisor import Supervisor, is_deleted
from agents.workspace import belongings
from containers.errors import EngineError
from streaming.errors import BusUnavailable, Fenced, JournalUnavailable, LogMissing
from streaming.store.bus import Bus
from streaming.store.database import in_database

log = structlog.get_logger(__name__)
PRESENCE_TTL_S = 30
RETRY_S = 1.0
STOP_S = 5.0
HANG_UP_S = 0.5


class Runner:
    """One per worker process. `start`, `stop`, `submit`, `detach`: from any thread. The rest: on its loop."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()[:64]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.engines = Engines()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runner", daemon=True)
        self._supervisors: dict[str, Supervisor] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._detaching = False
        self._providers: dict[str, str | None] = {}
        self._bus: Bus

    # Threads ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()
        self.submit(self._start()).result()

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def detach(self) -> None:
        """Hand every run over: containers go on, leases are given back. Returns at once; tasks end by themselves."""
        self._detaching = True
        self._loop.call_soon_threadsafe(self._detach)

    def hang_up(self) -> None:
        """A worker's last act, when its tasks have ended: what is left open would complain in its log."""
        with contextlib.suppress(TimeoutError):
            self.submit(close_upstream()).result(HANG_UP_S)

    def stop(self) -> None:
        """Everything of it ends, also what it supervises: `detach` first, and wait for the tasks."""
        self.submit(self._stop()).result(STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()

    async def _start(self) -> None:
        self._bus = Bus()
        work = {
            "heartbeat": (self._heartbeat, settings.LEASE_HEARTBEAT_S),
            "intents": (self._poll_intents, settings.INTENT_POLL_S),
            "presence": (self._be_present, PRESENCE_TTL_S / 3),
            "pokes": (self._hear_pokes, RETRY_S),
        }
        self._tasks = [asyncio.create_task(_again(*how), name=name) for name, how in work.items()]
        self._tasks.append(asyncio.create_task(self._prepare()))

    async def _prepare(self) -> None:
        """Look for the engine now rather than in the first run; one that is not there yet is looked for again then."""
        try:
            await self.engines()
        except EngineError as error:
            log.warning("no engine yet", error=str(error))

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bus.close()
        await close_upstream()
        await self.engines.close()
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _detach(self) -> None:
        for supervisor in self._supervisors.values():
            supervisor.detach()

    # Agents -------------------------------------------------------------------------------------------------------

    async def supervise(self, agent_id: str) -> bool:
        """Do what there is to do for this agent, unless another does it. False if the worker stopped before the end, or
        another host has to do it: then somebody has to be asked again."""
        while not self._detaching:
            if agent_id in self._supervisors or not (work := await in_database(hosts.hosts_of_open_runs, agent_id)):
                return True
            if await in_database(hosts.is_elsewhere, work, self.engines.host):
                return False
            lease = await acquire_brief(agent_id, self.worker)
            if lease is None:
                return True
            supervisor = Supervisor(agent_id, lease, self._bus, self.engines, self.worker)
            try:
                await self._hold(supervisor)
            except (Fenced, LogMissing, RunDeleted):
                await self._abandoned(supervisor)
            except (Detached, OnAnotherHost):
                return False
            # Once more: somebody may have posted after our last look and before the release, and found the lease taken.
            # And the writer that has fenced us off may have been a web process, which executes no runs.
        return False

    async def _hold(self, supervisor: Supervisor) -> None:
        self._supervisors[supervisor.agent_id] = supervisor
        if self._detaching:  # since we looked
            supervisor.detach()
        try:
            await supervisor.supervise()
        finally:
            # Another of ours may have taken the lease over while this one was on its way out.
            if self._supervisors.get(supervisor.agent_id) is supervisor:
                del self._supervisors[supervisor.agent_id]
            with contextlib.suppress(JournalUnavailable):
                await in_database(leases.release, supervisor.lease)

    async def _abandoned(self, supervisor: Supervisor) -> None:
        agent_id = supervisor.agent_id
        if not await in_database(is_deleted, agent_id):
            log.warning("no longer the writer", agent_id=agent_id)
            return
        log.info("the agent was deleted", agent_id=agent_id)
        try:
            for engine in await self.engines.all_open():
                await container_cleanup.remove_containers(engine, agent_id)
        except EngineError as error:  # the sweep comes by every minute
            log.warning("containers of a deleted agent not removed yet", agent_id=agent_id, error=str(error))
        if supervisor.run_id is not None:
            await asyncio.to_thread(run_gateway.place().remove, supervisor.run_id)
        # Its container may have gone on writing after the deletion.
        await asyncio.to_thread(belongings.remove, agent_id)

    # What goes on beside, again and again ---------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        held = {supervisor.agent_id: supervisor for supervisor in self._supervisors.values()}
        try:
            lost = await in_database(leases.renew, [supervisor.lease for supervisor in held.values()])
        except JournalUnavailable as error:
            log.warning("leases not renewed", held=len(held), error=str(error))
            return
        for lease in lost:
            held[lease.agent_id].lose()
        with contextlib.suppress(JournalUnavailable):
            await in_database(hosts.renew, self.engines.host)

    async def _poll_intents(self) -> None:
        supervisors = self._supervisors.values()
        known = {
            one.agent_id: pending_intents.Known(one.known_runs, one.open_questions, one.queue) for one in supervisors
        }
        if not known:
            return
        with contextlib.suppress(JournalUnavailable):
            for agent_id in await in_database(pending_intents.agents_with_pending_intents, known):
                self._ask(agent_id)

    def _ask(self, agent_id: str) -> None:
        if (supervisor := self._supervisors.get(agent_id)) is not None:
            supervisor.ask()

    async def _hear_pokes(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=None, retry=Retry(NoBackoff(), 0))
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(wakeups.CHANNEL)
                while True:
                    message = await subscription.get_message(ignore_subscribe_messages=True, timeout=60)
                    if message is not None and message["type"] == "message":
                        self._ask(message["data"].decode())
        except (RedisError, OSError) as error:
            log.info("pokes not heard, polling goes on", error=str(error))
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()

    async def _be_present(self) -> None:
        with contextlib.suppress(JournalUnavailable):
            self._providers = await in_database(keys.reasons)
        with contextlib.suppress(BusUnavailable):
            await self._bus.keep(PRESENCE + self.worker, json.dumps(self._presence()), PRESENCE_TTL_S)

    def _presence(self) -> dict[str, Any]:
        return {
            "worker": self.worker,
            "host": self.engines.host,
            "engine": self.engines.chosen or settings.ENGINE,
            "active": len(self._supervisors),
            "concurrency": settings.WORKER_CONCURRENCY,
            "providers": self._providers,
        }


async def _again(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """For as long as the worker lives. A mistake in one turn must not cost all later ones: without the heartbeat every
    lease of this worker would run out."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("goes on with the next turn")
        await asyncio.sleep(pause_s)


_runner: Runner | None = None
_lock = threading.Lock()


def runner() -> Runner:
    """This process's runner, started when first asked for: after Celery's fork, never before."""
    global _runner
    with _lock:
        if _runner is None:
            _runner = Runner()
            _runner.start()
        return _runner


def running() -> Runner | None:
    """The runner, if there is one already."""
    return _runner
