"""What waiting costs: subscribers of an idle agent, and a whole site with nothing to do. Real processes, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import psycopg
import pytest
import pytest_asyncio

from tests.faults.stack import Profile, Stack
from tests.faults.waiting import until
from tests.servers.proc import cpu_s, threads_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long]
FILLING = 20
"""Enough at once to use every database thread there may be (DB_THREADS)."""
SUBSCRIBERS = 200
WINDOW_S = 10.0
MOST_OF_A_CORE = 0.02


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    site = Stack(Profile(workers=1, settings={"AGENTSITE_LOG_LEVEL": "WARNING"}))
    try:
        await site.start()
        yield site
    finally:
        await site.close()


async def test_subscribers_of_an_idle_agent_add_no_thread_and_no_database_connection(stack: Stack):
    agent_id = await new_agent(stack)
    async with AsyncExitStack() as few:
        await subscribe(stack, agent_id, FILLING, few)  # fills the pool of database threads, which has a fixed size
        threads, connections = threads_of(stack.webs[0].pid), await connections_of(stack)
        async with AsyncExitStack() as many:
            await subscribe(stack, agent_id, SUBSCRIBERS, many)
            assert threads_of(stack.webs[0].pid) <= threads
            assert await connections_of(stack) <= connections


async def test_an_idle_site_uses_under_two_percent_of_a_core(stack: Stack):
    pids = [process.pid for process in (*stack.webs, *stack.workers, stack.beat)]
    await settled(pids)
    before = sum(map(cpu_s, pids))
    await asyncio.sleep(WINDOW_S)  # the length of the measurement, not a wait for something
    used = (sum(map(cpu_s, pids)) - before) / WINDOW_S
    assert used < MOST_OF_A_CORE, f"{used:.1%} of a core"


async def new_agent(stack: Stack) -> str:
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with httpx.AsyncClient(base_url=stack.url(), headers=headers, trust_env=False) as client:
        answer = await client.post("/api/agents", json={"definition": "load"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


async def subscribe(stack: Stack, agent_id: str, count: int, until_closed: AsyncExitStack) -> None:
    """Open streams, each with its snapshot received."""
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {stack.token}"}
    client = httpx.AsyncClient(base_url=stack.url(), headers=headers, trust_env=False, limits=limits, timeout=60)
    await until_closed.enter_async_context(client)

    async def open_one() -> None:
        stream = client.stream("GET", f"/api/agents/{agent_id}/stream")
        answer = await until_closed.enter_async_context(stream)
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                assert '"snapshot"' in line
                return

    for _ in range(0, count, 20):
        await asyncio.gather(*(open_one() for _ in range(min(20, count))))


async def connections_of(stack: Stack) -> int:
    """Of the whole site; what only a request needed is given some time to go."""
    counts: list[int] = []

    async def steady() -> bool:
        async with await psycopg.AsyncConnection.connect(stack.postgres.url) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            row = await (await connection.execute(query)).fetchone()
        assert row is not None
        counts.append(row[0])
        return counts[-3:] == [counts[-1]] * 3

    await until(steady, 30, "a steady number of connections", every_s=0.3)
    return counts[-1]


async def settled(pids: list[int]) -> None:
    """After start-up: a second in which almost nothing was used."""

    async def quiet() -> bool:
        before = sum(map(cpu_s, pids))
        await asyncio.sleep(1)
        return sum(map(cpu_s, pids)) - before < 0.1

    await until(quiet, 60, "the end of start-up")
