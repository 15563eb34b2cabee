"""An attempt gets its container, by steps that are harmless to repeat: whoever takes over half way does them again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agents.definitions import Definition
from agents.gateway.providers import access
from agents.models import Attempt
from agents.outcome import StopReason
from agents.runs import attempts
from agents.worker import image_pulling
from agents.worker.execution.control_signals import ControlSignals
from agents.worker.execution.workspace_watch import WorkspaceWatch
from agents.workspace import DiskFull
from agents.workspace.room import refuse_low_disk
from containers.errors import ImageMissing
from containers.interface import Engine
from containers.spec import Spec
from containers.workspace import program_user
from streaming.store.database import in_database
from streaming.write.writer import Writer

Report = Callable[[str], Awaitable[object]]


class ContainerStart:
    """Of one attempt. `report` says what takes so long."""

    def __init__(
        self,
        definition: Definition,
        engine: Engine,
        attempt: Attempt,
        writer: Writer,
        signals: ControlSignals,
        report: Report,
    ) -> None:
        self._definition = definition
        self._engine = engine
        self._attempt = attempt
        self._writer = writer
        self._signals = signals
        self._report = report

    async def container(self, disk: WorkspaceWatch, gateway: Path | None) -> StopReason | str:
        """The ref of the container, or why there is nothing to be started. Raises EngineError, WorkspaceMissing,
        OSError, and CancelRequested before anything was started."""
        await disk.prepare()
        await disk.measure()
        if (full := disk.full()) is not None:
            return full
        try:
            await asyncio.to_thread(refuse_low_disk)
        except DiskFull as low:
            return StopReason.failed(low.code, low.message)
        spec = self._spec(disk.path, gateway)
        await self._have_image(spec)
        await disk.keep("before")
        await self._signals.check_cancel()
        ref = await self._signals.patiently(lambda: self._engine.start(spec, self._attempt.key))
        await in_database(attempts.note_container, self._attempt, ref)
        return ref

    def _spec(self, workspace: Path, gateway: Path | None) -> Spec:
        definition, run_id, agent_id = self._definition, str(self._attempt.run_id), self._writer.agent_id
        return Spec(
            image=definition.image,
            workspace=workspace,
            command=tuple(definition.command),
            process_command=tuple(definition.process_command),
            env={
                **access.environment(definition),
                **definition.env,
                "AGENT_ID": agent_id,
                "RUN_ID": run_id,
                "WORKSPACE": "/workspace",
            },
            labels=attempts.labels(agent_id, self._attempt, self._writer.epoch),
            limits=definition.limits.limits(),
            user=definition.user or program_user(),
            runtime=definition.runtime,
            gateway=gateway,
            venv=Path(definition.venv) if definition.venv else None,
            mounts=tuple(map(Path, definition.mounts)),
            trusted=definition.trusted,
        )

    async def _have_image(self, spec: Spec) -> None:
        """Before anything is started. The time a program may take begins after its image was pulled."""
        try:
            await self._signals.patiently(lambda: self._engine.check_image(spec))
        except ImageMissing as missing:
            if not image_pulling.allowed(self._engine):
                raise
            await self._pull(spec.image, missing)
            await in_database(attempts.start_clock, self._attempt)
            await self._signals.patiently(lambda: self._engine.check_image(spec))

    async def _pull(self, image: str, missing: ImageMissing) -> None:
        """Raises `missing` when the run is cancelled meanwhile: there is still no image."""
        pull = asyncio.create_task(image_pulling.pull(self._engine, image, self._report))
        try:
            while not pull.done():
                self._signals.look()
                if self._signals.cancel is not None:
                    raise missing
                await self._signals.wait(pull)
            pull.result()
        finally:
            pull.cancel()
            await asyncio.gather(pull, return_exceptions=True)
