"""The model of the log: its real code over stores in memory, in any order that hypothesis comes up with.

AGENTSITE_TEST_MODEL_EXAMPLES=100000 looks longer. A failure ends with the steps that led to it, and with the line
`@reproduce_failure(…)` that repeats them when it is put above the test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.model.machine import LogMachine
from tests.model.script import play
from tests.model.stand_ins import in_memory

EXAMPLES = int(os.environ.get("AGENTSITE_TEST_MODEL_EXAMPLES", "1000"))
STATEFUL_SHARE = 10
TIMEOUT_S = 300 if EXAMPLES <= 1000 else 0
COMMON = hypothesis_settings(
    derandomize=bool(os.environ.get("CI")),  # there a change is judged, not luck
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[phase for phase in Phase if phase is not Phase.explain],
)


@pytest.fixture(autouse=True, scope="module")
def _in_memory() -> Iterator[None]:
    with in_memory():
        yield


@pytest.mark.timeout(TIMEOUT_S)
@given(st.binary(min_size=40, max_size=160))
@hypothesis_settings(COMMON, max_examples=EXAMPLES)
def test_log_keeps_its_promises_in_any_order(script: bytes):
    play(script)


@pytest.mark.timeout(TIMEOUT_S)
class TestTheLogStepByStep(LogMachine.TestCase):  # type: ignore[misc, valid-type]
    """The same with rules that hypothesis chooses one by one: slower, and finds other orders."""

    settings = hypothesis_settings(COMMON, max_examples=max(1, EXAMPLES // STATEFUL_SHARE), stateful_step_count=30)
