"""What `make test` does a part of, and `make nightly` the whole: repetitions and random examples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
IS_NIGHTLY = os.environ.get("AGENTSITE_TEST_NIGHTLY") == "1"
SHARE = 3
"""`make nightly` looks at this many times as many examples."""


def examples(whole: int) -> int:
    """How many of `whole` random examples to look at now."""
    return whole if IS_NIGHTLY else whole // SHARE


def some(whole: Sequence[T], most: int) -> Sequence[T]:
    """The first `most` of several that prove about the same; all of them at night."""
    return whole if IS_NIGHTLY else whole[:most]
