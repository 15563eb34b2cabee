"""What the tables of the log take on disk, indexes and TOAST included, against the JSON of the events in them.

Real runs of agents that write code (`corpus.session`), some seconds each: what a table costs depends on how much a
commit has. The tables are vacuumed after each round: autovacuum looks every minute, and a model takes longer than that
to write as much.
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.age.site import AgeSite
from benchmarks.age.table import Row

AGENTS, RUNS = 4, 8
SESSION_BYTES = 1_000_000
PAUSE_S = 0.005
LIMIT = 0.5
TABLES = ("log", "epochstart", "eventchunk", "snapshot", "conversationpage")


async def measure(site: AgeSite, _: argparse.Namespace) -> list[Row]:
    for table in TABLES:
        await site.rows(f"VACUUM FULL streaming_{table}")  # no room of earlier parts to grow into
    before = {table: await _size(site, table) for table in TABLES}
    agents = [await site.new_agent() for _ in range(AGENTS)]
    for number in range(RUNS):
        seeds = range(number * AGENTS, (number + 1) * AGENTS)
        runs = (
            site.run(agent_id, "session", seed, SESSION_BYTES, pause_s=PAUSE_S)
            for agent_id, seed in zip(agents, seeds, strict=True)
        )
        await asyncio.gather(*runs)
        for table in TABLES:
            await site.rows(f"VACUUM streaming_{table}")
    json_bytes = 0
    for agent_id in agents:
        json_bytes += await asyncio.to_thread(_json_bytes, agent_id)
    rows, total = [], 0
    for table in TABLES:
        grown = await _size(site, table) - before[table]
        total += grown
        live = (await site.rows(f"SELECT count(*) FROM streaming_{table}"))[0][0]
        rows.append(Row(f"  {table}, {live:,} rows", f"{grown / 2**20:.1f} MiB, {grown / json_bytes:.2f}"))
    name = f"tables / JSON of {json_bytes / 2**20:.0f} MiB of events"
    found = total / json_bytes
    return [Row(name, f"{total / 2**20:.1f} MiB: {found:.2f}", f"{LIMIT:g}", found <= LIMIT), *rows]


async def _size(site: AgeSite, table: str) -> int:
    return int((await site.rows(f"SELECT pg_total_relation_size('streaming_{table}')"))[0][0])


def _json_bytes(agent_id: str) -> int:
    from streaming.store import journal

    return sum(len(event.encode().encode()) for event in journal.events(agent_id))
