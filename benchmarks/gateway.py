"""What the gateway adds to a model call. `make bench-gateway`; docs/benchmarks.md has results.

The same client asks the same provider for the same streams, in turns: straight, and by the way that a program's calls
take (forward.py ─► gateway.sock ─► worker, with its log in Redis and PostgreSQL and its `usage` events).

    first token   from the request to the first piece of the answer, median of all
    a chunk       from the provider's clock to the client's (both are this machine's), median of all

At 1 stream, and at 50 that are kept open at once: each begins anew when it has ended, at a moment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import secrets
import signal
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import monotonic_ns
from typing import Any

import aiohttp
from aiohttp import web
from rich.console import Console
from rich.table import Table

from containers.gateway import place
from tests.faults.site import Site
from tests.faults.stack import IMAGE, REPOSITORY, Profile, Stack
from tests.faults.waiting import until
from tests.servers.ports import ReservedPort

PATIENCE_S = 60.0
CHUNKS, PACE_S = 20, 0.05
"""Of one answer: how many, how far apart. The first comes at once: a pause would only add what sleeping varies by."""
FIRST_MOST_MS = 3.0
PROGRAM = "import time; time.sleep(3600)"
BODY = {"model": "gpt-5-mini", "stream": True, "messages": [{"role": "user", "content": "x" * 2000}]}
PATH = "/v1/chat/completions"


@dataclass
class Times:
    """Milliseconds."""

    first: list[float] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)


# The provider, a process of its own ---------------------------------------------------------------------------------


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(CHUNKS):
        said = {"model": BODY["model"], "choices": [{"delta": {"content": f" {monotonic_ns()}"}}], "usage": None}
        await response.write(b"data: " + json.dumps(said).encode() + b"\n\n")
        await asyncio.sleep(PACE_S)
    usage = {"prompt_tokens": 500, "completion_tokens": CHUNKS}
    last = {"model": BODY["model"], "choices": [], "usage": usage}
    await response.write(b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n")
    return response


def provide(ready: Connection) -> None:
    async def serve() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


# The client ---------------------------------------------------------------------------------------------------------


async def ask(client: aiohttp.ClientSession, url: str, times: Times) -> None:
    began, first = monotonic_ns(), True
    async with client.post(url, json=BODY, headers={"Authorization": "Bearer agentsite"}) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if b'"content": " ' in line:
                now, said = monotonic_ns(), json.loads(line[6:])["choices"][0]["delta"]["content"]
                if first:
                    times.first.append((now - began) / 1e6)
                    first = False
                times.chunks.append((now - int(said)) / 1e6)
    assert not first


async def measure(client: aiohttp.ClientSession, url: str, streams: int, times_each: int, times: Times) -> None:
    """`streams` at once, each `times_each` times; they begin spread over the length of one."""
    length_s = CHUNKS * PACE_S

    async def one(number: int) -> None:
        await asyncio.sleep(length_s * number / streams)
        for _ in range(times_each):
            await ask(client, url, times)

    await asyncio.gather(*(one(number) for number in range(streams)))


@asynccontextmanager
async def through(stack: Stack, site: Site) -> AsyncIterator[str]:
    """The address of the gateway of a run that goes on meanwhile."""
    agent = await site.call("POST", "/api/agents", definition="sleeps", input="go")
    run_id = (await site.call("GET", f"/api/agents/{agent['id']}/runs"))["runs"][0]["id"]
    socket = stack.data / "gateway" / run_id / place.SOCKET
    await until(socket.exists, PATIENCE_S, "the gateway of the run")
    port = ReservedPort()
    port.release()
    forwarder = await asyncio.create_subprocess_exec(
        *(sys.executable, str(REPOSITORY / "containers/gateway/forward.py"), "--port", str(port.number)),
        *("--", sys.executable, "-c", "print('on', flush=True); import time; time.sleep(3600)"),
        env={place.GATEWAY_VARIABLE: str(socket), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert forwarder.stdout is not None
    await forwarder.stdout.readline()
    try:
        yield f"http://127.0.0.1:{port.number}/providers/openai"
    finally:
        os.killpg(forwarder.pid, signal.SIGKILL)  # the forwarder itself is no child of its command, but of its session
        await forwarder.wait()
        await site.call("POST", f"/api/runs/{run_id}/cancel")


def definitions() -> str:
    command = json.dumps(["python3", "-c", PROGRAM])
    return f'[definitions.sleeps]\nimage = "{IMAGE}"\nmodel = "openai:gpt-5-mini"\ncommand = {command}\n'


async def main(arguments: argparse.Namespace, provider: str) -> int:
    settings = {"OPENAI_BASE_URL": f"{provider}/v1", "OPENAI_API_KEY": f"sk-proj-{secrets.token_urlsafe(117)}"}
    stack = Stack(Profile(engine="docker", lease_s=30, workers=1, settings=settings))
    table, missed = Table("streams", "what", "straight", "gateway", "added", "at most"), []
    try:
        await stack.start()
        site = Site(stack)
        (stack.directory / "agents.toml").write_text(definitions())
        await until(lambda: _is_known(site), PATIENCE_S, "the definitions are read")
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client, through(stack, site) as gateway:
            for streams in arguments.streams:
                straight, ours = Times(), Times()
                for number in range(arguments.rounds + 1):
                    kept = number > 0  # the first ones find cold caches
                    await measure(client, provider + PATH, streams, 1, straight if kept else Times())
                    await measure(client, gateway + PATH, streams, 1, ours if kept else Times())
                for what in ("first", "chunks"):
                    row, added = _row(what, getattr(straight, what), getattr(ours, what))
                    most = f"{FIRST_MOST_MS:g} ms" if what == "first" else ""
                    table.add_row(str(streams), *row, most)
                    if what == "first" and added > FIRST_MOST_MS:
                        missed.append(f"first token at {streams}")
        await site.close()
    finally:
        await stack.close()
    Console().print(table)
    if missed:
        print("missed:", ", ".join(missed), file=sys.stderr)
    return 1 if missed else 0


def _row(what: str, straight: list[float], ours: list[float]) -> tuple[list[str], float]:
    added = statistics.median(ours) - statistics.median(straight)
    name = {"first": f"first token, median of {len(ours)}", "chunks": f"a chunk, median of {len(ours)}"}[what]
    return [
        name,
        f"{statistics.median(straight):.2f} ms",
        f"{statistics.median(ours):.2f} ms",
        f"{added:.2f} ms",
    ], added


async def _is_known(site: Site) -> bool:
    known: Any = await site.call("GET", "/api/definitions")
    return "sleeps" in json.dumps(known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 50], help="how many at once")
    parser.add_argument("--rounds", type=int, default=20, help="how often each, in turns")
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    serving = context.Process(target=provide, args=(theirs,), daemon=True)
    serving.start()
    try:
        sys.exit(asyncio.run(main(given, f"http://127.0.0.1:{ours.recv()}")))
    finally:
        serving.kill()
