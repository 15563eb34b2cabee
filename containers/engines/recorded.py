"""What engines without a daemon share: a recorder a program (recorder.py), and a directory a program as its journal.

What is enforced for all of them: output, open files, core and file size, and that nothing is left running. Linux only
(FIFOs, subreaper, inotify, locks).

Recorders have a session of their own, so they outlive the worker, its terminal and its process group. A service manager
that kills whole control groups kills them too: with systemd, say `KillMode=process`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from containers.engines import recorder
from containers.engines.confinement import remove_groups
from containers.engines.frames import FrameReader
from containers.engines.names import KEY_LABEL, name_of
from containers.engines.process_state import State
from containers.engines.sender import Sender, write_all
from containers.engines.watch import Watcher
from containers.errors import ContainerGone, EngineError, SpecRefused, StartFailed
from containers.interface import BEGINNING, Availability, Exit, Inspection, Offset, Output
from containers.programs import refusal
from containers.spec import Spec

READ_BYTES = 256 * 1024
START_TIMEOUT_S = 20.0
KILLED_WITHIN_S = 30.0
NEW, GONE = ".new-", ".gone-"
"""How a program's directory is named before it is whole, and once it is on its way out. Never listed."""
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Order:
    """What a recorder runs. `env` is all of the environment: nothing of ours is inherited, a worker's is full of keys.
    `files` are put beside its journal; `more` is what else it is told, see recorder.py and confinement.py."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)


class RecordedEngine(ABC):
    """`state_dir` holds a directory a program: it is the journal, and what makes a program found again. An engine of
    this kind says what it refuses, and what a recorder is told to run."""

    name: str
    isolation: str

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._watcher = Watcher()
        self._sender = Sender(self._write_line)

    def _refuse(self, spec: Spec) -> None:  # noqa: B027  # most engines refuse nothing more
        """Raises SpecRefused for what this engine may not run, beside what none of this kind may."""

    @abstractmethod
    def _order(self, spec: Spec, place: Path) -> Order:
        """How a recorder is to run `spec`, whose directory will be `place`. Raises EngineError."""

    async def check(self) -> Availability:
        """Whether recorders can work here at all."""
        if sys.platform != "linux":
            return Availability(False, "needs Linux")
        try:
            self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return Availability(False, f"cannot use {self._state_dir}: {error.strerror}")
        if not os.access(self._state_dir, os.W_OK | os.X_OK):
            return Availability(False, f"cannot write to {self._state_dir}")
        return Availability(True, "")

    async def check_image(self, spec: Spec) -> None:
        """There are no images: what is checked is that this engine may run it, and knows how."""
        isolates = self.isolation != "none"
        if reason := refusal(spec.process_command, spec.venv, isolates=isolates, trusted=spec.trusted):
            raise SpecRefused(f"{spec.image!r} {reason}")
        if spec.runtime:
            raise SpecRefused(f"runtime {spec.runtime!r} needs a container engine, and this is {self.name}")
        self._refuse(spec)

    async def start(self, spec: Spec, key: str) -> str:
        await self.check_image(spec)
        if not spec.workspace.is_dir():
            raise StartFailed(f"workspace {spec.workspace} is not a directory")
        state = State(self._state_dir / name_of(key))
        if not state.exists():
            self._prepare(state, spec, key)
        if not state.was_started():
            await self._launch(state)
        return state.ref

    async def output(self, ref: str, after: Offset = BEGINNING) -> AsyncIterator[Output]:
        state, reader, told = self._state(ref), FrameReader(after), True
        with self._watcher.watch(state.path) as changes, _journal(state) as journal:
            while True:
                changes.forget()
                # Asked before reading: what a program that has ended printed is all there is to read.
                ended = state.has_ended() if told else state.inspect().exit is not None
                while chunk := os.read(journal, READ_BYTES):
                    for piece in reader.feed(chunk):
                        yield piece
                    await asyncio.sleep(0)
                if ended:
                    return
                told = await changes.wait()

    async def send(self, ref: str, line: bytes) -> None:
        await self._sender.send(ref, line)

    async def inspect(self, ref: str) -> Inspection:
        return self._state(ref).inspect()

    async def wait(self, ref: str) -> Exit:
        state = self._state(ref)
        with self._watcher.watch(state.path) as changes:
            while True:
                changes.forget()
                if (found := state.inspect()).exit is not None:
                    return found.exit
                await changes.wait()

    async def stop(self, ref: str, grace_s: float) -> None:
        with suppress(ContainerGone):
            state = self._state(ref)
            if not state.inspect().running:
                return
            state.ask_to_stop(grace_s)
            try:
                async with asyncio.timeout(grace_s + KILLED_WITHIN_S):
                    await self.wait(ref)
            except TimeoutError:
                raise EngineError(f"process {ref} still runs {KILLED_WITHIN_S:.0f} s after SIGKILL") from None

    async def remove(self, ref: str) -> None:
        self._sender.forget(ref)
        await self.stop(ref, 0)
        with suppress(ContainerGone, FileNotFoundError):
            await asyncio.to_thread(_discard, self._state(ref))

    async def list(self, labels: Mapping[str, str]) -> list[Inspection]:
        found = []
        for path in sorted(self._state_dir.glob("[!.]*")):
            with suppress(ContainerGone):
                inspection = State(path).inspect()
                if _carries(inspection.labels, labels):
                    found.append(inspection)
        return found

    async def tidy(self, older_than_s: float) -> int:
        return await asyncio.to_thread(_tidy, self._state_dir, older_than_s)

    async def close(self) -> None:
        await self._sender.close()
        self._watcher.close()

    def _state(self, ref: str) -> State:
        state = State(self._state_dir / ref)
        if Path(ref).name != ref or not state.exists():
            raise ContainerGone(f"no process {ref}")
        return state

    def _prepare(self, state: State, spec: Spec, key: str) -> None:
        """The directory, at once or not at all. Of two that prepare the same, the first one's stays."""
        new = self._state_dir / f"{NEW}{uuid.uuid4().hex}"
        try:
            new.mkdir(mode=0o700, parents=True)
            order = self._order(spec, state.path)
            (new / "spec.json").write_text(json.dumps(_recorded(spec, key, order)), encoding="utf-8")
            for name, content in order.files.items():
                (new / name).write_bytes(content)
            os.mkfifo(new / "stdin", 0o600)
            new.rename(state.path)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            if not state.exists():
                raise StartFailed(f"cannot write to {self._state_dir}: {error.strerror}") from error

    async def _launch(self, state: State) -> None:
        """Start a recorder. If there already is one the new one goes away again, so this may be done by anybody."""
        command = [sys.executable, "-I", "-S", recorder.__file__, str(state.path)]
        said = await asyncio.to_thread(_run, command)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not state.was_started():
            if state.recorder_pid() is None and not state.was_started():
                _discard(state)
                raise StartFailed(f"the recorder failed: {said or 'no reason given'}")
            if time.monotonic() > deadline:
                raise StartFailed(f"not started within {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _write_line(self, ref: str, line: bytes) -> None:
        """A line that is longer than what a FIFO takes at once may be torn by the death of this process. A file says
        so until it is whole; whoever sends next then begins with a newline."""
        state = self._state(ref)
        torn = state.path / "torn"
        async with _locked(state.path / "stdin.lock"):
            try:
                fd = os.open(state.path / "stdin", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # nobody reads any more
                raise EngineError(f"process {ref} has ended: nobody reads its stdin") from None
            try:
                data = (b"\n" if torn.exists() else b"") + line + b"\n"
                if len(data) > select.PIPE_BUF:
                    torn.touch()
                await write_all(fd, data)
                torn.unlink(missing_ok=True)
            except BrokenPipeError:
                raise EngineError(f"process {ref} has ended: nobody reads its stdin") from None
            finally:
                os.close(fd)


def _discard(state: State) -> None:
    """At once or not at all, for everybody else: half a directory would keep its key for ever."""
    gone = state.path.with_name(f"{GONE}{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        state.path.rename(gone)
        _remove(gone)


def _remove(path: Path) -> None:
    """With the control groups of a recorder that could not remove them itself, because it was killed."""
    with suppress(OSError, ValueError):
        remove_groups(json.loads((path / "spec.json").read_bytes()).get("cgroups", {}))
    shutil.rmtree(path, ignore_errors=True)


def _tidy(state_dir: Path, older_than_s: float) -> int:
    """Directories that are no program's: half made, half removed."""
    left = [path for path in state_dir.glob("*") if path.name.startswith((NEW, GONE)) or not State(path).exists()]
    old = [path for path in left if _age_s(path) >= older_than_s]
    for path in old:
        _remove(path)
    return sum(not path.exists() for path in old)


def _age_s(path: Path) -> float:
    """Since anything was made, renamed or removed there; nothing is as young as what has just gone."""
    with suppress(FileNotFoundError):
        return max(0.0, time.time() - path.stat().st_ctime)
    return -1.0


@contextmanager
def _journal(state: State) -> Iterator[int]:
    try:
        fd = os.open(state.path / "journal", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ContainerGone(f"no process {state.ref}") from None
    try:
        yield fd
    finally:
        os.close(fd)


def _recorded(spec: Spec, key: str, order: Order) -> dict[str, object]:
    """As recorder.py reads it."""
    return {
        "command": order.command,
        "env": order.env,
        "cwd": order.cwd,
        "labels": {**spec.labels, KEY_LABEL: key},
        "output_bytes": spec.limits.output_bytes,
        "open_files": spec.limits.open_files,
        "file_bytes": spec.limits.file_bytes,
        **order.more,
    }


def _carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(name in labels and value in ("", labels[name]) for name, value in wanted.items())


def _run(command: list[str]) -> str:
    """Returns what it said on stderr, when it has closed it. The environment is its own business: it gets none."""
    try:
        done = subprocess.run(
            command, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, timeout=START_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """One sender at a time, over all processes. Waits as long as it takes; the caller has the deadline."""
    with path.open("wb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
        yield
