"""Stop on a site with SQLite whose worker stands still: a real SIGSTOP, and everybody at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.agents.site import PRELUDE
from tests.faults.waiting import aside, until
from tests.journeys.acts import answered
from tests.journeys.site import UpSite

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(240)]
RUNS = 6
GRACE_S = 2.0
STOP_S = 5.0 + GRACE_S
"""Counted from the moment at which the worker answers again."""
PROGRAM = (
    PRELUDE
    + """
say("approval-request", approval_id="a1", question="Run it?")
while True:
    line = read()
    note("heard", line["type"] + " ")
    if line["type"] == "cancel":
        time.sleep(60)
"""
)
DEFINITION = f"""
[definitions.asks]
image = "none"
trusted = true
process_command = {json.dumps(["{python}", "-u", "-c", PROGRAM])}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UpSite]:
    settings = {"AGENTSITE_STOP_GRACE_S": f"{GRACE_S:g}"}
    up = UpSite(tmp_path_factory.mktemp("stop"), "process", settings, DEFINITION)
    try:
        await aside(up.start)
        yield up
    finally:
        await aside(up.close)


async def waiting_runs(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    """(agent, run): each asks something."""
    made = []
    for _ in range(RUNS):
        body = await answered(client.post("/api/agents", json={"definition": "asks", "input": "go"}))
        made.append((body["id"], body["run"]["id"]))

    async def all_wait() -> bool:
        return {await status(client, run_id) for _, run_id in made} == {"waiting"}

    await until(all_wait, 60, "all runs wait", 0.1)
    return made


async def status(client: httpx.AsyncClient, run_id: str) -> Any:
    return (await answered(client.get(f"/api/runs/{run_id}")))["status"]


async def post(client: httpx.AsyncClient, path: str, body: Any = None) -> tuple[int, str | None]:
    answer = await client.post(path, json=body)
    return answer.status_code, (answer.json().get("error") or {}).get("code")


def heard(site: UpSite, agent_id: str) -> str:
    path = site.workspace(agent_id) / "heard"
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("is_locked", [False, True])
async def test_cancels_and_answers_at_once_while_the_worker_stands_still(site: UpSite, is_locked: bool) -> None:
    """`is_locked`: it stands still in the middle of a transaction, so nobody can write until it goes on."""
    async with site.client() as client:
        runs = await waiting_runs(client)
        worker = site.child("worker")
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(site.data / "agentsite.sqlite3", isolation_level=None)) as held:
                if is_locked:
                    held.execute("BEGIN IMMEDIATE")
                posts = [
                    asyncio.create_task(post(client, path, body))
                    for _, run_id in runs
                    for path, body in (
                        (f"/api/runs/{run_id}/approvals/a1", {"decision": "approve"}),
                        (f"/api/runs/{run_id}/cancel", None),
                    )
                    for _ in range(3)
                ]
                await asyncio.wait(posts, timeout=1.0 if is_locked else None)
            results = await asyncio.gather(*posts)
            assert set(results) <= {
                (200, None),
                (202, None),
                (409, "already-answered"),
                (409, "run-stopping"),
            }, results
        finally:
            os.kill(worker, signal.SIGCONT)
        began = monotonic()
        for agent_id, run_id in runs:

            async def is_cancelled(run_id: str = run_id) -> bool:
                return bool(await status(client, run_id) == "cancelled")

            await until(is_cancelled, max(0.1, began + STOP_S - monotonic()), f"run {run_id} is cancelled", 0.1)
            assert heard(site, agent_id) in ("", "cancel "), "nothing was told to the program after Stop"
