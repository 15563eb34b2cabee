"""A site as version 1 of the fold left it: its tables, with a thousand agents.
`python -m tests.journeys.old_site` writes it into the database of the settings.

Logs and states are the golden ones of version 1, and long conversations; some with a snapshot behind their end, some
trimmed, some empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import groupby, islice
from typing import Any

from streaming.model.events import Event, decode, draft, encode
from tests.golden.test_golden import LOGS, lines_of

AGENTS = 1_000
SCHEMA = {"streaming": "0002_chunk_age", "agents": "0013_token_expiry_and_stream_tickets"}
GOLDEN = [
    (lines_of(log), state.read_text("utf-8")) for log in LOGS if (state := log.with_suffix(".v1.state.json")).exists()
]
GOLDEN_AGENT = "0193467e-7e2a-7c1f-9d52-000000000001"
GOLDEN_RUN = "0193467e-7e2b-7d00-8a11-"
SHAPES = 20
"""Of agents, in turns: the golden ones are the first."""
EMPTY, LONG, LONG_TRIMMED = 17, 18, 19
CHUNK_EVENTS = 40
AT = "2026-11-20T12:00:00.000000Z"


class OldAgent:
    """One of them, by its number. `events`: its whole log. `state`: of version 1, as stored, at the event `state_seq`.
    `first_seq`: the oldest event that is still there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.shape = number % SHAPES
        self.id = f"0193467e-7e2a-7c1f-9d52-{number:012x}"
        self.run_prefix = f"0193467e-7e2b-7d00-{number:04x}-"

    @property
    def is_trimmed(self) -> bool:
        return self.first_seq > 1

    @cached_property
    def events(self) -> list[Event]:
        if self.shape == EMPTY:
            return []
        if self.shape in (LONG, LONG_TRIMMED):
            return [event for run in range(LONG_RUNS) for event in self._long_run(run)]
        return [decode(self._own(line)) for line in GOLDEN[self.shape % len(GOLDEN)][0]]

    @property
    def state_seq(self) -> int:
        if self.shape in (LONG, LONG_TRIMMED):
            return LONG_RUN_EVENTS * (LONG_RUNS * 4 // 5)  # a large one was stored when the log had grown by a quarter
        return len(self.events)

    @property
    def first_seq(self) -> int:
        if self.shape == LONG_TRIMMED:
            return LONG_RUN_EVENTS * (LONG_RUNS // 2) + 1
        is_trimmed = self.shape < len(GOLDEN) and self.number // SHAPES % 4 == 3
        return len(self.events) + 1 if is_trimmed else 1

    @cached_property
    def state(self) -> dict[str, Any]:
        if self.shape in (LONG, LONG_TRIMMED):
            return self._long_state(self.state_seq // LONG_RUN_EVENTS)
        state: dict[str, Any] = json.loads(self._own(GOLDEN[self.shape % len(GOLDEN)][1]))
        return state

    def _own(self, golden: str) -> str:
        return golden.replace(GOLDEN_AGENT, self.id).replace(GOLDEN_RUN, self.run_prefix)

    # Long conversations -------------------------------------------------------------------------------------------

    def _run_id(self, run: int) -> str:
        return f"{self.run_prefix}{run:012x}"

    def _long_run(self, run: int) -> Iterator[Event]:
        run_id, call, text = self._run_id(run), _call(run), _text(run)
        usage = {"input_tokens": 1, "output_tokens": 2, "cost_usd": None}
        said = [
            draft("message", run_id, message_id=f"u-{run_id}", role="user", content=f"Do {run}."),
            draft("status", run_id, status="queued"),
            draft("status", run_id, status="running"),
            draft("text", run_id, message_id="m1", content=text[:1_000]),
            draft("text", run_id, message_id="m1", content=text[1_000:]),
            draft("tool-call", run_id, call_id="c1", name="bash", arguments=call["arguments"]),
            draft("tool-output", run_id, call_id="c1", content=call["output"]),
            draft("tool-result", run_id, call_id="c1", result=call["result"], is_error=False, duration_ms=5),
            draft("usage", run_id, model="m", **usage),
            draft("done", run_id, status="completed", duration_ms=9, tool_calls=1, files_changed=0, usage=usage),
        ]
        for at, one in enumerate(said, run * LONG_RUN_EVENTS + 1):
            yield Event(one.type, self.id, run_id, 1, at, AT, one.data)

    def _long_state(self, runs: int) -> dict[str, Any]:
        messages, ended = [], []
        for run in range(runs):
            run_id = self._run_id(run)
            asked = {"type": "text", "text": f"Do {run}."}
            parts = [{"type": "text", "text": _text(run)}, {"type": "tool-call", "title": None, **_call(run)}]
            messages.append({"id": f"u-{run_id}", "run_id": run_id, "role": "user", "parts": [asked]})
            messages.append({"id": "m1", "run_id": run_id, "role": "assistant", "parts": parts})
            ended.append({"id": run_id, "status": "completed", "started_at": AT, "finished_at": AT, "error": None})
        usage = {"input_tokens": runs, "output_tokens": 2 * runs, "cost_usd": None}
        rest = {"active_run": None, "queue": [], "files": {}, "approvals": [], "usage": usage, "runs": ended}
        return {"status": "completed", "title": "Do 0.", "messages": messages, **rest}


LONG_RUNS, LONG_RUN_EVENTS = 60, 10


def _text(run: int) -> str:
    return f"Text number {run}. " * 200


def _call(run: int) -> dict[str, Any]:
    ended = {"is_error": False, "duration_ms": 5, "state": "completed"}
    output, result = f"printed {run}\n" * 100, f"result {run}"
    arguments = {"command": f"echo {run}"}
    return {"call_id": "c1", "name": "bash", "arguments": arguments, "output": output, "result": result, **ended}


def old_agents() -> Iterator[OldAgent]:
    return map(OldAgent, range(1, AGENTS + 1))


def write() -> None:
    """Tables as they were, and the rows in them."""
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.db.migrations.executor import MigrationExecutor

    for app, name in SCHEMA.items():
        call_command("migrate", app, name, verbosity=0)
    apps = MigrationExecutor(connection).loader.project_state(list(SCHEMA.items())).apps
    model = apps.get_model
    with transaction.atomic():
        owner = model("auth", "User").objects.create(username="admin", is_superuser=True, is_staff=True)
        for some in batched(old_agents(), 100):
            agents = [model("agents", "Agent")(id=one.id, owner=owner, definition="demo") for one in some]
            model("agents", "Agent").objects.bulk_create(agents)
            for name, rows in ROWS.items():
                made = [model("streaming", name)(agent_id=one.id, **row) for one in some for row in rows(one)]
                model("streaming", name).objects.bulk_create(made)
            model("agents", "Run").objects.bulk_create(
                model("agents", "Run")(agent_id=one.id, **row) for one in some for row in _runs(one)
            )


def batched(items: Iterable[Any], count: int) -> Iterator[list[Any]]:
    left = iter(items)
    while some := list(islice(left, count)):
        yield some


Rows = Iterator[dict[str, Any]]


def _log(agent: OldAgent) -> Rows:
    epoch = agent.events[-1].epoch if agent.events else 0
    yield {"epoch": epoch, "seq": len(agent.events), "tip_epoch": epoch, "first_seq": agent.first_seq}


def _epochs(agent: OldAgent) -> Rows:
    for epoch, events in groupby(agent.events, lambda event: event.epoch):
        yield {"epoch": epoch, "first_seq": next(events).seq}


def _chunks(agent: OldAgent) -> Rows:
    for epoch, events in groupby(agent.events[agent.first_seq - 1 :], lambda event: event.epoch):
        for some in batched(events, CHUNK_EVENTS):
            body = "\n".join(event.encode() for event in some)
            yield {"epoch": epoch, "first_seq": some[0].seq, "last_seq": some[-1].seq, "body": body}


def _snapshot(agent: OldAgent) -> Rows:
    if agent.events:
        epoch = agent.events[agent.state_seq - 1].epoch
        yield {"epoch": epoch, "seq": agent.state_seq, "state": encode(agent.state)}


def _runs(agent: OldAgent) -> Rows:
    if agent.events:
        for number, run in enumerate(agent.state["runs"], 1):
            ended = {"finished_at": run["finished_at"], "status": run["status"]}
            yield {"id": run["id"], "number": number, "input": "", "first_seq": 1, **ended}


ROWS = {"Log": _log, "EpochStart": _epochs, "EventChunk": _chunks, "Snapshot": _snapshot}


if __name__ == "__main__":
    import django

    django.setup()
    write()
