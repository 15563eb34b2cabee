"""Every bench here is bwrap's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.containers.bench import Bench


@pytest_asyncio.fixture
async def bench(bwrap_bench: Bench) -> AsyncIterator[Bench]:
    yield bwrap_bench
