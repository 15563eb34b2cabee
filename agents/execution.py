"""One run, from its first status to its `done`, in whichever worker holds the log.

    1  begin      engine, attempt row, `status: running`
    2  start      the container, by a key that makes a second start harmless
    3  follow     the start line to its stdin; its output into the log (agents.pump), until it ends or is stopped
    4  finish     what happened, as an error where it went wrong; files; `status`; `done`: one batch, so all or nothing

A worker that takes the run over enters at 2 with the same attempt and reads on at the log's position.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import structlog
from django.conf import settings

from agents import attempts, egress, position, pulling, reconcile, sweep
from agents.budgets.guard import Guard, is_ours
from agents.definitions import Definition
from agents.engines import Engines
from agents.history import history
from agents.models import Attempt
from agents.providers import access
from agents.pump import Pump, late_drafts
from agents.tally import Tally
from agents.translate import Translator
from agents.verdict import Stop, Verdict, judge
from agents.workspace import Workspace
from agents.workspace.history import History
from agents.workspace.history.store import Moment
from containers.engine import Engine, Exit, Offset
from containers.errors import ContainerGone, EngineError, EngineUnavailable, ImageMissing, StartFailed
from containers.protocols import jsonl
from containers.spec import MIB, Spec
from containers.workspace import program_user
from streaming.database import in_database
from streaming.errors import Fenced, StreamingError
from streaming.events import Draft, Event, draft
from streaming.writer import Writer

log = structlog.get_logger(__name__)
CANCEL_PATIENCE_S = 1.0
"""From `cancel` on stdin to SIGTERM: a program that listens ends by itself."""
DONE_PATIENCE_S = 5.0
"""From a program's `done` line to SIGTERM."""
DRAIN_S = 10.0
"""How long a stopped container's last output is waited for."""
SCAN_INTERVAL_S = 2.0
MEASURE_INTERVAL_S = 2.0
"""How often the workspace is measured while a program runs: what it writes meanwhile may be above its limit."""
MEASURE_SHARE = 0.05
"""Of the time, at most: a workspace of a million files takes seconds to measure."""
START_PATIENCE_S = 15.0
"""How long an engine may be away when a run starts: a daemon that is just restarting is waited for."""
TAKEOVER_PATIENCE_S = 120.0
"""The same for a run whose container is there already: it may well be going on."""
T = TypeVar("T")


class Detached(Exception):
    """The worker stops; the container goes on, and so does the run, in another worker."""


@dataclass(slots=True)
class _Wishes:
    """What others ask of an execution."""

    cancel: Stop | None = None
    detach: bool = False


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
        self._workspace = Workspace(agent_id)
        self._history = History(agent_id)
        self._tally = Tally(run_id)
        self._translator = Translator(run_id, counted_here=bool(access.allowed(definition)))
        self._wishes = _Wishes()
        self._changed = asyncio.Event()
        self._guard = Guard(
            run_id, agent_id, definition.budget, budget, self._append, self._writer.flush, self._changed.set
        )
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._scan: asyncio.Task[None] | None = None
        self._scan_wanted = False
        self._scanned_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._measure_at = 0.0
        self._used_bytes = 0
        self._done_seen_at: float | None = None
        self._finished = False
        self._pump: Pump | None = None
        self._engine: Engine
        self._gateway: egress.RunGateway | None = None
        self._attempt: Attempt | None = None
        self._ref = ""

    # What others ask of it ----------------------------------------------------------------------------------------

    def cancel(self, reason: str) -> None:
        if self._wishes.cancel is None:
            self._wishes.cancel = Stop("cancel", "cancelled", reason=reason or None, patience_s=CANCEL_PATIENCE_S)
            self._changed.set()

    def detach(self) -> None:
        self._wishes.detach = True
        self._changed.set()

    def want_scan(self) -> None:
        """Somebody may have changed files."""
        if not self._scan_wanted:
            self._scan_wanted = True
            self._changed.set()

    def answer(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """Beside the run: a program that does not read its stdin must keep nobody from cancelling it."""
        if not self._ref or self._finished or approval_id in self._answers:
            return
        task = asyncio.create_task(self._answer(approval_id, decision, by, reason))
        self._answers[approval_id] = task
        task.add_done_callback(lambda _: self._answers.pop(approval_id, None))

    async def _answer(self, approval_id: str, decision: str, by: str, reason: str) -> None:
        """To the program first: a crash in between repeats it, and programs drop repeats; the other order loses it."""
        try:
            if not is_ours(approval_id):
                await self._engine.send(self._ref, jsonl.approval(approval_id, decision, command_id=approval_id))
            if self._finished:
                return
            answered = draft(
                "approval-response",
                self.run_id,
                approval_id=approval_id,
                decision=decision,
                by=by,
                reason=reason or None,
            )
            drafts = [answered]
            if not self._waits_for({approval_id}):
                drafts.append(draft("status", self.run_id, status="running"))
            await self._append(drafts)
        except EngineError as error:  # the supervisor looks again, and asks again while the program lives
            log.info("answer not taken", run_id=self.run_id, approval_id=approval_id, error=str(error))
        except Fenced:
            pass
        except Exception:
            log.exception("answer not passed on", run_id=self.run_id, approval_id=approval_id)

    # The run ------------------------------------------------------------------------------------------------------

    async def execute(self, content: str, resumed: bool) -> None:
        """Raises Fenced when another is the writer, Detached when the worker stops."""
        exit_: Exit | None = None
        try:
            exit_, stop = await self._run(content, resumed)
        except EngineError as error:
            log.warning("run could not start", run_id=self.run_id, code=error.code, error=str(error))
            stop = self._wishes.cancel or Stop.failed(error.code, str(error), retryable=error.retryable)
        except OSError as error:
            reason = f"the workspace can't be used: {error.strerror or error}"
            stop = Stop.failed("workspace-unusable", reason)
        except (StreamingError, Detached):
            raise
        except Exception as error:
            log.exception("a mistake of ours ended a run", run_id=self.run_id)
            stop = Stop.failed("internal-error", f"the site made a mistake ({type(error).__name__}); its log says more")
        finally:
            await self._end_tasks()
        await self._finish(exit_, stop)

    async def _run(self, content: str, resumed: bool) -> tuple[Exit | None, Stop | None]:
        await self._begin(resumed)
        assert self._attempt is not None
        if self._wishes.cancel is not None and not self._attempt.container_ref:
            if resumed:  # it may have been started, and its starter have died before it wrote that down
                await self._patiently(lambda: sweep.remove_leftovers(self._engines, self.run_id), TAKEOVER_PATIENCE_S)
            return None, self._wishes.cancel
        if (stop := await self._start()) is not None:
            return None, stop
        self._ask()
        return await self._follow(content)

    async def _begin(self, resumed: bool) -> None:
        known = None
        if resumed:
            known_events = await in_database(reconcile.events_of, self._agent_id, self.run_id)
            self._tally.add(known_events)
            self._guard.resume(known_events)
            approvals = [one for one in self._writer.state["approvals"] if one["run_id"] == self.run_id]
            self._translator.resume(self._tally.usage, {one["approval_id"] for one in approvals})
            self._attempt = known = await in_database(attempts.unfinished_of, self.run_id)
        wanted = known.engine if known else None
        patience_s = TAKEOVER_PATIENCE_S if known else START_PATIENCE_S
        self._engine = engine = await self._patiently(lambda: self._engines(wanted), patience_s)
        self._attempt = await in_database(
            attempts.open_attempt, self.run_id, engine.name, engine.isolation, self._worker
        )
        reasons = ["taken over"] if resumed else []
        if engine.isolation == "none":
            reasons.append("isolation: none")
        status = "waiting" if self._waits_for() else "running"
        reason = ", ".join(reasons) or None
        await self._append([draft("status", self.run_id, status=status, reason=reason, attempt=self._attempt.number)])

    async def _start(self) -> Stop | None:
        """A reason, if there is nothing to be started."""
        assert self._attempt is not None
        attempt, known = self._attempt, self._attempt.container_ref
        if known:
            self._ref = known
            # Raises ContainerGone: what was started once and is not there any more is not started a second time.
            await self._patiently(lambda: self._engine.inspect(known), TAKEOVER_PATIENCE_S)
            await self._open_gateway()
            return None
        await asyncio.to_thread(self._workspace.create)
        await self._measure()
        if (full := self._full()) is not None:
            return full
        await self._open_gateway()
        spec = self._spec(attempt)
        await self._have_image(spec)
        await self._keep_workspace("before")
        # A log that says "queued" has no container: else one whose starter died would outlive a cancel from the queue.
        await self._writer.flush()
        self._ref = await self._patiently(lambda: self._engine.start(spec, attempt.key))
        await in_database(attempts.note_container, attempt, self._ref)
        return None

    async def _open_gateway(self) -> None:
        if not egress.is_wanted(self._definition):
            return
        try:
            self._gateway = await egress.open_gateway(
                self.run_id, self._definition, self._append, lambda: self._tally.usage, self._guard
            )
        except OSError as error:
            raise StartFailed(f"the gateway's socket can't be made: {error.strerror or error}") from error

    async def _have_image(self, spec: Spec) -> None:
        """Before anything is started. The time a program may take begins after its image was pulled."""
        assert self._attempt is not None
        try:
            await self._patiently(lambda: self._engine.check_image(spec))
        except ImageMissing as missing:
            if not pulling.allowed(self._engine):
                raise
            await self._pull(spec.image, missing)
            await in_database(attempts.start_clock, self._attempt)
            await self._patiently(lambda: self._engine.check_image(spec))

    async def _pull(self, image: str, missing: ImageMissing) -> None:
        """Raises `missing` when the run is cancelled meanwhile: there is still no image."""
        tasks: list[asyncio.Task[Any]] = [
            pull := asyncio.create_task(pulling.pull(self._engine, image, self._report)),
            asyncio.create_task(self._writer.wait_lost()),
        ]
        try:
            while not pull.done():
                self._changed.clear()
                self._check()
                if self._wishes.cancel is not None:
                    raise missing
                tasks[2:] = [asyncio.create_task(self._changed.wait())]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks.pop().cancel()
            pull.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _report(self, reason: str) -> None:
        assert self._attempt is not None
        doing = draft("status", self.run_id, status="running", reason=reason, attempt=self._attempt.number)
        await self._append([doing])

    async def _patiently(self, call: Callable[[], Awaitable[T]], patience_s: float = START_PATIENCE_S) -> T:
        """For calls that are harmless to repeat."""
        deadline, pause_s = monotonic() + patience_s, 0.2
        while True:
            try:
                return await call()
            except EngineUnavailable as error:
                nothing_there = self._wishes.cancel is not None and self._attempt is None
                if not error.retryable or nothing_there or monotonic() >= deadline:
                    raise
            self._changed.clear()
            self._check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            pause_s = min(2 * pause_s, 4.0)

    def _check(self) -> None:
        """Raises if this worker has to let go of the run."""
        if self._writer.lost:
            raise Fenced(self._agent_id, self._writer.epoch)
        if self._wishes.detach:
            raise Detached

    async def _send_start(self, content: str) -> None:
        assert self._attempt is not None
        line = jsonl.start(self.run_id, content, history(self._writer.state, self.run_id), self._definition.config())
        try:
            await self._engine.send(self._ref, line)
            await in_database(attempts.note_start_sent, self._attempt)
        except (EngineError, StreamingError) as error:
            # A program may end before it reads its input; what it printed and its exit code say more than this.
            log.info("start line not taken", run_id=self.run_id, error=str(error))

    async def _follow(self, content: str) -> tuple[Exit | None, Stop | None]:
        """Output into the log until the container has ended, of its own accord or because it had to."""
        assert self._attempt is not None
        offset = position.read(self._writer.position, self.run_id, self._attempt.number)
        limits = self._definition.limits.limits()
        self._pump = Pump(self._translator, offset, limits.output_bytes, self._append, self._changed.set)
        # Beside reading: a program may print for a long time before it reads, and its stdin may not take a long line.
        tasks = [
            pumping := asyncio.create_task(self._pump.run(self._engine.output(self._ref, offset))),
            lost := asyncio.create_task(self._writer.wait_lost()),
        ]
        if self._attempt.start_sent_at is None:
            tasks.append(asyncio.create_task(self._send_start(content)))
        try:
            stop = await self._watch(pumping, lost)
            if stop is not None:
                await self._stop(stop, pumping)
            if pumping.done():
                pumping.result()
            return await self._exit(), stop
        except EngineError as error:
            return None, self._wishes.cancel or Stop.failed(error.code, str(error), retryable=error.retryable)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, pumping: asyncio.Task[None], lost: asyncio.Task[None]) -> Stop | None:
        """Returns when the output has ended (None) or the container has to be stopped."""
        while True:
            self._changed.clear()
            self._check()
            if near := self._guard.watch_time(self._elapsed_s()):
                await self._append(near)
            if (stop := self._reason_to_stop()) is not None:
                return stop
            if pumping.done():
                return None
            self._scan_if_due()
            self._measure_if_due()
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait(
                    (pumping, lost, changed), timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                changed.cancel()

    def _reason_to_stop(self) -> Stop | None:
        assert self._pump is not None
        if self._wishes.cancel is not None:
            return self._wishes.cancel
        if self._pump.over_limit:
            mib = self._definition.limits.output_mib
            return Stop.failed("output-limit", f"the program printed more than {mib} MiB")
        if (full := self._full()) is not None:
            return full
        if monotonic() >= self._deadline():
            return Stop.failed("time-limit", f"the run took longer than {self._wall_s():g} s")
        if self._guard.stop is not None:
            return self._guard.stop
        if self._pump.program_done:
            self._done_seen_at = self._done_seen_at or monotonic()
            if monotonic() - self._done_seen_at >= DONE_PATIENCE_S:
                return Stop("done")
        return None

    def _patience_s(self) -> float:
        """Until something could have to be done that nothing tells us of."""
        assert self._attempt is not None
        elapsed_s, start = self._elapsed_s(), self._attempt.monotonic_start
        moments = [self._deadline(), *(start + after_s for after_s in self._guard.moments_s() if after_s > elapsed_s)]
        if self._done_seen_at is not None:
            moments.append(self._done_seen_at + DONE_PATIENCE_S)
        if self._measuring is None:
            moments.append(self._measure_at)
        if self._scan_wanted and self._scan is None:
            moments.append(self._scanned_at + SCAN_INTERVAL_S)
        return max(0.01, min(moments) - monotonic())

    def _wall_s(self) -> float:
        return min(self._definition.limits.wall_s or settings.RUN_TIME_LIMIT_S, settings.RUN_TIME_LIMIT_S)

    def _elapsed_s(self) -> float:
        assert self._attempt is not None
        return monotonic() - self._attempt.monotonic_start

    def _duration_ms(self) -> int | None:
        attempt = self._attempt
        return None if attempt is None else max(0, round((monotonic() - attempt.monotonic_start) * 1000))

    def _deadline(self) -> float:
        """On the monotonic clock; a worker that takes over goes on with what is left."""
        assert self._attempt is not None
        return self._attempt.monotonic_start + self._wall_s()

    async def _stop(self, stop: Stop, pumping: asyncio.Task[None]) -> None:
        if stop.patience_s:
            try:
                async with asyncio.timeout(stop.patience_s):
                    await self._engine.send(self._ref, jsonl.cancel(command_id=f"cancel-{self.run_id}"))
                    await asyncio.wait((pumping,))
            except TimeoutError:
                pass
            except EngineError as error:
                log.info("cancel line not taken", run_id=self.run_id, error=str(error))
        while True:
            try:
                await self._engine.stop(self._ref, settings.STOP_GRACE_S)
                break
            except ContainerGone:
                break
            except EngineUnavailable as error:
                log.warning("engine away, stopping again soon", run_id=self.run_id, error=str(error))
                self._check()
                await asyncio.sleep(1)
        await asyncio.wait((pumping,), timeout=DRAIN_S)

    async def _exit(self) -> Exit | None:
        try:
            return await self._engine.wait(self._ref)
        except ContainerGone:
            return None

    async def _end_tasks(self) -> None:
        """What goes on beside the run ends before it does: nothing of it may come after its `done`."""
        if self._gateway is not None:
            await self._gateway.close()
        tasks = [*self._answers.values(), *(task for task in (self._scan, self._measuring) if task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The end ------------------------------------------------------------------------------------------------------

    async def _finish(self, exit_: Exit | None, stop: Stop | None) -> None:
        said, pump = self._translator.done, self._pump
        verdict = judge(exit_, stop, said, self._definition.limits, pump.stderr_tail if pump else ())
        drafts = late_drafts(pump, self._error) if pump else []
        if verdict.problem is not None:
            drafts.append(self._error(*verdict.problem, retryable=verdict.retryable))
        drafts += await self._file_drafts()
        await self._keep_workspace("after")
        drafts.append(draft("status", self.run_id, status=verdict.status, reason=verdict.reason))
        self._tally.add(drafts)
        self._finished = True
        result = said.data.get("result") if said else None
        await self._writer.append([*drafts, self._tally.done(verdict.status, result, self._duration_ms())])
        await self._writer.flush()
        await self._clear_away(exit_, verdict)

    async def _clear_away(self, exit_: Exit | None, verdict: Verdict) -> None:
        """Losing this to a crash is harmless: the sweep does the same a minute later."""
        if self._ref:
            try:
                await self._engine.remove(self._ref)
            except EngineError as error:
                log.info("container not removed yet", run_id=self.run_id, error=str(error))
        if self._gateway is not None:
            await asyncio.to_thread(egress.place().remove, self.run_id)
        if self._attempt is not None:
            await in_database(attempts.close_attempt, self._attempt, exit_.code if exit_ else None, verdict.outcome)

    # Pieces -------------------------------------------------------------------------------------------------------

    def _spec(self, attempt: Attempt) -> Spec:
        definition = self._definition
        return Spec(
            image=definition.image,
            workspace=self._workspace.path,
            command=tuple(definition.command),
            process_command=tuple(definition.process_command),
            env={
                **access.environment(definition),
                **definition.env,
                "AGENT_ID": self._agent_id,
                "RUN_ID": self.run_id,
                "WORKSPACE": "/workspace",
            },
            labels=attempts.labels(self._agent_id, attempt, self._writer.epoch),
            limits=definition.limits.limits(),
            user=definition.user or program_user(),
            runtime=definition.runtime,
            gateway=egress.directory(self.run_id) if self._gateway is not None else None,
            trusted=definition.trusted,
        )

    async def _append(self, drafts: list[Draft], offset: Offset | None = None) -> list[Event]:
        if not drafts:
            return []
        drafts = [*drafts, *self._guard.watch(drafts)]
        asks = [one for one in drafts if one.type == "approval-request"]
        if asks:
            drafts = [*drafts, draft("status", self.run_id, status="waiting", reason=asks[-1].data["question"][:200])]
        at = None
        if offset is not None and self._attempt is not None:
            at = position.write(self.run_id, self._attempt.number, offset)
        events = await self._writer.append(drafts, at)
        self._tally.add(events)
        if any(event.type == "tool-result" for event in events):
            self.want_scan()  # a tool may have written files
        if asks:
            await self._writer.flush()  # whoever sees the question may answer at once, and that asks the database
        return events

    def _error(self, code: str, message: str, retryable: bool = False) -> Draft:
        return draft("error", self.run_id, code=code, message=message, retryable=retryable)

    def _scan_if_due(self) -> None:
        if self._scan_wanted and self._scan is None and monotonic() - self._scanned_at >= SCAN_INTERVAL_S:
            self._scan_wanted = False
            self._scan = asyncio.create_task(self._scan_workspace())

    async def _scan_workspace(self) -> None:
        """Beside the run: a large workspace takes a while to read."""
        try:
            await self._append(await self._file_drafts())
        except Fenced:
            pass
        except Exception:
            log.exception("workspace not scanned", run_id=self.run_id)
        finally:
            self._scan = None
            self._changed.set()

    def _measure_if_due(self) -> None:
        if self._measuring is None and monotonic() >= self._measure_at:
            self._measuring = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        began = monotonic()
        try:
            self._used_bytes = await asyncio.to_thread(self._workspace.used_bytes, self._workspace_bytes)
        except OSError as error:
            log.warning("workspace not measured", run_id=self.run_id, error=str(error))
        finally:
            took_s = monotonic() - began
            self._measure_at = monotonic() + max(MEASURE_INTERVAL_S, took_s / MEASURE_SHARE)
            self._measuring = None
            self._changed.set()

    @property
    def _workspace_bytes(self) -> int:
        return self._definition.limits.workspace_mib * MIB

    def _full(self) -> Stop | None:
        if self._used_bytes <= self._workspace_bytes:
            return None
        mib = self._definition.limits.workspace_mib
        return Stop.failed("workspace-full", f"the workspace takes more than {mib} MiB; delete some of its files")

    async def _file_drafts(self) -> list[Draft]:
        self._scanned_at = monotonic()
        try:
            return await asyncio.to_thread(reconcile.file_changes, self._writer.state, self._workspace, self.run_id)
        except OSError as error:
            return [self._error("workspace-unreadable", f"the workspace can't be read: {error.strerror or error}")]

    async def _keep_workspace(self, moment: Moment) -> None:
        """For the diff of this run: losing it costs no run. Takes TAKE_S and a walk through the workspace at most."""
        try:
            await asyncio.to_thread(self._history.keep, self.run_id, moment, self._workspace)
        except OSError as error:
            log.warning("workspace not kept", run_id=self.run_id, moment=moment, error=str(error))

    def _waits_for(self, beside: frozenset[str] | set[str] = frozenset()) -> bool:
        """Has the program asked something that nobody has answered?"""
        return any(
            approval["run_id"] == self.run_id and approval["decision"] is None and approval["approval_id"] not in beside
            for approval in self._writer.state["approvals"]
        )
