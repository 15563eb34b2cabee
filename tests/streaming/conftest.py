"""What tests of the log get: a database that threads can use, and a bus, hub and writers that are cleaned up.

Imports are inside: pytest loads this file before Django has its settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from streaming.read.hub import Hub
    from streaming.store.bus import Bus
    from tests.streaming.commits import Commits
    from tests.streaming.endpoint import Site
    from tests.streaming.server import Serve, WebServer
    from tests.streaming.world import HandWriter, World


def pytest_collectstart() -> None:
    """Test modules import models."""
    import django

    django.setup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pytest-django makes the test database for those who carry its marker."""
    for item in items:
        if "log_database" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Printed with a failing test; AGENTSITE_TEST_SEED repeats it."""
    given = os.environ.get("AGENTSITE_TEST_SEED")
    chosen = int(given) if given else random.randrange(2**32)
    print(f"seed: AGENTSITE_TEST_SEED={chosen}")  # noqa: T201
    return chosen


@pytest.fixture
def log_database(transactional_db: None) -> Iterator[None]:
    """Committed for real, since the log is written by threads of its own; emptied afterwards."""
    from streaming.store.database import close_threads

    yield
    close_threads()


@pytest_asyncio.fixture
async def world(log_database: None, healthy_redis: RedisServer) -> AsyncIterator[World]:
    """A site without processes: a bus, a hub, and writers. A task that is left over fails the test."""
    from tests.streaming.world import World

    made = World(healthy_redis)
    yield made
    await made.close()
    left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not left, f"tasks left over: {left}"


@pytest_asyncio.fixture
async def bus(healthy_redis: RedisServer) -> AsyncIterator[Bus]:
    from streaming.store.bus import Bus

    made = Bus()
    yield made
    await made.close()


@pytest_asyncio.fixture
async def hub(world: World) -> Hub:
    return world.hub


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    from streaming.store import journal
    from tests.streaming.commits import Commits

    made = Commits()
    monkeypatch.setattr(journal, "commit", made)
    return made


@pytest_asyncio.fixture
async def site(world: World) -> AsyncIterator[Site]:
    from tests.streaming.endpoint import Site

    made = Site(world)
    yield made
    for response in made.responses:
        response.left.set()
        with contextlib.suppress(Exception):
            assert response.task
            await response.task


@pytest_asyncio.fixture
async def writer(world: World) -> HandWriter:
    """Four events in the database with a snapshot behind the third, and two more in Redis."""
    from tests.streaming.world import HandWriter

    made = HandWriter(world.bus, await world.agent())
    await made.take_over()
    await made.publish(3)
    await made.commit(snapshot=True)
    await made.publish(1)
    await made.commit()
    await made.publish(2)
    return made


@pytest_asyncio.fixture
async def serve(world: World, postgres_server: PostgresServer, settings) -> AsyncIterator[Serve]:
    """Starts web processes, with settings of their own."""
    from tests.streaming.server import WebServer

    settings.LEASE_S = 300.0  # our writers have nobody who renews it
    started: list[WebServer] = []

    async def start(**own: object) -> WebServer:
        web = WebServer(world, postgres_server, own)
        started.append(web)
        await web.start()
        return web

    yield start
    for web in started:
        await web.close()
