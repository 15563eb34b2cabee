"""`python -m tests.faults`: inject the faults, print the table; exit code 1 if anything was lost, repeated or late."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from functools import partial

from tests.faults.catalog import ROWS
from tests.faults.driver import run_rows
from tests.faults.table import lines

LONG = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--row", action="append", choices=[row.name for row in ROWS], help="only these")
    parser.add_argument("--repeat", type=int, help=f"repetitions of each row, at least (default {LONG}; quick: 1)")
    parser.add_argument("--seed", type=int, help="what random moments come from (default: a new one)")
    parser.add_argument("--quick", action="store_true", help="short outages, few agents")
    parser.add_argument("--lanes", type=int, default=1, help="rows that run beside each other, on stacks of their own")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    repeat = arguments.repeat or (1 if arguments.quick else LONG)
    rows = [row for row in ROWS if not arguments.row or row.name in arguments.row]
    print(f"seed {seed}, {repeat} repetitions of {len(rows)} rows", flush=True)
    say = partial(print, flush=True)
    results = asyncio.run(run_rows(rows, repeat, seed, arguments.quick, say, arguments.lanes))
    print("\n".join(["", *lines(results)]))
    return 1 if any(tally.findings.problems for _, tally in results) else 0


if __name__ == "__main__":
    sys.exit(main())
