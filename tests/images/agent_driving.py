"""Drives the bundled agent as a runner does: a process of its own, JSON lines in, JSON lines out, a mock provider
behind it. The process is forked from one that has imported everything (see agent_preloaded.py); the command line and
the image have tests of their own."""

from __future__ import annotations

import array
import fcntl
import json
import multiprocessing
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.images.driving import check_calls
from tests.provider import MockProvider

AGENT = Path(__file__).parents[2] / "containers" / "images" / "agent"
GOLDEN = Path(__file__).parents[1] / "golden" / "agent"
PATIENCE_S = 60.0
"""The first process also waits for the imports of the one that it is forked from."""
MODELS = {
    "openai": "openai:gpt-5-mini",
    "anthropic": "anthropic:claude-haiku-5-5",
    "gemini": "gemini:gemini-2.5-flash",
    "ollama": "ollama:qwen3",
}
Event = dict[str, Any]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.images.agent_preloaded"])


def start_line(prompt: object = "Go.", *, history: Sequence[object] = (), **config: object) -> bytes:
    start = {"type": "start", "protocol": 1, "run_id": "r1", "input": {"content": prompt}, "history": list(history)}
    return json.dumps({**start, "config": config}).encode() + b"\n"


def be_the_agent(stdin: Connection, stdout: Connection, stderr: str, environment: Mapping[str, str]) -> None:
    """In the process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(environment["WORKSPACE"])
    log = os.open(stderr, os.O_WRONLY | os.O_CREAT)
    for source, target in ((stdin.fileno(), 0), (stdout.fileno(), 1), (log, 2)):
        os.dup2(source, target)
    stdin.close()
    stdout.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    import_module("containers.images.agent.session").main()
    sys.stdout.flush()


class Agent:
    """A running agent; whoever starts one also ends it."""

    def __init__(self, workspace: Path, provider: MockProvider, environment: Mapping[str, str]) -> None:
        self.workspace, self.events, self._rest = workspace, list[Event](), b""
        self.stderr_file = workspace.parent / "stderr"
        for_agent, self._stdin = _context.Pipe(duplex=False)
        self._stdout, from_agent = _context.Pipe(duplex=False)
        given = {
            "PATH": os.environ["PATH"],
            "WORKSPACE": str(workspace),
            "HOME": str(workspace),
            "AGENT_RETRY_WAIT_S": "0.01",
            **provider.environment(),
            **environment,
        }
        self.process = _context.Process(
            target=be_the_agent, args=(for_agent, from_agent, str(self.stderr_file), given), daemon=True
        )
        self.process.start()
        for_agent.close()
        from_agent.close()

    def tell(self, line: bytes | Event) -> None:
        data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._stdin.fileno(), data) :]

    def wait_until_read(self) -> None:
        """Until it has taken from its stdin what it was told."""
        deadline = time.monotonic() + PATIENCE_S
        left = array.array("i", [1])
        while left[0]:
            assert time.monotonic() < deadline
            fcntl.ioctl(self._stdin.fileno(), termios.FIONREAD, left)

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event of that kind; it and those before it are in `events`."""
        while (event := self._next()) is not None:
            if wanted(event):
                return event
        raise AssertionError(f"it ended before that: {self.events[-3:]} {self.stderr}")

    def until_type(self, kind: str) -> Event:
        return self.until(lambda event: event["type"] == kind)

    def finish(self) -> list[Event]:
        """All events, when it has ended."""
        while self._next() is not None:
            pass
        self.process.join(PATIENCE_S)
        assert self.process.exitcode == 0, self.stderr
        check(self.events)
        return self.events

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def text(self, kind: str = "text") -> str:
        return "".join(event["content"] for event in self.of(kind))

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text() if self.stderr_file.exists() else ""

    def terminate(self) -> None:
        assert self.process.pid
        os.kill(self.process.pid, signal.SIGTERM)

    def close_stdin(self) -> None:
        if not self._stdin.closed:
            self._stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.join(PATIENCE_S)
        self.process.close()
        self.close_stdin()
        self._stdout.close()

    def _next(self) -> Event | None:
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._rest:
            if not wait([self._stdout], max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"nothing came in {PATIENCE_S} s: {self.events[-3:]} {self.stderr}")
            data = os.read(self._stdout.fileno(), 1 << 16)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        event: Event = json.loads(line)
        self.events.append(event)
        return event


def check(events: Sequence[Event]) -> None:
    """What every run keeps, however it ended."""
    assert [event["type"] for event in events].count("done") == 1
    assert events[-1]["type"] == "done"
    check_calls(events)


def settled(events: Sequence[Event]) -> list[Event]:
    """Ids and times apart: deltas joined, calls numbered, and what calls that ran at once said put in their order."""
    numbers: dict[str, str] = {}
    found: list[Event] = []
    for event in events:
        kept = {name: value for name, value in event.items() if name != "duration_ms"}
        if "call_id" in kept:
            kept["call_id"] = numbers.setdefault(kept["call_id"], f"c{len(numbers) + 1}")
        found.append(kept)
    return _joined(_in_order(found))


def _in_order(events: list[Event]) -> list[Event]:
    """Within a round of tools: the calls as they are, then each one's output and result."""
    found: list[Event] = []
    said: list[Event] = []
    for event in [*events, {"type": "end"}]:
        if event["type"] in ("tool-output", "tool-result"):
            said.append(event)
            continue
        found += sorted(said, key=lambda one: int(one["call_id"][1:]))
        found.append(event)
        said = []
    return found[:-1]


def _joined(events: list[Event]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else {}
        alike = all(last.get(name) == event.get(name) for name in ("type", "call_id"))
        if alike and event["type"] in ("text", "thinking", "tool-output"):
            last["content"] += event["content"]
        else:
            found.append(dict(event))
    return found
