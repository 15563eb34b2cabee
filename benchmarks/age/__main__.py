"""`make bench-age`: prints the table, exits 1 where a row is missed."""

from __future__ import annotations

import argparse
import asyncio
import sys

from benchmarks import age
from benchmarks.age import composer, database, join, memory, runs, snapshot
from benchmarks.age.site import running
from benchmarks.age.table import Row, show

PARTS = {
    "memory": memory.measure,  # first: the processes are new
    "snapshot": snapshot.measure,
    "join": join.measure,
    "database": database.measure,
    "typing": composer.measure,
    "runs": runs.measure,
}


async def measure(given: argparse.Namespace) -> list[Row]:
    rows = []
    async with running() as site:
        for part in PARTS:
            if part in (given.part or PARTS):
                rows += await PARTS[part](site, given)
                print(f"{part}: measured", file=sys.stderr, flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=age.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the old agent (join)")
    parser.add_argument("--times", type=int, default=20, help="how often what has a median is repeated (join, runs)")
    parser.add_argument("--minutes", type=float, default=6, help="of the soak (memory); 60 is the full one")
    rows = asyncio.run(measure(parser.parse_args()))
    show(rows)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
