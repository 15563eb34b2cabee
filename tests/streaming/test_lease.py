"""The lease: one holder at a time, by the database's clock, whose epoch is greater than all before."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.db.models.functions import Now
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.log import lease as leases
from streaming.models import Log
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.world import World

pytestmark = pytest.mark.sqlite


async def end_lease(agent_id: str) -> None:
    """On the database's clock."""
    await in_database(Log.objects.filter(agent_id=agent_id).update, lease_until=Now() - timedelta(seconds=1))


async def test_of_many_who_ask_at_once_one_becomes_the_writer(world: World):
    agent_id = await world.agent()
    for round_ in range(1, 6):
        got = await asyncio.gather(*(in_database(leases.acquire, agent_id, f"worker-{n}") for n in range(8)))
        won = [lease for lease in got if lease is not None]
        assert len(won) == 1
        assert won[0].epoch == round_
        await in_database(leases.release, won[0])


async def test_lease_goes_over_when_it_is_released_or_has_run_out_and_not_before(world: World):
    agent_id = await world.agent()
    first = await world.lease(agent_id, "one")
    assert await in_database(leases.acquire, agent_id, "two") is None
    assert await in_database(leases.acquire, agent_id, "one") is None, "not even by its own owner"
    await end_lease(agent_id)
    second = await world.lease(agent_id, "two")
    assert second.epoch == first.epoch + 1
    assert await in_database(leases.renew, [first]) == [first], "lost"
    assert not await in_database(leases.release, first), "not ours to release"
    assert await in_database(leases.renew, [second]) == []
    assert await in_database(leases.release, second)
    assert not await in_database(leases.release, second)
    assert (await world.lease(agent_id, "three")).epoch == 3


async def test_nobody_becomes_the_writer_of_an_agent_that_is_not_there(world: World):
    assert await in_database(leases.acquire, "00000000-0000-7000-8000-000000000000", "one") is None


async def test_lease_that_ran_out_is_renewed_if_nobody_came(world: World):
    agent_id = await world.agent()
    lease = await world.lease(agent_id)
    await end_lease(agent_id)
    lease.deadline = 0
    assert await in_database(leases.renew, [lease]) == []
    assert lease.held()
    assert await in_database(leases.acquire, agent_id, "two") is None


async def test_renewing_tells_the_lost_from_the_held(world: World):
    held = [await world.lease(await world.agent()) for _ in range(3)]
    stolen = await world.steal(held[1].agent_id)
    before = [lease.deadline for lease in held]
    assert await in_database(leases.renew, held) == [held[1]]
    assert [lease.deadline > old for lease, old in zip(held, before, strict=True)] == [True, False, True]
    assert stolen.epoch == 2
    assert await in_database(leases.renew, []) == []


@pytest.mark.parametrize("skew_s", [-600, 600])
async def test_leases_go_by_the_clock_of_the_database(world: World, skew_s: float):
    """This process's clock is ten minutes off. On PostgreSQL, whose clock is its own."""
    agent_id = await world.agent()
    real_time = time.time
    with patch("time.time", lambda: real_time() + skew_s):
        lease = await world.lease(agent_id, "one")
        assert lease.held()
        assert await in_database(leases.acquire, agent_id, "two") is None
    assert await in_database(leases.acquire, agent_id, "two") is None
    lease_until = await in_database(lambda: Log.objects.get(agent_id=agent_id).lease_until)
    assert lease_until is not None
    assert 20 < lease_until.timestamp() - real_time() < 40


async def test_holder_stops_before_the_database_would_let_another_in(world: World, settings):
    settings.LEASE_S = 4
    agent_id = await world.agent()
    asked_at = leases.clock()
    lease = await world.lease(agent_id)
    assert lease.deadline <= asked_at + 2.5
    with patch.object(leases, "clock", lambda: lease.deadline + 0.001):
        assert not lease.held()
    assert await in_database(leases.acquire, agent_id, "two") is None


STEPS = st.lists(st.tuples(st.sampled_from(["acquire", "renew", "release", "expire"]), st.integers(0, 2)), max_size=12)


@given(STEPS)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@pytest.mark.django_db(transaction=True)
def test_there_is_never_more_than_one_holder_and_epochs_only_grow(steps: list[tuple[str, int]]):
    agent_id = _new_log()
    holder: tuple[int, int] | None = None  # who, epoch
    expired, epoch = False, 0
    held: dict[int, leases.Lease] = {}
    for step, worker in steps:
        if step == "acquire":
            lease = leases.acquire(agent_id, f"worker-{worker}")
            assert (lease is not None) == (holder is None or expired)
            if lease is not None:
                epoch += 1
                assert lease.epoch == epoch
                holder, expired, held[worker] = (worker, epoch), False, lease
        elif step == "renew" and worker in held:
            lost = leases.renew([held[worker]])
            assert (not lost) == (holder == (worker, held[worker].epoch))
            expired = expired and bool(lost)
        elif step == "release" and worker in held:
            assert leases.release(held[worker]) == (holder == (worker, held[worker].epoch))
            holder = None if holder == (worker, held[worker].epoch) else holder
        elif step == "expire" and holder:
            Log.objects.filter(agent_id=agent_id).update(lease_until=Now() - timedelta(seconds=1))
            expired = True


def _new_log() -> str:
    import uuid

    agent_id = str(uuid.uuid4())
    journal.create(agent_id)
    return agent_id
