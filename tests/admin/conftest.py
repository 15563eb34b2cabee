"""An administrator, and the agents of the API's tests."""

from tests.api.conftest import agent_id, api, database_threads, no_worker, pytest_configure, site, user

__all__ = ["agent_id", "api", "database_threads", "no_worker", "pytest_configure", "site", "user"]
