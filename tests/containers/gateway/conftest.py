"""A site with a gateway, and an Internet with one name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from containers.gateway import GatewayPlace
from tests.containers.gateway.site import PUBLIC, Outside, Site, shout


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside()
    made.names["a.example"] = [PUBLIC]
    await made.open(shout)
    yield made
    made.close()


@pytest.fixture
async def site(tmp_path: Path, outside: Outside) -> AsyncIterator[Site]:
    made = Site(GatewayPlace(tmp_path / "gateway").prepare("r1"), outside)
    yield made
    for gateway in made.gateways:
        await gateway.close()
