"""An agent with runs that left something: events at given times in its log, files, and what was kept of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.log import lease as leases
from agents.log.projection import projection
from agents.models import Agent, Run
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.model.cursor import Cursor
from streaming.model.events import Event, draft
from streaming.store import journal

BEGUN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Step = tuple[float, str, Mapping[str, Any]]
"""(seconds after BEGUN, type, data)"""


def events_of(agent_id: str, run_id: str, steps: Iterable[Step], epoch: int = 1, after: int = 0) -> list[Event]:
    made = []
    for seq, (at_s, type_, data) in enumerate(steps, after + 1):
        timestamp = (BEGUN + timedelta(seconds=at_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")
        one = draft(type_, run_id, **data)
        made.append(Event(type_, agent_id, run_id, epoch, seq, timestamp, one.data))
    return made


def write(run: Run, steps: Iterable[Step]) -> None:
    """Append them to the log as a supervisor does, each call under an epoch of its own."""
    agent_id = str(run.agent_id)
    lease = leases.acquire(agent_id, f"test-{uuid.uuid4()}")
    assert lease is not None
    tip = journal.begin(agent_id, lease.epoch, [], "")
    events = events_of(agent_id, str(run.pk), steps, lease.epoch, tip.seq)
    folded = journal.load(agent_id)
    folded.take(events)
    stored = [journal.Stored(Cursor(event.epoch, event.seq), event.encode()) for event in events]
    project = projection(agent_id)
    journal.commit(journal.Commit(agent_id, lease.epoch, stored, "", journal.Kept.of(folded), lambda: project(events)))
    leases.release(lease)
    run.refresh_from_db()


def new_run(agent: Agent, prompt: str) -> Run:
    """Queued, and in the log at BEGUN."""
    number = agent.runs.count() + 1
    run = Run.objects.create(agent=agent, number=number, input=prompt)
    message = {"message_id": f"{run.pk}-input", "role": "user", "content": prompt}
    write(run, [(0, "message", message), (0, "status", {"status": "queued"})])
    return run


def usage(tokens_in: int, tokens_out: int, cost: float | None, total: tuple[int, int, float | None]) -> dict[str, Any]:
    sums = dict(zip(("input_tokens", "output_tokens", "cost_usd"), total, strict=True))
    step = {"input_tokens": tokens_in, "output_tokens": tokens_out, "cost_usd": cost}
    return {"model": "anthropic:claude-sonnet-4-5", **step, "total": sums}


ANALYSIS: list[Step] = [
    (0.4, "status", {"status": "running", "attempt": 1}),
    (1.6, "thinking", {"message_id": "m", "content": "The user wants an overview. "}),
    (2.9, "thinking", {"message_id": "m", "content": "First I look at the file."}),
    (3.1, "text", {"message_id": "m", "content": "I'll look at **sales.csv** first."}),
    (3.4, "usage", usage(1200, 85, 0.0049, (1200, 85, 0.0049))),
    (
        3.5,
        "tool-call",
        {"call_id": "c1", "name": "read_file", "arguments": {"path": "sales.csv"}, "title": "sales.csv"},
    ),
    (3.6, "tool-call", {"call_id": "c2", "name": "search", "arguments": {"pattern": "north"}}),
    (3.9, "tool-result", {"call_id": "c1", "result": "24 rows", "duration_ms": 380}),
    (5.2, "tool-result", {"call_id": "c2", "result": "7 lines", "duration_ms": 1600}),
    (7.0, "text", {"message_id": "m2", "content": "Now I compute the sums."}),
    (7.9, "usage", usage(2400, 140, 0.0093, (3600, 225, 0.0142))),
    (
        8.0,
        "tool-call",
        {"call_id": "c3", "name": "bash", "arguments": {"command": "rm -rf old"}, "title": "rm -rf old"},
    ),
    (8.1, "approval-request", {"approval_id": "a1", "call_id": "c3", "question": "Run rm -rf old?"}),
    (8.1, "status", {"status": "waiting"}),
    (14.5, "approval-response", {"approval_id": "a1", "decision": "approve", "by": "ada"}),
    (14.5, "status", {"status": "running"}),
    (15.9, "tool-result", {"call_id": "c3", "result": "exit code 1", "is_error": True, "duration_ms": 1400}),
    (18.8, "text", {"message_id": "m3", "content": "# Report\nNorth leads."}),
    (19.6, "usage", usage(3100, 420, 0.0156, (6700, 645, 0.0298))),
]
FINISHED: list[Step] = [
    *ANALYSIS,
    (
        20.0,
        "done",
        {
            "status": "completed",
            "result": "North leads.",
            "duration_ms": 19600,
            "tool_calls": 3,
            "files_changed": 4,
            "usage": {"input_tokens": 6700, "output_tokens": 645, "cost_usd": 0.0298},
        },
    ),
]
FAILED: list[Step] = [
    (0.5, "status", {"status": "running", "attempt": 1}),
    (2.0, "text", {"message_id": "m", "content": "I begin."}),
    (4.0, "error", {"code": "out-of-memory", "message": "The program needed more than 256 MiB."}),
    (4.1, "done", {"status": "failed", "duration_ms": 3600}),
]
BEFORE = {
    "sales.csv": "region,amount\nnorth,12\nsouth,7\n",
    "old/notes.txt": "keep me\nas I am\n",
    "old/gone.txt": "nobody needs this\n",
    "report.py": "import csv\n\n\ndef total(rows):\n    return sum(row.amount for row in rows)\n\n\nprint(total([]))\n",
}
AFTER = {
    "sales.csv": BEFORE["sales.csv"],
    "notes.txt": BEFORE["old/notes.txt"],
    "report.py": (
        'import csv\n\n\ndef total(rows, column="amount"):\n    return sum(float(row[column]) for row in rows)\n\n\n'
        'with open("sales.csv") as file:\n    print(total(csv.DictReader(file)))\n'
    ),
    "charts/amount.svg": '<svg xmlns="http://www.w3.org/2000/svg"><rect width="30" height="9"/></svg>\n',
    "report.md": "# Report\n\n| region | amount |\n|---|---:|\n| north | 12 |\n",
    "picture.bin": "\0\1\2",
}


def put(agent: Agent, files: Mapping[str, str | bytes]) -> None:
    workspace = Workspace(agent.pk)
    for path, content in files.items():
        workspace.write_file(path, [content.encode() if isinstance(content, str) else content])


def keep(run: Run, before: Mapping[str, str | bytes], after: Mapping[str, str | bytes]) -> None:
    """What was there before and after the run, on disk and in what is kept of it."""
    workspace, history = Workspace(run.agent_id), History(run.agent_id)
    for entry in workspace.entries().entries:
        workspace.delete(entry.path)
    put(run.agent, before)
    history.keep(str(run.pk), "before", workspace)
    for path in set(before) - set(after):
        workspace.delete(path)
    put(run.agent, {path: content for path, content in after.items() if before.get(path) != content})
    history.keep(str(run.pk), "after", workspace)
