"""What a person, a browser or a machine that fails does to a whole site."""

from __future__ import annotations

import os
import random
import signal
from time import monotonic
from typing import Any

import httpx
from aiodocker import Docker

from tests.faults.site import Stored
from tests.faults.subscriber import Habits, Subscriber
from tests.faults.waiting import until
from tests.journeys.site import UpSite

LEASE_S = 6.0
QUICK = {
    "AGENTSITE_LEASE_S": f"{LEASE_S:g}",
    "AGENTSITE_LEASE_HEARTBEAT_S": "2",
    "AGENTSITE_REAPER_INTERVAL_S": "1",
}
COMMIT_S = 60.0
RESTART_S = 60.0


async def answered(request: Any) -> Any:
    answer: httpx.Response = await request
    assert answer.is_success, answer.text
    return answer.json()


def subscribe(site: UpSite, agent_id: str, habits: Habits) -> Subscriber:
    subscriber = Subscriber(agent_id, site.token, site.addresses, habits, random.Random(1))
    subscriber.start()
    return subscriber


async def whole_log(site: UpSite, agent_id: str, events: int) -> Stored:
    """What is heard comes over Redis, and is in the database half a second later."""
    await until(lambda: len(site.log(agent_id).events) >= events, COMMIT_S, "the end of the log in the database")
    return site.log(agent_id)


def has_heard_done(subscriber: Subscriber) -> bool:
    return any(seen.payload.startswith(b'{"type":"done"') for seen in subscriber.events[-1:])


async def inspected(site: UpSite, agent_id: str) -> dict[str, Any]:
    async with Docker() as docker:
        labels = [f"agentsite={site.site_id}", f"agentsite.agent={agent_id}"]
        (found,) = await docker.containers.list(filters={"label": labels})
        return await found.show()


async def restarted(site: UpSite, name: str, before: int) -> None:
    await until(lambda: site.child(name) not in (None, before), RESTART_S, f"{name} started again", every_s=0.05)


async def kill(site: UpSite, name: str, how: signal.Signals) -> float:
    """When it was."""
    pid = site.child(name)
    assert pid is not None
    os.kill(pid, how)
    moment = monotonic()
    await restarted(site, name, pid)
    return moment
