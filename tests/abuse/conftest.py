"""The site of tests/agents, on every engine that isolates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.agents.conftest import Parts, database_threads, parts

if TYPE_CHECKING:
    from tests.agents.site import Site

__all__ = ["database_threads", "parts", "site"]


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bwrap")])
def site(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Site]:
    yield from parts.site(request.param)
