"""A mock provider for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import MockProvider


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as running:
        yield running
