"""An agent of six real runs with 2,000 tool calls of 4 KB each."""

from __future__ import annotations

import argparse

from benchmarks.age.site import AgeSite, state_bytes
from benchmarks.age.table import Row, most

RUNS, CALLS, RESULT_CHARS = 6, 2_000, 4_000
STATE_KIB = 512


async def measure(site: AgeSite, _: argparse.Namespace) -> list[Row]:
    agent_id = await site.new_agent()
    for number in range(RUNS):
        await site.run(agent_id, "calls", CALLS, RESULT_CHARS, number)
    kib = state_bytes(await site.snapshot(agent_id)) / 1024
    return [most(f"state after {RUNS} runs of {CALLS:,} calls with {RESULT_CHARS:,} characters", kib, STATE_KIB, "KiB")]
