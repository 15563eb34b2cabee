"""An administrator, and the agents of the API's tests, one with a run.

Modules of ours are imported late: pytest reads this file before the servers' plugin has set Django's settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import agent_id, api, database_threads, no_worker, pytest_configure, site, user

if TYPE_CHECKING:
    from django.test import Client

    from agents.models import Run

__all__ = ["agent_id", "api", "database_threads", "no_worker", "pytest_configure", "site", "user"]


@pytest.fixture
def admin(user) -> Client:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def run(api, agent_id) -> Run:
    from django.utils.timezone import now

    from agents.models import Attempt, Run

    run_id = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "<b>Hello</b>"})[1]["id"]
    Attempt.objects.create(
        run_id=run_id, number=1, engine="docker", worker="w", exit_code=0, outcome="exit", finished_at=now()
    )
    return Run.objects.get(pk=run_id)
