"""The site of tests/agents, on an engine that isolates."""

from tests.agents.conftest import database_threads, docker_site, parts, site

__all__ = ["database_threads", "docker_site", "parts", "site"]
