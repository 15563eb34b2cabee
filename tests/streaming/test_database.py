"""What becomes of a database connection that the server has ended."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings
from django.db import connection, transaction

from streaming.errors import JournalUnavailable
from streaming.models import Log
from streaming.store import journal
from streaming.store.database import in_database
from tests.streaming.world import World, until_async

needs_postgres = pytest.mark.skipif(
    "sqlite" in settings.DATABASES["default"]["ENGINE"], reason="SQLite has no sessions that a server could end"
)
IDLE = """
    SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()
"""


def _ask(question: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return str(cursor.fetchone()[0])


@needs_postgres
async def test_an_open_transaction_ends_before_the_lease_does(world: World):
    seconds = await in_database(_ask, "SHOW idle_in_transaction_session_timeout")
    assert seconds == f"{settings.LEASE_S / 2:g}s"


@needs_postgres
async def test_who_stood_still_in_a_transaction_holds_nobody_up(world: World):
    """What SIGSTOP does to a worker in the middle of a commit, but the clock is shorter."""
    agent_id = await world.agent()
    woken = asyncio.Event()
    loop = asyncio.get_running_loop()

    @transaction.atomic
    def stand_still() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '300ms'")
        Log.objects.select_for_update().get(agent_id=agent_id)
        asyncio.run_coroutine_threadsafe(woken.wait(), loop).result(30)
        journal.head(agent_id)

    stopped = asyncio.create_task(in_database(stand_still))

    async def is_idle() -> bool:
        return await in_database(_ask, IDLE) == "1"

    async def is_ended() -> bool:
        return await in_database(_ask, IDLE) == "0"

    await until_async(is_idle, "the row is held")
    assert (await world.steal(agent_id)).epoch == 1
    await until_async(is_ended, "the server has ended it")
    woken.set()
    with pytest.raises(JournalUnavailable):
        await stopped
    assert (await in_database(journal.head, agent_id)).epoch == 1, "and the next call has a new connection"
