"""The directory of one program that has a recorder, as files: see recorder.py for what each of them holds."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from containers.errors import ContainerGone
from containers.interface import Exit, Inspection

LOST_CODE = 128 + signal.SIGKILL
"""Exit code of a program whose recorder was killed: it was killed with it."""

_FLOCK = struct.Struct("hhqqi4x")


@dataclass(frozen=True, slots=True)
class State:
    """All methods but `exists` raise ContainerGone if the directory is gone."""

    path: Path

    @property
    def ref(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return (self.path / "spec.json").exists()

    def spec(self) -> dict[str, Any]:
        return self._read("spec.json") or {}

    def was_started(self) -> bool:
        return self._read("state.json") is not None

    def has_ended(self) -> bool:
        self._check_exists()
        return (self.path / "exit.json").exists()

    def recorder_pid(self) -> int | None:
        """Of the living recorder. The kernel knows who holds the lock, so a reused pid is never taken for it."""
        with suppress(FileNotFoundError), (self.path / "lock").open("rb") as file:
            request = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, request))
            return int(pid) if kind != fcntl.F_UNLCK else None
        return None

    def inspect(self) -> Inspection:
        """A program whose recorder is gone without a word is killed, and reported as such."""
        spec = self.spec()
        ended, recorder = self._read("exit.json"), self.recorder_pid()
        if ended is None and recorder is None:
            ended = self._read("exit.json")  # it may have ended between the two looks
        state = self._read("state.json")
        if ended is None and recorder is None and state is not None:
            kill_leftover(state)
            ended = {"code": LOST_CODE, "finished_at": None}
        return Inspection(
            ref=self.ref,
            running=ended is None and state is not None,
            exit=None if ended is None else _exit(ended),
            started_at=_time(state["started_at"]) if state else None,
            labels=spec.get("labels", {}),
            pid=state["pid"] if state and ended is None else None,
        )

    def ask_to_stop(self, grace_s: float) -> None:
        """Durable: the recorder goes through with it, whatever becomes of us."""
        self._check_exists()
        request = f"stop-{uuid.uuid4().hex}"
        (self.path / f".{request}").write_text(str(time.monotonic() + grace_s), encoding="ascii")
        (self.path / f".{request}").rename(self.path / request)
        if pid := self.recorder_pid():
            with suppress(ProcessLookupError):
                held = os.pidfd_open(pid)
                try:
                    if self.recorder_pid() == pid:
                        signal.pidfd_send_signal(held, signal.SIGTERM)
                finally:
                    os.close(held)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self.path / name).read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            self._check_exists()
            return None

    def _check_exists(self) -> None:
        if not self.exists():
            raise ContainerGone(f"no process {self.ref}")


def _exit(ended: dict[str, Any]) -> Exit:
    return Exit(ended["code"], bool(ended.get("oom_killed")), _time(ended["finished_at"]))


def kill_leftover(state: dict[str, Any]) -> None:
    """Kill the process group of a program without a recorder, if its pid is still that program's."""
    pid = state["pid"]
    if _boot_id() == state["boot_id"] and _start_time(pid) == state["start_time"] is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> int | None:
    """Clock ticks since boot."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except OSError:
        return None


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
