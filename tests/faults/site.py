"""What a client of the site can do (the HTTP API), and what only its database says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import monotonic
from typing import Any, NamedTuple

import httpx
import psycopg

from streaming.model.events import Event, decode
from streaming.store.packing import unpack
from tests.faults.plan import Plan
from tests.faults.stack import Stack
from tests.faults.waiting import Missed

PATIENCE_S = 60.0


class Chunk(NamedTuple):
    first_seq: int
    last_seq: int
    epoch: int
    body: str
    packed: bytes | None

    @property
    def lines(self) -> list[str]:
        return (self.body if self.packed is None else unpack(self.packed)).split("\n")


class Stored(NamedTuple):
    """A whole log as the database has it."""

    events: list[Event]
    payloads: list[bytes]
    problems: list[str]


class Site:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = httpx.AsyncClient(
            trust_env=False, timeout=30, headers={"Authorization": f"Bearer {stack.token}"}, follow_redirects=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    # HTTP ---------------------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, **json_body: Any) -> Any:
        """The answer of whichever web process answers; asked again while none does (503, no connection)."""
        began = monotonic()
        while True:
            for host, port in self._stack.addresses():
                try:
                    answer = await self._client.request(method, f"http://{host}:{port}{path}", json=json_body or None)
                except httpx.TransportError:
                    continue
                if answer.status_code < 400:
                    return answer.json()
                if answer.status_code < 500 or answer.status_code != 503:
                    raise Missed(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            if monotonic() - began > PATIENCE_S:
                raise Missed(f"{method} {path}: nobody answers")

    async def create(self, plan: Plan) -> tuple[str, str]:
        """Agent and run. Two calls, since the second is safe to repeat by its key and the first is not."""
        agent = await self.call("POST", "/api/agents", definition="load")
        return agent["id"], await self.submit(agent["id"], plan)

    async def submit(self, agent_id: str, plan: Plan) -> str:
        run = await self.call("POST", f"/api/agents/{agent_id}/runs", input=plan.input())
        return str(run["id"])

    async def cancel(self, run_id: str) -> None:
        await self.call("POST", f"/api/runs/{run_id}/cancel")

    async def snapshot(self, agent_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call("GET", f"/api/agents/{agent_id}/snapshot")
        return answer

    # Database -----------------------------------------------------------------------------------------------------

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self._stack.postgres.url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def log(self, agent_id: str) -> Stored:
        rows = await self.rows(
            "SELECT first_seq, last_seq, epoch, body, packed FROM streaming_eventchunk "
            "WHERE agent_id = %s ORDER BY first_seq",
            agent_id,
        )
        return stored_log([Chunk(*row) for row in rows])

    async def tip(self, agent_id: str) -> int:
        rows = await self.rows("SELECT seq FROM streaming_log WHERE agent_id = %s", agent_id)
        return int(rows[0][0])

    async def epochs(self) -> dict[str, int]:
        return {str(agent): epoch for agent, epoch in await self.rows("SELECT agent_id, epoch FROM streaming_log")}

    async def owners(self) -> dict[str, int]:
        """Agent → process id of the worker that holds its lease."""
        rows = await self.rows("SELECT agent_id, owner FROM streaming_log WHERE owner IS NOT NULL")
        return {str(agent): int(owner.rsplit("-", 2)[1]) for agent, owner in rows if not owner.startswith("web-")}

    async def is_finished(self, run_id: str) -> bool:
        rows = await self.rows("SELECT finished_at FROM agents_run WHERE id = %s", run_id)
        return rows[0][0] is not None

    async def run_row(self, run_id: str) -> tuple[str, str]:
        """Status and error code."""
        rows = await self.rows("SELECT status, error_code FROM agents_run WHERE id = %s", run_id)
        return rows[0][0], rows[0][1]

    async def attempts(self, run_id: str) -> list[str]:
        """The container of each attempt."""
        rows = await self.rows("SELECT container_ref FROM agents_attempt WHERE run_id = %s ORDER BY number", run_id)
        return [row[0] for row in rows]

    async def age_runs(self) -> None:
        await self.rows(
            "UPDATE agents_run SET enqueued_at = enqueued_at - interval '1 minute' WHERE finished_at IS NULL"
        )

    async def cut_connections(self) -> int:
        rows = await self.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return len(rows)

    async def backends(self) -> list[int]:
        """Process ids of PostgreSQL's own, all but the postmaster's."""
        return [row[0] for row in await self.rows("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]


def stored_log(chunks: Sequence[Chunk]) -> Stored:
    """Chunks in the order of `first_seq`."""
    events: list[Event] = []
    payloads: list[bytes] = []
    problems: list[str] = []
    for chunk in chunks:
        lines = chunk.lines
        if chunk.first_seq != len(events) + 1 or chunk.last_seq != chunk.first_seq + len(lines) - 1:
            problems.append(f"chunk {chunk.first_seq}..{chunk.last_seq} of {len(lines)} behind event {len(events)}")
        for line in lines:
            event = decode(line)
            if event.seq != len(events) + 1 or event.epoch != chunk.epoch:
                problems.append(f"event {event.epoch}-{event.seq} at place {len(events) + 1} of epoch {chunk.epoch}")
            events.append(event)
            payloads.append(line.encode())
    epochs = [event.epoch for event in events]
    if epochs != sorted(epochs):
        problems.append("epochs go back")
    return Stored(events, payloads, problems)


def canonical(state: Any) -> str:
    return json.dumps(state, sort_keys=True, ensure_ascii=False)
