"""A run that counts, the workers it goes between, and how one of them is stopped in a step."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from agents.models import Run
from agents.worker.runner import Runner
from streaming.model.events import Event
from streaming.models import Log
from tests.agents.site import Site, attempts, errors, text, until

LINES = 20
COUNTS = f"""
note("started", f"{{os.getpid()}} ")
for number in range({LINES}):
    say("tool-call", call_id=f"c{{number}}", name="count")
    note("calls", f"{{number}} ")
    say("text", content=f"{{number}} ")
    say("tool-result", call_id=f"c{{number}}")
    if number == 9:
        note("middle")
        wait("go")
say("done", result="counted")
note("finished")
wait("end")
"""
WHOLE = "".join(f"{number} " for number in range(LINES))


def is_whole(site: Site, run: Run) -> list[Event]:
    """Nothing lost, nothing twice, and the program ran once."""
    events = site.end(run)
    assert errors(events) == []
    assert (events[-1].data["status"], events[-1].data["result"]) == ("completed", "counted")
    assert text(events) == WHOLE
    calls = [event.data["call_id"] for event in events if event.type == "tool-call"]
    assert calls == [f"c{number}" for number in range(LINES)]
    assert events[-1].data["tool_calls"] == LINES
    assert site.wait_file(run, "calls") == WHOLE
    assert len(site.wait_file(run, "started").split()) == 1
    (attempt,) = attempts(run)
    assert attempt.finished_at is not None
    return events


def take(site: Site, run: Run, worker: Runner) -> None:
    """Have that worker take the run, though the one that has it may just have renewed its lease."""

    def taken() -> bool:
        # Never that worker's own lease: the one before would take the run back.
        others = Log.objects.filter(pk=run.agent_id).exclude(owner=worker.worker)
        others.update(lease_until=Now() - timedelta(seconds=1))
        site.ask_worker(worker, str(run.agent_id))
        return Log.objects.get(pk=run.agent_id).owner == worker.worker

    until(taken, "another worker takes it")


def let_all(site: Site, run: Run) -> None:
    for name in ("go", "end"):
        site.let(run, name)


class Halt:
    """Stops a worker in a step until the test has said what becomes of it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    async def here(self) -> None:
        self.reached.set()
        while not self.go_on.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def halt_in(owner: Any, method: str, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> Halt:
    halt, real = Halt(), getattr(owner, method)

    async def step(*arguments: Any, **named: Any) -> Any:
        if before and not halt.reached.is_set():
            await halt.here()
        answer = await real(*arguments, **named)
        if not before and not halt.reached.is_set():
            await halt.here()
        return answer

    monkeypatch.setattr(owner, method, step)
    return halt
