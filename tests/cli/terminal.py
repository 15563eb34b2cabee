"""A terminal: commands typed into it, in this process or, where they have to be interrupted, in one of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple, Self

import pytest

from agentsite.cli import main
from tests.journeys.site import environment

END_S = 60
PROGRAM = (sys.executable, "-m", "agentsite")


class Shown(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The one line of an expected problem."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.startswith("agentsite: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err


class Terminal:
    """`options` are added to every command."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
        self._capsys, self._monkeypatch, self._options = capsys, monkeypatch, options

    def __call__(self, *words: str) -> Shown:
        self._monkeypatch.setattr(sys, "argv", ["agentsite", *words, *self._options])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return Shown(int(ended.value.code or 0), out, err)

    @contextmanager
    def beside(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        with command(*words, *self._options) as process:
            yield process


class Pty:
    """A command in a terminal of its own: what it prints there, and keys that are pressed."""

    def __init__(
        self, *words: str, settings: Mapping[str, str] | None = None, program: Sequence[str] = PROGRAM
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.process = subprocess.Popen(
            [*program, *words],
            env=environment(**{"TERM": "dumb", **(settings or {})}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def see(self, words: str) -> str:
        """Wait until these words are printed; what came before them, since the last ones that were seen."""
        deadline = monotonic() + END_S
        while words not in self.shown:
            assert self._read(deadline), f"never printed {words!r}: {self.shown!r}"
        before, _, self.shown = self.shown.partition(words)
        return before

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def echoes(self) -> bool:
        """False while single keys are read."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def end(self) -> int:
        """Its exit code."""
        deadline = monotonic() + END_S
        while self._read(deadline):
            pass
        return self.process.wait(timeout=END_S)

    def _read(self, deadline: float) -> bool:
        """False when nothing more will come."""
        if not select.select([self._master], [], [], max(0.0, deadline - monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)


@contextmanager
def command(*words: str, settings: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """In a process of its own, gone when this is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentsite", *words],
        env=environment(**(settings or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
