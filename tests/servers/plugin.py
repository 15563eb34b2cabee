"""pytest plugin: gives the test process its own Redis and PostgreSQL, and skips what this machine cannot run.

Settings are read from the environment once, when Django loads them. So `pytest_configure` reserves the ports and writes
the addresses into the environment before Django reads its settings. Redis starts with the session (20 ms), PostgreSQL
with the first test that asks for the database (1 s).

Under xdist each worker process has servers of its own, so any test may stop, kill or flush them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.test import TransactionTestCase

from agentsite.environment import Environment
from tests.servers import needs
from tests.servers.emptying import empty_database
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerNotFound, new_directory
from tests.servers.redis import RedisServer

KEPT = ("AGENTSITE_TEST_", "AGENTSITE_REQUIRE_")
SETTINGS_MODULE = "DJANGO_SETTINGS_MODULE"
OURS = ("AGENTSITE_", "CELERY_BROKER_URL", "DATABASE_URL", "REDIS_URL")
REDIS = pytest.StashKey[RedisServer]()
POSTGRES = pytest.StashKey[PostgresServer]()
DIRECTORY = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if SETTINGS_MODULE in os.environ:
        pytest.exit(f"unset {SETTINGS_MODULE}: with it Django has read its settings before the tests' own servers", 2)
    redis, postgres, directory = RedisServer(), PostgresServer(), new_directory("tests", None)
    config.stash[REDIS], config.stash[POSTGRES], config.stash[DIRECTORY] = redis, postgres, directory
    _forget_the_developers_site()
    os.environ.update(
        AGENTSITE_DATA_DIR=str(directory),
        AGENTSITE_SECRET_KEY="a key for tests, and of no use elsewhere: 0123456789abcdef",
        DATABASE_URL=f"sqlite:///{directory}/test.sqlite3" if needs.on_sqlite() else postgres.url,
        REDIS_URL=redis.url,
        # All tests come from one address, and many send wrong tokens on purpose.
        AGENTSITE_LOGIN_FAILURES_PER_ADDRESS="1000000",
        AGENTSITE_TOKEN_FAILURES_PER_ADDRESS="1000000",
    )
    os.environ[SETTINGS_MODULE] = "agentsite.settings"
    django.setup()  # pytest-django does it only where the settings were read before it looks
    TransactionTestCase._fixture_teardown = empty_database  # type: ignore[attr-defined]  # private: not in the stubs


def _forget_the_developers_site() -> None:
    """Neither its addresses nor its `.env`; and no keys, since tests pay nobody."""
    for name in list(os.environ):
        if (name.startswith(OURS) and not name.startswith(KEPT)) or name.endswith("_API_KEY"):
            del os.environ[name]
    Environment.model_config["env_file"] = None


def pytest_unconfigure(config: pytest.Config) -> None:
    if REDIS in config.stash:
        config.stash[REDIS].close()
        config.stash[POSTGRES].close()


def is_controller(config: pytest.Config) -> bool:
    """The xdist process that only hands out tests."""
    return bool(config.getoption("tx", None)) and not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if is_controller(config):
        del os.environ[SETTINGS_MODULE]  # the processes that xdist starts now would inherit it: see pytest_configure
    if is_controller(config) or config.option.collectonly:
        return
    try:
        config.stash[REDIS].start()
    except ServerNotFound as error:
        pytest.exit(str(error), returncode=2)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"database: {'SQLite' if needs.on_sqlite() else 'PostgreSQL'}",
        f"engine: {needs.engine_problem() or needs.engine_name()}",
        f"sandbox: {needs.bwrap_problem() or 'bubblewrap'}",
        f"npm: {needs.npm_problem() or 'there'}",
        f"podman: {needs.podman_problem() or needs.podman_url()}",
        f"gvisor: {needs.gvisor_problem() or needs.GVISOR}",
        f"proxies: {needs.proxies_problem() or 'nginx, caddy'}",
        f"browser: {needs.browser_problem() or needs.chromium_path() or 'installed by playwright'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright leaves an event loop in the main thread that says it runs.

    Files with slow tests come first, so that no process is left alone with one at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, item.path not in slow))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker"):
        _require(needs.engine_problem(), "AGENTSITE_REQUIRE_ENGINE")
    if item.get_closest_marker("bwrap"):
        _require(needs.bwrap_problem(), "AGENTSITE_REQUIRE_ENGINE")
    if item.get_closest_marker("npm"):
        _require(needs.npm_problem(), "AGENTSITE_REQUIRE_ENGINE")
    if item.get_closest_marker("podman"):
        _require(needs.podman_problem(), "AGENTSITE_REQUIRE_PODMAN")
    if item.get_closest_marker("gvisor"):
        _require(needs.gvisor_problem(), "AGENTSITE_REQUIRE_GVISOR")
    if item.get_closest_marker("proxies"):
        _require(needs.proxies_problem(), "AGENTSITE_REQUIRE_PROXIES")
    if item.get_closest_marker("browser"):
        _require(needs.browser_problem(), "AGENTSITE_REQUIRE_BROWSER")
        # Playwright's loop makes Django think that a synchronous test is a coroutine.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


def _require(problem: str | None, variable: str) -> None:
    if problem is None:
        return
    if os.environ.get(variable) == "1":
        pytest.fail(f"{problem}, and {variable}=1", pytrace=False)
    pytest.skip(problem)


@pytest.fixture(scope="session")
def servers_directory(pytestconfig: pytest.Config) -> Path:
    """settings.DATA_DIR."""
    return pytestconfig.stash[DIRECTORY]


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> RedisServer:
    """The Redis that settings.REDIS_URL names. Whoever stops it must start it again: `healthy_redis` sees to that."""
    return pytestconfig.stash[REDIS]


@pytest.fixture
def healthy_redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """The same, empty, for a test that breaks it: running again and empty when the test is over."""
    redis_server.start()
    redis_server.flush()
    yield redis_server
    redis_server.resume()
    redis_server.start()
    redis_server.flush()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    """The PostgreSQL that settings.DATABASES names (unless AGENTSITE_TEST_DATABASE=sqlite), running."""
    return pytestconfig.stash[POSTGRES].start()


@pytest.fixture
def healthy_postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The same, for a test that breaks it: running again when the test is over, however it ended."""
    from django.db import connections

    postgres_server.checkpoint()
    yield postgres_server
    postgres_server.resume()
    postgres_server.start()
    connections.close_all()  # this thread's may be one to the server that was killed
