"""A server process that we own: it ends when we say so, and also when we are killed before we could."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0

# The kernel sends the death signal when the *thread* that started a process ends. This one ends with the interpreter.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="test-servers")


class ServerNotFound(RuntimeError):
    """The program of this server is not installed. The message says what to install."""


class ServerFailed(RuntimeError):
    """The server did not start. The message carries the end of its log."""


def new_directory(kind: str, user: str | None) -> Path:
    """An empty directory of our own, removed at exit. Belongs to `user` if one is given."""
    directory = Path(tempfile.mkdtemp(prefix=f"agentsite-{kind}-"))
    if user:
        shutil.chown(directory, user)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def owned(argv: list[str], *, user: str | None, death_signal: str) -> list[str]:
    """`argv`, run as `user`, with `death_signal` sent to it when we die."""
    setpriv = shutil.which("setpriv", path=os.environ.get("PATH", "") + ":/usr/bin:/bin")
    if setpriv is None:
        if user:
            raise ServerNotFound("setpriv (package util-linux) is not installed: root cannot start PostgreSQL without")
        return argv
    identity = ["--reuid", user, "--regid", _group_of(user), "--clear-groups"] if user else []
    return [setpriv, "--pdeathsig", death_signal, *identity, "--", *argv]


def _group_of(user: str) -> str:
    import pwd

    return str(pwd.getpwnam(user).pw_gid)


class ServerProcess:
    """One running server. Has its own session, so a Ctrl-C in the terminal reaches us and not it."""

    def __init__(self, argv: list[str], log_path: Path, *, user: str | None = None, death_signal: str = "KILL") -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = _spawner.submit(
                subprocess.Popen,
                owned(argv, user=user, death_signal=death_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            ).result()
        atexit.register(self._kill_at_exit)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], object], within_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + within_s
        while not ready():
            if not self.is_running:
                raise ServerFailed(f"exited with {self._process.returncode} while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise ServerFailed(f"not ready after {within_s:.0f} s:\n{self.log_tail()}")
            time.sleep(0.01)

    def wait(self, within_s: float) -> int:
        """Its exit code. ServerFailed if it does not end in time; it is then killed."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.end(signal.SIGKILL)
            raise ServerFailed(f"did not end within {within_s:.0f} s:\n{self.log_tail()}") from None

    def end(self, how: signal.Signals) -> None:
        """Send the signal and wait until the process is gone."""
        if self.is_running:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        atexit.unregister(self._kill_at_exit)

    def pause(self) -> None:
        """The process hangs: it keeps its connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Does nothing to a process that was not paused."""
        self._process.send_signal(signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _kill_at_exit(self) -> None:
        if self.is_running:
            self._process.kill()
            self._process.wait()
