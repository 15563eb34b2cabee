"""What every test gets: servers of its own (see tests/servers/plugin.py).

Fixtures that override those of other plugins are here and not there: which of two plugins wins differs under xdist.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.servers import needs

pytest_plugins = ("tests.servers.plugin",)


def pytest_configure() -> None:
    """Shells start what runs in the background deaf to Ctrl-C, and so would be the commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, servers_directory: Path, request: pytest.FixtureRequest
) -> None:
    """pytest-django asks for this before it makes the test database: the moment to start PostgreSQL."""
    if not needs.on_sqlite():
        request.getfixturevalue("postgres_server")
        return
    from django.conf import settings

    # A file, as in production: the in-memory database has no WAL, and other locking.
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(servers_directory / "pytest.sqlite3")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """pytest-playwright's hook for launching: the system's Chromium, which phones nobody."""
    path = needs.chromium_path()
    return {
        **browser_type_launch_args,
        **({"executable_path": path} if path else {}),
        "args": [
            "--no-sandbox",  # CI runs as root, for whom Chromium's sandbox does not start
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ],
    }
