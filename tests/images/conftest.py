"""The bundled agents, ready to be driven: a whole run, or a running process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .agent_fixtures import agent, provider
from .driving import Process, Run, start_line

__all__ = ["agent", "provider"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def launch(workspace: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def launched(pace: str = "0", folder: Path = workspace) -> Process:
        running.append(Process(folder, pace))
        return running[-1]

    yield launched
    for one in running:
        one.process.kill()
        one.process.wait()
        for stream in (one.stdin, one.stdout, one.stderr):
            stream.close()


@pytest.fixture
def demo(launch: Callable[..., Process]) -> Callable[..., Run]:
    """A whole run on the workspace. Stdin stays open until the agent has ended, as under an engine."""

    def run(prompt: object = "What is in my data?", **start: Any) -> Run:
        process = launch()
        process.tell(start_line(prompt, **start))
        return process.finish()

    return run
