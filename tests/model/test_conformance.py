"""The stores in memory answer as the real ones do: the same random commands, one by one, the answers compared."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.log import lease as leases
from streaming.errors import StreamingError
from streaming.model.cursor import Cursor
from streaming.model.events import Event
from streaming.model.folded import Folded
from streaming.models import Log
from streaming.store import journal
from streaming.store.bus import Bus, connect
from streaming.store.journal import Commit, Kept, Stored
from tests.model.database import Database
from tests.model.gate import Gate
from tests.model.loop import OWNER
from tests.model.redis import Client, Server

FEW = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
SMALL = st.integers(0, 4)


def stored(agent_id: str, epoch: int, first: int, last: int) -> list[Stored]:
    events = [
        Event("text", agent_id, "r", epoch, seq, "2026-11-01T00:00:00Z", {"message_id": "m", "content": f"{seq} "})
        for seq in range(first, last + 1)
    ]
    return [Stored(Cursor(event.epoch, event.seq), event.encode()) for event in events]


# The database --------------------------------------------------------------------------------------------------------

JOURNAL_COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["acquire", "release", "begin", "adopt", "commit", "commit", "commit", "trim", "page", "state", "expire"]
        ),
        SMALL,
        SMALL,
    ),
    min_size=8,
    max_size=25,
)


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
@given(JOURNAL_COMMANDS)
@FEW
def test_journal_and_lease(commands: list[tuple[str, int, int]]):
    agent_id = str(uuid.uuid4())
    database = Database(lambda: 0.0)
    journal.create(agent_id)
    run(database.create(agent_id))
    held: list[leases.Lease] = []
    for command, first, second in commands:
        if command == "expire":
            Log.objects.filter(agent_id=agent_id).update(owner=None, lease_until=None)
            database.end_lease(agent_id)
            continue
        function, arguments = journal_call(command, first, second, agent_id, database, held)
        real = outcome(lambda: function(*arguments))  # noqa: B023
        ours = outcome(lambda: run(database.works[function](*arguments)))  # noqa: B023
        if command == "acquire" and real is not None:
            assert ours is not None
            assert (real.owner, real.epoch) == (ours.owner, ours.epoch)
            held.append(real)
        else:
            assert real == ours, (command, arguments)
        assert journal.head(agent_id) == run(database.head(agent_id))
        assert journal.tips([agent_id]) == run(database.tips([agent_id]))
        assert journal.starts_from(agent_id, 0) == run(database.starts_from(agent_id, 0))


def journal_call(
    command: str, first: int, second: int, agent_id: str, database: Database, held: list[leases.Lease]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    row = database.rows[agent_id]
    epoch = max(0, row.epoch - (first == 0))
    at = row.tip.seq + 1 - (second == 0)
    events = stored(agent_id, epoch, at, at + first % 3)
    if command == "acquire":
        return leases.acquire, (agent_id, f"owner {first}")
    if command == "release" and held:
        return leases.release, (held[-1 - second % len(held)],)
    if command == "begin":
        return journal.begin, (agent_id, epoch, [], "")
    if command == "adopt":
        return journal.begin, (agent_id, epoch, stored(agent_id, max(0, epoch - 1), at, at + first % 3), f"at {at}")
    if command == "commit":
        kept = Kept.of(Folded(events[-1].cursor)) if second % 2 else None
        return journal.commit, (Commit(agent_id, epoch, events, f"at {at}", kept),)
    if command == "trim":
        return journal.trim, (agent_id, first + second)
    if command == "page":
        return journal.page, (agent_id, Cursor(second, first), 200 * first)
    return (journal.load if first % 2 else journal.snapshot_of_living), (agent_id,)


def run(work: Any) -> Any:
    """All of a function's statements at once."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except StreamingError as error:
        return type(error)


# Redis ---------------------------------------------------------------------------------------------------------------

BUS_COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "publish", "fence", "after", "begun", "flush"]),
        st.integers(1, 3),
        st.integers(1, 9),
        st.integers(1, 3),
    ),
    min_size=8,
    max_size=25,
)


@given(BUS_COMMANDS)
@FEW
def test_bus(healthy_redis: object, commands: list[tuple[str, int, int, int]]):
    asyncio.run(compare_buses(commands))


async def compare_buses(commands: list[tuple[str, int, int, int]]) -> None:
    OWNER.set("test")
    agent_id, server, gate = str(uuid.uuid4()), Server(), Gate()
    client = connect()
    real, ours = Bus(client), Bus(Client(server, gate))  # type: ignore[arg-type]
    heard_by_us: list[bytes] = []
    with patch.object(server, "publish", lambda _, data: heard_by_us.append(data)):
        async with client.pubsub() as subscription:
            await subscription.subscribe(f"agent:{agent_id}")
            await subscription.get_message(timeout=5)
            for command in commands:
                if command[0] == "flush":
                    await client.flushall()
                    server.flush()
                    continue
                answers = [await answer(bus, agent_id, *command, gate) for bus in (real, ours)]
                assert answers[0] == answers[1], command
                assert await real.tips([agent_id]) == await moved(ours.tips([agent_id]), gate)
            for said in heard_by_us:
                message = await subscription.get_message(timeout=5)
                assert message is not None
                assert message["data"] == said
            assert await subscription.get_message(timeout=0) is None
    await real.close()


async def answer(bus: Bus, agent_id: str, command: str, epoch: int, first: int, count: int, gate: Gate) -> Any:
    payloads = [f"{epoch}.{seq}" for seq in range(first, first + count)]
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "publish": lambda: bus.publish(agent_id, epoch, first, payloads, f"at {first}", max(0, first - count)),
        "fence": lambda: bus.fence(agent_id, epoch),
        "after": lambda: bus.after(agent_id, Cursor(epoch - 1, first), count),
        "begun": lambda: bus.begun(agent_id),
    }
    try:
        return await moved(calls[command](), gate)
    except StreamingError as error:
        return type(error)


async def moved(call: Awaitable[Any], gate: Gate) -> Any:
    """The call's answer; what waits at the gate is let through."""
    asking = asyncio.ensure_future(call)
    while not asking.done():
        for waiting in gate.movable():
            waiting.take()
        await asyncio.sleep(0)
    return await asking
