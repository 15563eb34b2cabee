"""Drives the demo agent as a runner does: a process, JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[2] / "containers" / "images" / "demo"
Event = dict[str, Any]
FIELDS: dict[str, dict[str, type]] = {
    "thinking": {"content": str},
    "text": {"content": str},
    "tool-call": {"call_id": str, "name": str, "arguments": dict, "title": str},
    "tool-output": {"call_id": str, "content": str},
    "tool-result": {"call_id": str, "result": str, "is_error": bool, "duration_ms": int},
    "plan": {"entries": list},
    "approval-request": {"approval_id": str, "call_id": str, "question": str, "options": list},
    "error": {"code": str, "message": str, "retryable": bool},
    "done": {"status": str, "result": str},
}


def start_line(
    prompt: object = "What is in my data?",
    run_id: str = "r1",
    history: Sequence[object] = (),
    config: Mapping[str, object] | None = None,
) -> bytes:
    start = {"type": "start", "protocol": 1, "run_id": run_id, "input": {"content": prompt}, "history": list(history)}
    return json.dumps({**start, "config": dict(config or {})}).encode() + b"\n"


@dataclass
class Run:
    """What one run said, and what it left behind."""

    events: list[Event]
    exit_code: int
    workspace: Path
    stderr: str = ""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def text(self) -> str:
        return "".join(event["content"] for event in self.of("text"))

    @property
    def done(self) -> Event:
        return self.events[-1]

    @property
    def report(self) -> str:
        return (self.workspace / "report.md").read_text()

    def output_of(self, tool: str) -> str:
        calls = {event["call_id"] for event in self.of("tool-call") if event["name"] == tool}
        return "".join(event["content"] for event in self.of("tool-output") if event["call_id"] in calls)


class Process:
    """A running demo agent; whoever starts one also ends it."""

    def __init__(self, workspace: Path, pace: str) -> None:
        self.workspace = workspace
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(DEMO)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "WORKSPACE": str(workspace), "DEMO_PACE": pace},
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def tell(self, line: bytes) -> None:
        self.stdin.write(line)
        self.stdin.flush()

    def read(self) -> Event:
        event: Event = json.loads(self.stdout.readline())
        return event

    def read_until(self, wanted: Callable[[Event], bool]) -> list[Event]:
        events = [self.read()]
        while not wanted(events[-1]):
            events.append(self.read())
        return events

    def finish(self, before: list[Event] | None = None) -> Run:
        events = (before or []) + [json.loads(line) for line in self.stdout]
        return Run(events, self.process.wait(30), self.workspace, self.stderr.read().decode())


def check(run: Run) -> None:
    """What every run keeps, however it ended."""
    for event in run.events:
        fields = FIELDS[event["type"]]
        assert set(event) == {"type", *fields}
        assert all(type(event[name]) is kind for name, kind in fields.items())
        assert len(json.dumps(event)) < 1024 * 1024
    assert [event["type"] for event in run.events].count("done") == 1
    assert run.done["type"] == "done"
    check_calls(run.events)
    assert run.exit_code == 0


def check_calls(events: Sequence[Mapping[str, Any]]) -> None:
    """Each call has one result, after it; output comes between the two."""
    is_open: dict[str, bool] = {}
    for event in events:
        call_id = event.get("call_id", "")
        if event["type"] == "tool-call":
            assert call_id not in is_open
            is_open[call_id] = True
        elif event["type"] in ("tool-output", "tool-result"):
            assert is_open[call_id]
            is_open[call_id] = event["type"] == "tool-output"
    assert not any(is_open.values())
