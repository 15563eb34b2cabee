"""A terminal: commands typed into it, in this process or, where they have to be interrupted, in one of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from agentsite.cli import main
from tests.journeys.site import environment

END_S = 60


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
