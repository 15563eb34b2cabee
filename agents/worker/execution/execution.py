"""The life of one run; agents.worker.execution says which steps it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

import structlog
from django.conf import settings

from agents.definitions import Definition
from agents.errors import RunDeleted
from agents.fleet import hosts
from agents.gateway import run_gateway
from agents.gateway.budgets.guard import Guard
from agents.log import intents
from agents.models import Attempt
from agents.outcome import Outcome, StopReason, decide_outcome
from agents.programs.history import history
from agents.programs.output_pump import Pump, late_drafts
from agents.programs.protocols import Opening, conversation
from agents.runs import attempts
from agents.worker import container_cleanup, source_position
from agents.worker.engine_pool import Engines
from agents.worker.execution import control_signals
from agents.worker.execution.active_time import ActiveTime
from agents.worker.execution.answers import Answers
from agents.worker.execution.approval_timeout import ApprovalTimeout
from agents.worker.execution.container_start import ContainerStart
from agents.worker.execution.container_stop import stop_container
from agents.worker.execution.control_signals import CancelRequested, ControlSignals, Detached
from agents.worker.execution.deliveries import Deliveries
from agents.worker.execution.run_log import RunLog
from agents.worker.execution.steering import Steering
from agents.worker.execution.workspace_watch import WorkspaceWatch
from agents.workspace import WorkspaceMissing
from containers.errors import ContainerGone, EngineError, StartFailed
from containers.interface import Engine, Exit
from streaming.errors import JournalUnavailable, StreamingError
from streaming.model.events import Draft, Event, draft
from streaming.store.database import in_database
from streaming.write.writer import Writer

log = structlog.get_logger(__name__)
INSIDE = "/workspace"
"""Where a program sees its workspace; without isolation it is where it is."""


class Execution:
    """`ask` has the supervisor look for what people asked meanwhile."""

    def __init__(
        self,
        run_id: str,
        agent_id: str,
        definition: Definition,
        engines: Engines,
        writer: Writer,
        worker: str,
        ask: Callable[[], None],
        budget: Mapping[str, float] | None = None,
    ) -> None:
        self.run_id = run_id
        self._agent_id = agent_id
        self._definition = definition
        self._engines = engines
        self._writer = writer
        self._worker = worker
        self._ask = ask
        self._run_log = run_log = RunLog(run_id, writer)
        self._conversation = talk = conversation(run_id, definition)
        self._signals = control_signals = ControlSignals(run_id, writer)
        self._guard = Guard(
            run_id, agent_id, definition.budget, budget, run_log.append, run_log.flush, control_signals.notify
        )
        self._disk = WorkspaceWatch(agent_id, run_log, definition.limits.workspace_mib, control_signals.notify)
        self._deliveries = deliveries = Deliveries(run_id)
        self._answers = Answers(run_log, deliveries, talk.answer, self._send, control_signals.check_cancel)
        self._steering = Steering(run_log, deliveries, self._send, self._listens)
        self._patience = ApprovalTimeout(run_log, definition.approval_timeout_s, talk.denial, ask)
        run_log.watchers.append(self._guard.watch)
        run_log.hearers.append(self._hear)
        self._done_seen_at: float | None = None
        self._pump: Pump | None = None
        self._engine: Engine
        self._gateway: run_gateway.RunGateway | None = None
        self._clock: ActiveTime | None = None
        self._ref = ""

    # What others ask of it ----------------------------------------------------------------------------------------

    def cancel(self, reason: str) -> None:
        self._signals.ask_to_cancel(reason)

    def detach(self) -> None:
        self._signals.ask_to_detach()

    def want_scan(self) -> None:
        """Somebody may have changed files."""
        self._disk.want_scan()

    def answer(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """Any number of times; before there is a container it is not taken, and asked again later."""
        if self._ref and self._signals.cancel is None:
            self._answers.take(approval_id, decision, by, reason)

    def steer(self, run_id: str, content: str) -> None:
        """Any number of times; it is told when it listens."""
        if self._definition.steering and self._signals.cancel is None:
            self._steering.take(run_id, content)

    # The run ------------------------------------------------------------------------------------------------------

    async def execute(self, content: str, resumed: bool) -> None:
        """Raises Fenced when another is the writer, Detached when the worker stops, RunDeleted, OnAnotherHost."""
        exit_: Exit | None = None
        try:
            exit_, stop = await self._run(content, resumed)
        except EngineError as error:
            log.warning("run could not start", run_id=self.run_id, code=error.code, error=str(error))
            stop = self._signals.cancel or StopReason.failed(error.code, str(error), retryable=error.retryable)
        except OSError as error:
            reason = f"the workspace can't be used: {error.strerror or error}"
            stop = StopReason.failed("workspace-unusable", reason)
        except WorkspaceMissing as error:
            stop = self._signals.cancel or StopReason.failed(error.code, error.message, retryable=error.retryable)
        except (StreamingError, Detached, RunDeleted, hosts.OnAnotherHost):
            raise
        except Exception as error:
            log.exception("a mistake of ours ended a run", run_id=self.run_id)
            stop = StopReason.failed(
                "internal-error", f"the site made a mistake ({type(error).__name__}); its log says more"
            )
        finally:
            await self._end_company()
        await self._finish(exit_, stop)

    async def _run(self, content: str, resumed: bool) -> tuple[Exit | None, StopReason | None]:
        attempt = await self._begin(content, resumed)
        try:
            stop = await self._start(attempt)
        except CancelRequested:
            if not attempt.is_new:  # it may have been started, and its starter have died before it wrote that down
                await self._signals.patiently(
                    lambda: container_cleanup.remove_leftovers(self._engines, self.run_id),
                    control_signals.TAKEOVER_PATIENCE_S,
                )
            return None, self._signals.cancel
        if stop is not None:
            return None, stop
        return await self._follow(content, attempt)

    async def _begin(self, content: str, resumed: bool) -> Attempt:
        known = await self._resume() if resumed else None
        wanted = known.engine if known else None
        patience_s = control_signals.TAKEOVER_PATIENCE_S if known else control_signals.START_PATIENCE_S
        engine = await self._signals.patiently(
            lambda: self._engines(wanted), patience_s, unless_cancelled=known is None
        )
        self._engine = engine
        self._run_log.attempt = attempt = await in_database(
            attempts.open_attempt, self.run_id, engine.name, engine.isolation, self._worker, self._engines.host
        )
        self._clock = ActiveTime(attempt, self._signals.notify)
        self._run_log.hearers.append(self._clock.hear)
        await self._guard.begin()
        reasons = ["taken over"] if resumed else []
        if engine.isolation == "none":
            reasons.append("isolation: none")
        await self._run_log.say_status("waiting" if self._run_log.waits() else "running", ", ".join(reasons) or None)
        await self._run_log.append(intents.prompt_again(self._run_log.state, self.run_id, content))
        self._writer.hasten()  # whoever has posted waits for it
        return attempt

    async def _resume(self) -> Attempt | None:
        """Take up what another worker has left; the attempt that it had begun, if it had. Raises HostLost,
        OnAnotherHost."""
        events = await in_database(intents.load_run_events, self._agent_id, self.run_id)
        self._run_log.tally.add(events)
        self._guard.resume(events)
        asked = {event.data["approval_id"] for event in events if event.type == "approval-request"}
        self._conversation.resume(self._run_log.tally.usage, asked)
        self._run_log.attempt = known = await in_database(attempts.unfinished_of, self.run_id)
        if known is not None:
            await in_database(hosts.check, known, self._engines.host)
        return known

    async def _start(self, attempt: Attempt) -> StopReason | None:
        """A reason, if there is nothing to be started. Raises CancelRequested before anything was started."""
        if known := attempt.container_ref:
            self._ref = known
            # Raises ContainerGone: what was started once and is not there any more is not started a second time.
            await self._signals.patiently(lambda: self._engine.inspect(known), control_signals.TAKEOVER_PATIENCE_S)
            await self._open_gateway()
            return None
        await self._signals.check_cancel()
        await self._open_gateway()
        gateway = run_gateway.directory(self.run_id) if self._gateway is not None else None
        start = ContainerStart(self._definition, self._engine, attempt, self._writer, self._signals, self._report)
        found = await start.container(self._disk, gateway)
        if isinstance(found, StopReason):
            return found
        self._ref = found
        return None

    async def _open_gateway(self) -> None:
        if not run_gateway.is_wanted(self._definition):
            return
        try:
            self._gateway = await run_gateway.open_gateway(
                self.run_id, self._definition, self._run_log.append, lambda: self._run_log.tally.usage, self._guard
            )
        except OSError as error:
            raise StartFailed(f"the gateway's socket can't be made: {error.strerror or error}") from error

    async def _opening(self, content: str, attempt: Attempt) -> Opening:
        return Opening(
            content,
            await in_database(history, self._agent_id, self._writer.folded, self.run_id),
            self._definition.config(),
            cwd=str(self._disk.path) if self._engine.isolation == "none" else INSIDE,
            epoch=self._writer.epoch,
            is_takeover=not attempt.is_new,
            was_sent=attempt.start_sent_at is not None,
            earlier_session=await in_database(attempts.session_before, self.run_id),
        )

    async def _converse(self, attempt: Attempt) -> None:
        try:
            await self._conversation.converse(self._send, lambda session: self._note_start_sent(attempt, session))
        except CancelRequested:
            pass  # it is being stopped
        except (EngineError, StreamingError, RunDeleted) as error:
            # A program may end before it reads its input; what it printed and its exit code say more than this.
            log.info("what was to be said was not taken", run_id=self.run_id, error=str(error))

    async def _note_start_sent(self, attempt: Attempt, session: str) -> None:
        await in_database(attempts.note_start_sent, attempt, session)
        self._ask()  # for what may be told only now

    async def _follow(self, content: str, attempt: Attempt) -> tuple[Exit | None, StopReason | None]:
        """Output into the log until the container has ended, of its own accord or because it had to."""
        read_to = self._writer.position, self.run_id, attempt.number
        most_bytes = self._definition.limits.limits().output_bytes
        self._conversation.open(await self._opening(content, attempt), self._signals.notify)
        self._pump = pump = Pump(
            self._conversation,
            source_position.read(*read_to),
            most_bytes,
            self._run_log.append,
            self._signals.notify,
            source_position.read_begin(*read_to),
        )
        self._ask()  # for what may be told only now: a program that was taken over is not told its start again
        # Beside reading: a program may print for a long time before it reads, and its stdin may not take a long line.
        tasks = [pumping := asyncio.create_task(pump.run(self._engine.output(self._ref, pump.begin)))]
        tasks.append(asyncio.create_task(self._converse(attempt)))
        try:
            assert self._clock is not None
            stop = await self._watch(pump, pumping, self._clock)
            if stop is not None:
                await self._deliveries.close()  # nothing that people ask goes to a program that has to stop
                asking = self._conversation.cancel
                await stop_container(self._engine, self._ref, stop, self.run_id, asking, pumping, self._signals)
            if pumping.done():
                pumping.result()
            return await self._exit(), stop
        except EngineError as error:
            return None, self._signals.cancel or StopReason.failed(error.code, str(error), retryable=error.retryable)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, pump: Pump, pumping: asyncio.Task[None], clock: ActiveTime) -> StopReason | None:
        """Returns when the output has ended (None) or the container has to be stopped."""
        while True:
            self._signals.look()
            if near := self._guard.watch_time(clock.elapsed_s()):
                await self._run_log.append(near)
            await self._patience.look()
            deadline = clock.when(self._wall_s())
            if (stop := self._reason_to_stop(pump, deadline)) is not None:
                return stop
            if pumping.done():
                return None
            self._disk.tend()
            patience_s = self._conversation.done_patience_s
            done_at = float("inf") if self._done_seen_at is None else self._done_seen_at + patience_s
            moments = [at for after_s in self._guard.moments_s() if (at := clock.when(after_s)) > monotonic()]
            until = min(deadline, done_at, self._disk.due_at(), self._patience.due_at(), *moments)
            await self._signals.wait(pumping, timeout_s=max(0.01, until - monotonic()))

    def _reason_to_stop(self, pump: Pump, deadline: float) -> StopReason | None:
        if self._signals.cancel is not None:
            return self._signals.cancel
        if pump.over_limit:
            mib = self._definition.limits.output_mib
            return StopReason.failed("output-limit", f"the program printed more than {mib} MiB")
        if (full := self._disk.full()) is not None:
            return full
        if monotonic() >= deadline:
            return StopReason.failed("time-limit", f"the run took longer than {self._wall_s():g} s")
        if (refused := self._guard.stop or self._patience.stop) is not None:
            return refused
        if pump.program_done:
            self._done_seen_at = self._done_seen_at or monotonic()
            if monotonic() - self._done_seen_at >= self._conversation.done_patience_s:
                return StopReason("done")
        return None

    def _wall_s(self) -> float:
        return min(self._definition.limits.wall_s or settings.RUN_TIME_LIMIT_S, settings.RUN_TIME_LIMIT_S)

    async def _exit(self) -> Exit | None:
        try:
            return await self._engine.wait(self._ref)
        except ContainerGone:
            return None

    async def _end_company(self) -> None:
        """What goes on beside the run ends before it does: nothing of it may come after its `done`."""
        if self._gateway is not None:
            await self._gateway.close()
        await self._deliveries.close()
        await self._disk.close()

    # The end ------------------------------------------------------------------------------------------------------

    async def _finish(self, exit_: Exit | None, stop: StopReason | None) -> None:
        pump, unsaid = self._pump, self._conversation.close()
        said, stderr = self._conversation.done, pump.stderr_tail if pump else ()
        if said is not None and not self._conversation.ends_itself:
            stop = stop or StopReason("done")  # by a worker that has died since
        verdict = decide_outcome(exit_, stop, said, self._definition.limits, stderr, unsaid)
        drafts = late_drafts(pump, self._run_log.error) if pump else []
        if verdict.problem is not None:
            drafts.append(self._run_log.error(*verdict.problem, retryable=verdict.retryable))
        drafts += await self._undelivered()
        drafts += await self._disk.changes()
        await self._disk.keep("after")
        drafts.append(draft("status", self.run_id, status=verdict.status, reason=verdict.reason))
        self._run_log.tally.add(drafts)
        result = said.data.get("result") if said else None
        await self._writer.append([*drafts, self._run_log.tally.done(verdict.status, result, self._duration_ms())])
        await self._writer.flush()
        await self._clear_away(exit_, verdict)

    async def _undelivered(self) -> list[Draft]:
        """Answers that were accepted and that a stop, or the program's own end, overtook."""
        while True:
            try:
                return await in_database(intents.undelivered_answers, self._writer.state, self.run_id)
            except JournalUnavailable:
                self._signals.check()
                await asyncio.sleep(control_signals.DATABASE_AGAIN_S)

    async def _clear_away(self, exit_: Exit | None, verdict: Outcome) -> None:
        """Losing this to a crash is harmless: the sweep does the same a minute later."""
        if self._ref:
            try:
                await self._engine.remove(self._ref)
            except EngineError as error:
                log.info("container not removed yet", run_id=self.run_id, error=str(error))
        if self._gateway is not None:
            await asyncio.to_thread(run_gateway.place().remove, self.run_id)
        if self._run_log.attempt is not None:
            await in_database(
                attempts.close_attempt, self._run_log.attempt, exit_.code if exit_ else None, verdict.outcome
            )

    def _duration_ms(self) -> int | None:
        attempt = self._run_log.attempt
        return None if attempt is None else max(0, round((monotonic() - attempt.monotonic_start) * 1000))

    # In between ---------------------------------------------------------------------------------------------------

    async def _hear(self, events: list[Event]) -> None:
        """What follows from what got into the log."""
        types = {event.type for event in events}
        if "tool-result" in types:
            self.want_scan()  # a tool may have written files
        if "tool-call" in types:
            self._deliveries.run("count tool calls", self._guard.count_tools)

    async def _report(self, reason: str) -> None:
        """What it is doing."""
        await self._run_log.say_status("running", reason)

    def _listens(self) -> bool:
        attempt, pump = self._run_log.attempt, self._pump
        begun = attempt is not None and attempt.start_sent_at is not None
        return begun and pump is not None and not pump.program_done

    async def _send(self, line: bytes, *of_runs: str) -> None:
        """All that its program is told goes through here, but for the lines that ask it to stop. Raises
        CancelRequested, also where one of `of_runs`, whose words these are, was told to stop."""
        await self._signals.check_cancel(*of_runs)
        await self._engine.send(self._ref, line)
