"""The supervisor: owns one agent's log while there is something to do, in one worker of many.

acquire the lease ─► take the log over ─► [intents into the log ─► next run] … ─► release
                                every other worker that tries meanwhile finds the lease taken
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import structlog

from agents.definitions import Definition, catalog
from agents.errors import AgentsError, ChoiceNotAllowed, DefinitionInvalid, InputInvalid, UnknownDefinition
from agents.fleet.hosts import OnAnotherHost
from agents.log import queue_order
from agents.log.intents import Intents, load_run_events, read_intents, reconcile, undelivered_answers
from agents.log.lease import Lease
from agents.log.projection import projection
from agents.log.run_summary import RunSummary
from agents.models import Agent, Run
from agents.runs import attempts, choices
from agents.worker import container_cleanup
from agents.worker.engine_pool import Engines
from agents.worker.execution import Detached, Execution
from containers.errors import EngineError
from streaming.errors import Fenced, JournalUnavailable, LogMissing
from streaming.model.events import draft
from streaming.model.fold import waiting_runs
from streaming.store.bus import Bus
from streaming.store.database import in_database
from streaming.write.takeover import take_over
from streaming.write.writer import Writer

log = structlog.get_logger(__name__)
DETACH_PATIENCE_S = 2.0
"""How long a worker that stops waits for the database. What is only in Redis then is adopted by whoever goes on."""
DETACH_MOST_S = 2.25
"""After that it waits for nothing any more, be it an engine that takes long to start a container: `agentsite up` kills
a worker 3 s after SIGTERM, and a lease that is not given back by then has to run out."""
LOOK_AGAIN_S = 1.0


class Supervisor:
    def __init__(self, agent_id: str, lease: Lease, bus: Bus, engines: Engines, worker: str) -> None:
        self.agent_id = agent_id
        self.lease = lease
        self.run_id: str | None = None
        """The run that it executes, or did last."""
        self._bus = bus
        self._engines = engines
        self._worker = worker
        self._writer: Writer | None = None
        self._execution: Execution | None = None
        self._detaching = False
        self._patience: asyncio.Timeout | None = None
        self._asked = asyncio.Event()
        self._looking = asyncio.Lock()

    async def supervise(self) -> None:
        """Until no run is left. Raises Fenced or LogMissing when the log is another's or gone, Detached when the worker
        stops, OnAnotherHost."""
        self._patience = asyncio.timeout(DETACH_MOST_S if self._detaching else None)
        try:
            async with self._patience:
                await self._supervise()
        except TimeoutError:
            if not self._patience.expired():
                raise
            log.warning("stopped in the middle, the next worker goes on", agent_id=self.agent_id)
            raise Detached from None
        finally:
            self._patience = None

    async def _supervise(self) -> None:
        project = projection(self.agent_id)
        opening = await take_over(self._bus, self.agent_id, self.lease.epoch, project)
        writer = Writer(self.agent_id, self.lease.epoch, opening, self._bus, self.lease.held, project)
        self._writer = writer
        looker = asyncio.create_task(self._look_when_asked(), name=f"look {self.agent_id}")
        try:
            await self.look()
            while (next_run := await self._next_run(writer)) is not None:
                await self._execute(writer, *next_run)
                await self.look()
            await writer.close()
        except (Detached, OnAnotherHost):
            with contextlib.suppress(TimeoutError, Fenced):
                async with asyncio.timeout(DETACH_PATIENCE_S):
                    await writer.close()
            raise
        finally:
            looker.cancel()
            await asyncio.gather(looker, return_exceptions=True)
            await writer.abandon()

    def ask(self) -> None:
        """To look soon. Returns at once, so an agent that is slow to look keeps nobody else waiting."""
        self._asked.set()

    async def look(self) -> None:
        """Bring the log in line with what people ask for. At the start, between runs, when poked, and by poll."""
        writer = self._writer
        if writer is None:
            return
        async with self._looking:
            intents = await in_database(read_intents, self.agent_id)
            await writer.append(reconcile(writer.state, intents))
            if self._execution is not None:
                self._pass_on(writer, self._execution, intents)

    def detach(self) -> None:
        """Before or after `supervise` has begun. Its lease is free at most DETACH_MOST_S later."""
        self._detaching = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + DETACH_MOST_S)
        if self._execution is not None:
            self._execution.detach()

    def lose(self) -> None:
        """The heartbeat says that the lease is another's."""
        self.lease.deadline = 0.0
        if self._writer is not None:
            self._writer.lose()

    @property
    def known_runs(self) -> set[str]:
        """Runs that are in the log already; of those that have ended the last."""
        if self._writer is None:
            return set()
        return {*waiting_runs(self._writer.state), *(run["id"] for run in self._writer.state["runs"])}

    @property
    def queue(self) -> list[str]:
        """Runs that wait, as the log has them."""
        return waiting_runs(self._writer.state) if self._writer is not None else []

    @property
    def open_questions(self) -> set[tuple[str, str]]:
        """Run and approval of the questions that wait for an answer, as the log has them."""
        approvals = self._writer.state["approvals"] if self._writer is not None else []
        return {(one["run_id"], one["approval_id"]) for one in approvals if one["decision"] is None}

    async def _look_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.look()
            except (Fenced, LogMissing):
                self.lose()
                return
            except JournalUnavailable as error:
                log.warning("could not look, will again", agent_id=self.agent_id, error=str(error))
                await asyncio.sleep(LOOK_AGAIN_S)
                self._asked.set()
            except Exception:
                log.exception("could not look", agent_id=self.agent_id)

    # Runs ---------------------------------------------------------------------------------------------------------

    async def _next_run(self, writer: Writer) -> tuple[str, bool] | None:
        """The run to execute, and whether it was already begun. If not, it is taken: from here on it is neither moved
        nor ended by whoever looks."""
        while not self._detaching:
            if (active := writer.state["active_run"]) is not None:
                return active, True
            async with self._looking:
                if not (queue := waiting_runs(writer.state)):
                    return None
                run_id = await in_database(queue_order.take, self.agent_id, queue)
            if run_id == queue[0]:
                return run_id, False
            await self.look()  # somebody has moved it since we looked
        raise Detached

    async def _execute(self, writer: Writer, run_id: str, resumed: bool) -> None:
        self.run_id = run_id
        run = await in_database(_load, run_id)
        if run is None:
            await self._refuse(writer, run_id, "unknown-definition", "the run is not there any more")
            return
        try:
            definition = _definition(run)
        except AgentsError as problem:
            await self._refuse(writer, run_id, problem.code, problem.message)
            return
        execution = Execution(
            run_id, self.agent_id, definition, self._engines, writer, self._worker, self.ask, run["budget"]
        )
        self._execution = execution
        try:
            if run["cancel_requested_at"]:
                execution.cancel(run["cancel_reason"])
            if self._detaching:
                execution.detach()
            await execution.execute(run["input"], resumed)
        finally:
            self._execution = None

    async def _refuse(self, writer: Writer, run_id: str, code: str, message: str) -> None:
        """The end of a run that can't be executed, or not any more: the file of definitions has changed meanwhile."""
        tally = RunSummary(run_id)
        tally.add(await in_database(load_run_events, self.agent_id, run_id))
        await writer.append(
            [
                draft("error", run_id, code=code, message=message),
                *await in_database(undelivered_answers, writer.state, run_id),
                draft("status", run_id, status="failed"),
                tally.done("failed", None),
            ]
        )
        await writer.flush()
        try:
            await container_cleanup.remove_leftovers(self._engines, run_id)
        except EngineError as error:  # the sweep comes by every minute
            log.warning("containers not removed yet", run_id=run_id, error=str(error))
        await in_database(attempts.close_all, run_id, code)

    def _pass_on(self, writer: Writer, execution: Execution, intents: Intents) -> None:
        if execution.run_id in intents.cancels:
            execution.cancel(intents.cancels[execution.run_id])
        open_approvals = {
            approval["approval_id"]
            for approval in writer.state["approvals"]
            if approval["run_id"] == execution.run_id and approval["decision"] is None
        }
        for answer in intents.answers:
            if str(answer.run_id) == execution.run_id and answer.approval_id in open_approvals:
                execution.answer(answer.approval_id, answer.decision, answer.by, answer.reason)
        for run_id, content in intents.steers:
            if run_id != execution.run_id:
                execution.steer(run_id, content)
        execution.want_scan()


def _load(run_id: str) -> Mapping[str, Any] | None:
    said = ("input", "cancel_requested_at", "cancel_reason", "budget")
    chosen = ("agent__definition", "agent__model", "agent__tools")
    found: Mapping[str, Any] | None = Run.objects.filter(pk=run_id).values(*said, *chosen).first()
    return found


def _definition(run: Mapping[str, Any]) -> Definition:
    """With what was chosen for its agent. Raises UnknownDefinition, DefinitionInvalid, ChoiceNotAllowed."""
    name = run["agent__definition"]
    known = catalog.current()
    definition = known.definitions.get(name)
    if (mistake := known.mistake_of(name)) is not None:
        raise DefinitionInvalid(f"definition {name!r} has a mistake in agents.toml, {mistake}")
    if definition is None:
        raise UnknownDefinition(f"there is no definition {name!r} any more")
    try:
        return choices.applied(definition, run["agent__model"], run["agent__tools"])
    except InputInvalid as problem:
        raise ChoiceNotAllowed(problem.message) from None


def is_deleted(agent_id: str) -> bool:
    return not Agent.objects.filter(pk=agent_id).exists()
