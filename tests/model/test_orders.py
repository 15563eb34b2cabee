"""A short scenario in all its orders up to a distance: two lines, a takeover, a loss of Redis, a subscriber that joins.

AGENTSITE_TEST_MODEL_DEVIATIONS=2 takes minutes.
"""

from __future__ import annotations

import os
from itertools import permutations

import pytest
from django.test import override_settings

from streaming.model.cursor import START
from tests.model.checks import Checks
from tests.model.orders import Act, Scenario, run_all
from tests.model.scale import AGENT
from tests.model.site import Site
from tests.model.stand_ins import in_memory

DEVIATIONS = int(os.environ.get("AGENTSITE_TEST_MODEL_DEVIATIONS", "1"))
NAMES = ("take over", "lose Redis", "join")


def scenario(names: tuple[str, ...]) -> Scenario:
    """The first line is committed; the second is about to be published and committed."""
    site = Site()
    checks = Checks(site)
    worker = site.start_worker()
    site.print_lines(1)
    assert site.run(checks.is_at_rest, 10)
    site.print_lines(1)

    def take_over() -> None:
        worker.kill()
        site.database.end_lease(AGENT)
        site.start_worker()

    acts = {"take over": take_over, "lose Redis": site.redis.flush, "join": lambda: site.start_browser(START)}
    return Scenario(site, checks, [Act(name, acts[name]) for name in names])


@pytest.mark.timeout(0)
@pytest.mark.parametrize("names", list(permutations(NAMES)), ids=", ".join)
def test_every_order_keeps_the_promises(names: tuple[str, ...]):
    with in_memory(), override_settings(COMMIT_INTERVAL_S=0.0):
        visited = run_all(lambda: scenario(names), DEVIATIONS)
    print(f"{visited} orders")  # noqa: T201
    assert visited > 50
