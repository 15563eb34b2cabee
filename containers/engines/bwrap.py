"""Programs in a sandbox of bubblewrap: for machines without a container daemon. Trusted or not, they are isolated.

A recorder (recorded.py) starts bwrap as the program's user, without privileges of any kind. What the program sees is in
bwrap_command.py, which system calls it may make in seccomp.py. Memory, processes and CPUs are limited where control
groups can be had (cgroups.py); `check` says what is not, and tries all of it with a program that does nothing.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

from containers.engines.bwrap_command import (
    Interpreter,
    command,
    counts_processes,
    find_interpreter,
    mount_problem,
    mounts_of,
)
from containers.engines.cgroups import CONTROLLERS, Groups, find_groups
from containers.engines.recorded import NEW, Order, RecordedEngine
from containers.engines.seccomp_bpf import AUDIT_ARCH, compiled
from containers.errors import EngineError, SpecRefused
from containers.interface import Availability
from containers.programs import SYSTEM_PATH, filled_in
from containers.spec import Spec
from containers.workspace import give_to, program_user

PROBE_TIMEOUT_S = 20.0


class BwrapEngine(RecordedEngine):
    """`hidden`: directories that no program may see, wherever they are; its journals are hidden in any case. Something
    in them may be mounted by its name, but nothing of `data_dir`."""

    name = "bwrap"
    isolation = "sandbox"

    def __init__(self, state_dir: Path, hidden: tuple[Path, ...] = (), data_dir: Path | None = None) -> None:
        super().__init__(state_dir)
        self._hidden = (state_dir, *hidden)
        self._private = (state_dir, *((data_dir,) if data_dir else ()))
        self._found_groups: Groups | None = None
        self._interpreter: Interpreter = find_interpreter()

    async def check(self) -> Availability:
        found = await super().check()
        if not found.usable:
            return found
        if platform.machine() not in AUDIT_ARCH:
            return Availability(False, f"no list of system calls for {platform.machine()}")
        if (executable := _bwrap()) is None:
            return Availability(False, "bubblewrap is not installed (no `bwrap` in the path)")
        version = await asyncio.to_thread(_version, executable)
        if problem := await self._problem():
            return Availability(False, f"bubblewrap {version}: {problem}", version)
        return Availability(True, f"bubblewrap {version}, {self._not_limited()}", version)

    async def start(self, spec: Spec, key: str) -> str:
        give_to(spec.workspace, spec.user)
        return await super().start(spec, key)

    def _refuse(self, spec: Spec) -> None:
        for path in mounts_of(spec):
            if problem := mount_problem(path, self._hidden, self._private):
                raise SpecRefused(f"{path} can't be mounted: {problem}")

    def _order(self, spec: Spec, place: Path) -> Order:
        uid, _, gid = spec.user.partition(":")
        made = command(
            spec,
            place,
            executable=_bwrap() or "bwrap",
            program=filled_in(spec.process_command, self._interpreter.path, self._interpreter.images, spec.venv),
            interpreter=self._interpreter,
            hidden=self._hidden,
            stages=os.geteuid() == 0,
        )
        return Order(
            command=made.command,
            env={},  # the program's own is in the arguments: bwrap itself is not to be told what to load
            cwd="/",
            files={**made.files, "seccomp": compiled(platform.machine())},
            more={
                "inherit": ["arguments", "seccomp"],
                "nested": True,
                "cgroups": self._groups.of(place.name, spec.limits),
                **({"stage": made.stage, "user": [int(uid), int(gid)]} if os.geteuid() == 0 else {}),
            },
        )

    @property
    def _groups(self) -> Groups:
        if self._found_groups is None:
            self._found_groups = find_groups()
        return self._found_groups

    def _not_limited(self) -> str:
        missing = self._groups.missing
        if counts_processes(platform.release()):
            missing = [name for name in missing if name != CONTROLLERS["pids"]]
        if os.geteuid() != 0:
            missing = [*missing, "number of files in /tmp"]
        return f"not limited here: {', '.join(missing)}" if missing else "all limits are enforced"

    async def _problem(self) -> str | None:
        """What keeps a program that does nothing from running as all others would."""
        workspace = self._state_dir / f"{NEW}probe-{uuid.uuid4().hex}"
        try:
            workspace.mkdir()
            spec = Spec("probe", workspace, process_command=("{python}", "-I", "-S", "-c", ""), user=program_user())
            return await self._failure(spec, f"probe-{uuid.uuid4().hex}")
        except (EngineError, OSError) as error:
            return str(error)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)

    async def _failure(self, spec: Spec, key: str) -> str | None:
        ref = await self.start(spec, key)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                code = (await self.wait(ref)).code
            said = b"".join([piece.data async for piece in self.output(ref)])
        except TimeoutError:
            return f"a program that does nothing still runs after {PROBE_TIMEOUT_S:.0f} s"
        finally:
            await self.remove(ref)
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return None if code == 0 else (lines[-1] if lines else f"a program that does nothing ends with {code}")


def _bwrap() -> str | None:
    return shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def _version(executable: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.split()[-1]
    return "?"
