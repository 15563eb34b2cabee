"""What a run costs on top of its container. `make bench-containers`; docs/benchmarks.md has results.

    1  overhead     from `POST …/runs` to the program's first event at a subscriber, against `docker run` of the same
                    image and program to its first byte, in turns
    2  crowd        100 runs at once on one worker: all complete, how late each event is behind the program that printed
                    it, and what the worker's memory grew by for each run
    3  throughput   how many bytes of stdout a second go from a container into the database

Own Redis, PostgreSQL, web process and worker; the engine is the machine's Docker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, time
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.site import Site
from tests.faults.sse import Connection, connect
from tests.faults.stack import IMAGE, Profile, Stack
from tests.faults.waiting import until

FIRST_WORD = """
import json
print(json.dumps({"type": "text", "content": "first"}), flush=True)
"""
TICKS = """
import json, sys, time
for _ in range(int(json.loads(sys.stdin.readline())["input"]["content"])):
    print(json.dumps({"type": "text", "content": f"{time.time():.4f} "}), flush=True)
    time.sleep(0.5)
"""
FLOOD = """
import json, sys
count = int(json.loads(sys.stdin.readline())["input"]["content"])
line = "x" * 99 + "\\n"
for _ in range(count // 100_000):
    sys.stdout.write(line * 1000)
"""
PROGRAMS = {"first": FIRST_WORD, "ticks": TICKS, "flood": FLOOD}
PATIENCE_S = 300.0
OVERHEAD_MOST_MS, MEMORY_MOST_MIB, LATE_MOST_S = 60.0, 1.0, 1.0


@dataclass
class Result:
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """What, how much, how much it may be."""
    missed: list[str] = field(default_factory=list)

    def add(self, what: str, value: str, most: str = "", *, ok: bool = True) -> None:
        self.rows.append((what, value, most))
        if not ok:
            self.missed.append(what)


class Follower:
    """One agent's stream; keeps each event with when it came."""

    def __init__(self, stack: Stack, agent_id: str) -> None:
        self._stack, self._agent_id = stack, agent_id
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._connection: Connection
        self._reading: asyncio.Task[None]

    async def open(self) -> None:
        path = f"/api/agents/{self._agent_id}/stream"
        self._connection = await connect(self._stack.addresses()[0], path, self._stack.token, "0-0")
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while (frames := await self._connection.read()) is not None:
            came = time()
            self.events += [(came, json.loads(frame.data)) for frame in frames if frame.id and frame.data]

    def first(self, type_: str) -> float | None:
        return next((came for came, event in self.events if event["type"] == type_), None)

    async def wait(self, type_: str) -> float:
        await until(lambda: self.first(type_) is not None, PATIENCE_S, f"{type_} of {self._agent_id}", every_s=0.001)
        found = self.first(type_)
        assert found is not None
        return found

    async def close(self) -> None:
        self._connection.abort()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


async def measure_overhead(stack: Stack, site: Site, times: int, result: Result) -> None:
    bare, ours = [], []
    for number in range(times + 2):
        took = await _bare(), await _ours(stack, site)
        if number >= 2:  # the first ones find cold caches
            bare.append(took[0])
            ours.append(took[1])
    overhead_ms = (statistics.median(ours) - statistics.median(bare)) * 1000
    result.add("docker run → first byte, median of " + str(times), f"{statistics.median(bare) * 1000:.0f} ms")
    result.add("submit → first event of the program", f"{statistics.median(ours) * 1000:.0f} ms")
    result.add("overhead", f"{overhead_ms:.0f} ms", f"{OVERHEAD_MOST_MS:.0f} ms", ok=overhead_ms <= OVERHEAD_MOST_MS)


async def _bare() -> float:
    began = monotonic()
    process = await asyncio.create_subprocess_exec(
        *("docker", "run", "--rm", "--network", "none", IMAGE, "python3", "-u", "-c", FIRST_WORD),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    took = monotonic() - began
    await process.wait()
    return took


async def _ours(stack: Stack, site: Site) -> float:
    agent = await site.call("POST", "/api/agents", definition="first")
    follower = Follower(stack, agent["id"])
    await follower.open()
    began = time()
    await site.call("POST", f"/api/agents/{agent['id']}/runs", input="go")
    took = await follower.wait("text") - began
    await follower.wait("done")
    await follower.close()
    return took


async def measure_crowd(stack: Stack, site: Site, runs: int, result: Result) -> None:
    (worker,) = stack.workers
    few = await _crowd(stack, site, 2, ticks=10)
    before_mib = worker.rss_mib()
    most_mib = before_mib
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal most_mib
        while not done.is_set():
            most_mib = max(most_mib, worker.rss_mib())
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    followers = await _crowd(stack, site, runs, ticks=60)
    done.set()
    await watching
    ended = [event for one in followers for _, event in one.events if event["type"] == "done"]
    complete = sum(event["data"]["status"] == "completed" for event in ended)
    late = sorted(lateness for one in followers for lateness in _lateness(one))
    each_mib = (most_mib - before_mib) / runs
    result.add(f"{runs} runs at once: completed", str(complete), str(runs), ok=complete == runs)
    result.add("an event behind its program, median", f"{statistics.median(late) * 1000:.0f} ms")
    result.add("the latest of " + str(len(late)), f"{late[-1]:.2f} s", f"{LATE_MOST_S:g} s", ok=late[-1] <= LATE_MOST_S)
    result.add("the same with 2 runs", f"{max(late for one in few for late in _lateness(one)):.2f} s")
    result.add(
        f"worker's memory for each of them ({before_mib:.0f} → {most_mib:.0f} MiB)",
        f"{each_mib:.2f} MiB",
        f"{MEMORY_MOST_MIB:g} MiB",
        ok=each_mib < MEMORY_MOST_MIB,
    )


async def _crowd(stack: Stack, site: Site, runs: int, ticks: int) -> list[Follower]:
    followers = []
    for _ in range(runs):
        agent = await site.call("POST", "/api/agents", definition="ticks")
        followers.append(follower := Follower(stack, agent["id"]))
        await follower.open()
        await site.call("POST", f"/api/agents/{agent['id']}/runs", input=str(ticks))
    for follower in followers:
        await follower.wait("done")
        await follower.close()
    return followers


def _lateness(follower: Follower) -> list[float]:
    """Of each text: from its program's clock to the log, seconds. Deltas are joined: the oldest word of one counts."""
    return [
        datetime.fromisoformat(event["timestamp"]).timestamp() - float(event["data"]["content"].split()[0])
        for _, event in follower.events
        if event["type"] == "text"
    ]


async def measure_throughput(stack: Stack, site: Site, mib: int, result: Result) -> None:
    size = mib * 2**20
    agent = await site.call("POST", "/api/agents", definition="flood")
    began = monotonic()
    await site.call("POST", f"/api/agents/{agent['id']}/runs", input=str(size))

    async def ended() -> bool:
        state = (await site.snapshot(agent["id"]))["state"]
        return bool(state["runs"] and state["runs"][-1]["finished_at"])

    await until(ended, PATIENCE_S, "the flood is in the database", every_s=0.05)
    took_s = monotonic() - began
    result.add(f"{mib} MiB of lines of 100 bytes, submit → all in the database", f"{took_s:.1f} s")
    result.add("throughput", f"{mib / took_s:.1f} MiB/s")


def definitions() -> str:
    parts = []
    for name, program in PROGRAMS.items():
        command = json.dumps(["python3", "-u", "-c", program])
        parts.append(f'[definitions.{name}]\nimage = "{IMAGE}"\ncommand = {command}\n')
        parts.append(f"[definitions.{name}.limits]\nmemory_mib = 64\noutput_mib = 256\npids = 16\n")
    return "\n".join(parts)


async def main(arguments: argparse.Namespace) -> int:
    result = Result()
    settings = {"AGENTSITE_LEASE_S": "30", "AGENTSITE_LEASE_HEARTBEAT_S": "10", "AGENTSITE_PENDING_BYTES": str(2**23)}
    stack = Stack(Profile(engine="docker", workers=1, settings={**settings, "AGENTSITE_WORKER_CONCURRENCY": "200"}))
    try:
        await stack.start()
        site = Site(stack)
        (stack.directory / "agents.toml").write_text(definitions())
        await until(lambda: _is_known(site, "flood"), PATIENCE_S, "the definitions are read")
        parts: dict[str, Callable[[], Any]] = {
            "overhead": lambda: measure_overhead(stack, site, arguments.times, result),
            "crowd": lambda: measure_crowd(stack, site, arguments.runs, result),
            "throughput": lambda: measure_throughput(stack, site, arguments.mib, result),
        }
        for name in arguments.part or parts:
            await parts[name]()
        await site.close()
    finally:
        await stack.close()
    table = Table("what", "measured", "at most")
    for row in result.rows:
        table.add_row(*row)
    Console().print(table)
    if result.missed:
        print("missed:", ", ".join(result.missed), file=sys.stderr)
    return 1 if result.missed else 0


async def _is_known(site: Site, name: str) -> bool:
    return name in json.dumps(await site.call("GET", "/api/definitions"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=("overhead", "crowd", "throughput"), help="only this one")
    parser.add_argument("--times", type=int, default=30, help="how often the overhead is measured")
    parser.add_argument("--runs", type=int, default=100, help="how many are the crowd")
    parser.add_argument("--mib", type=int, default=64, help="how much the flood is, MiB")
    sys.exit(asyncio.run(main(parser.parse_args())))
