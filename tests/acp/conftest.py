"""The same sites as the domain's own tests."""

from tests.agents.conftest import any_site, database_threads, docker_site, parts, site

__all__ = ["any_site", "database_threads", "docker_site", "parts", "site"]
