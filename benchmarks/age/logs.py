"""Long logs, written through the journal in large commits: chunks, pages and snapshot as a worker's writer leaves them,
and the rows of their runs. Synchronous; needs Django.

`Log.take` is told what a run says, and gives each event its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from agents.log import lease as leases
from agents.models import Agent, Run
from agents.models.ids import new_id
from benchmarks.age.corpus import Line
from streaming.model.cursor import Cursor
from streaming.model.events import Draft, Event, draft, now
from streaming.store import journal
from streaming.store.journal import Commit, Kept, Stored

COMMIT_EVENTS = 500
SNAPSHOT_EVENTS = 20_000
"""How often a state is stored: what is read is the last one only."""


class Log:
    """The log of an agent that nobody else writes to. A context: what it took is committed when it ends."""

    def __init__(self, agent_id: str) -> None:
        lease = leases.acquire(agent_id, "benchmark")
        assert lease is not None
        self._lease = lease
        journal.begin(agent_id, lease.epoch, [], "")
        self.folded = journal.load(agent_id)
        self.seq = self.folded.cursor.seq
        self.json_bytes = 0
        self._pending: list[Event] = []
        self._snapshot_seq = self.seq
        self._runs: list[Run] = []
        self._run_number = Run.objects.filter(agent_id=agent_id).count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._commit(with_snapshot=True)
        Run.objects.bulk_create(self._runs, batch_size=500)
        shown = {"title": self.folded.state["title"], "status": self.folded.state["status"]}
        Agent.objects.filter(pk=self._lease.agent_id).update(**shown)
        leases.release(self._lease)

    def run(self, prompt: str, lines: Iterable[Line], files: list[str] | None = None) -> str:
        """A whole run: its prompt, what it says, the files it adds, its end. Answers its id."""
        run_id, first_seq = str(new_id()), self.seq + 1
        began = now()
        self.take([draft("message", run_id, message_id=f"u-{run_id}", role="user", content=prompt)])
        self.take([draft("status", run_id, status="running")])
        calls = 0
        for line in lines:
            data = dict(line)
            type_ = data.pop("type")
            calls += type_ == "tool-call"
            self.take([draft(type_, run_id, **data)])
        if files:
            changes = [{"path": path, "change": "added", "size": 100, "sha256": "a" * 64} for path in files]
            self.take([draft("files", run_id, changes=changes)])
        usage = {"input_tokens": 100, "output_tokens": 100, "cost_usd": None}
        done = {"status": "completed", "duration_ms": 1000, "tool_calls": calls, "files_changed": len(files or [])}
        self.take([draft("done", run_id, **done, usage=usage)])
        self._run_number += 1
        self._runs.append(
            Run(
                id=run_id,
                agent_id=self._lease.agent_id,
                number=self._run_number,
                input=prompt,
                first_seq=first_seq,
                started_seq=first_seq + 1,
                last_seq=self.seq,
                engine="process",
                isolation="none",
                started_at=began,
                finished_at=now(),
                usage=usage,
                **done,
            )
        )
        return run_id

    def take(self, drafts: Iterable[Draft]) -> None:
        agent_id, epoch = self._lease.agent_id, self._lease.epoch
        for one in drafts:
            self.seq += 1
            self._pending.append(Event(one.type, agent_id, one.run_id, epoch, self.seq, now(), one.data))
        if len(self._pending) >= COMMIT_EVENTS:
            self._commit(with_snapshot=self.seq - self._snapshot_seq >= SNAPSHOT_EVENTS)

    def _commit(self, *, with_snapshot: bool) -> None:
        if not self._pending:
            return
        self.folded.take(self._pending)
        epoch = self._lease.epoch
        stored = [Stored(Cursor(epoch, event.seq), event.encode()) for event in self._pending]
        kept = Kept.of(self.folded) if with_snapshot else None
        journal.commit(Commit(self._lease.agent_id, epoch, stored, "", kept))
        self.json_bytes += sum(len(one.payload.encode()) for one in stored)
        self._pending = []
        if with_snapshot:
            self._snapshot_seq, self.folded.pages = self.seq, []
