"""The model of the log: its real code over stores in memory, in any order that hypothesis comes up with.

AGENTSITE_TEST_MODEL_EXAMPLES=100000 looks longer. A failure ends with the steps that led to it, and with the line
`@reproduce_failure(…)` that repeats them when it is put above the class.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.model.machine import LogMachine
from tests.model.site import in_memory

EXAMPLES = int(os.environ.get("AGENTSITE_TEST_MODEL_EXAMPLES", "1000"))


@pytest.fixture(autouse=True, scope="module")
def _in_memory() -> Iterator[None]:
    with in_memory():
        yield


@pytest.mark.timeout(0)
class TestTheLogInAnyOrder(LogMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
