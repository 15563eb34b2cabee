"""A real PostgreSQL: the system's binaries, else those of the pgserver wheel."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.servers.process import ServerFailed, ServerNotFound, ServerProcess, new_directory, owned
from tests.servers.server import Server

# Without fsync a commit still outlives a crash of PostgreSQL, though not one of the machine.
FAST_NOT_DURABLE = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
}


def postgres_binaries() -> Path:
    """The newest directory with initdb and postgres in it."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of, reverse=True)
    on_path = shutil.which("initdb")
    wheel = importlib.util.find_spec("pgserver")
    candidates = [
        *installed,
        *([Path(on_path).resolve().parent] if on_path else []),
        *([Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []),
    ]
    for directory in candidates:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise ServerNotFound("no PostgreSQL: install the package postgresql, or `pip install pgserver`")


def _version_of(binaries: Path) -> float:
    name = binaries.parent.name
    return float(name) if name.replace(".", "", 1).isdigit() else 0.0


def unprivileged_user() -> str | None:
    """initdb and postgres refuse root. Whom root runs them as; None if we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "nobody")


class PostgresServer(Server):
    """Starts, stops and breaks one PostgreSQL on one address. Data outlives `stop` and `kill`, not `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._user = unprivileged_user()

    @property
    def url(self) -> str:
        return self.url_of("agentsite")

    def url_of(self, database: str) -> str:
        return f"postgres://agentsite@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Returns when a connection to the database `agentsite` works. Does nothing if it runs already."""
        if self.is_running:
            return self
        fresh = self._directory is None
        if self._directory is None:
            self._directory = new_directory("postgres", self._user)
            self._binaries = self._reachable(postgres_binaries())
            self._initdb()
        argv = [str(self._binaries / "postgres"), "-D", str(self._directory / "data"), *self._options()]
        # SIGQUIT is PostgreSQL's immediate shutdown: the postmaster takes its children with it.
        self._process = ServerProcess(argv, self._directory / "postgres.log", user=self._user, death_signal="QUIT")
        self._process.wait_until(self._answers)
        if fresh:
            self.create_database("agentsite")
        return self

    def stop(self) -> None:
        """An orderly end that does not wait for clients: SIGINT, "fast shutdown"."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """A crash: connections break in the middle, and the next start recovers."""
        self._end(signal.SIGQUIT)

    def checkpoint(self) -> None:
        """The next recovery starts here. It would else replay the emptied tables of every test since the last
        checkpoint: 500 of them took longer than START_TIMEOUT_S."""
        import psycopg

        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def pause(self) -> None:
        """New connections hang; those that are open go on."""
        super().pause()

    def create_database(self, name: str) -> str:
        """Creates an empty database and returns its URL."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url_of(name)

    def _initdb(self) -> None:
        assert self._directory is not None
        argv = [
            str(self._binaries / "initdb"),
            *("--pgdata", str(self._directory / "data")),
            *("--username", "agentsite", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        ]
        made = subprocess.run(
            owned(argv, user=self._user, death_signal="KILL"), capture_output=True, text=True, cwd="/", check=False
        )
        if made.returncode:
            raise ServerFailed(f"initdb exited with {made.returncode}:\n{made.stderr}")

    def _options(self) -> list[str]:
        options = FAST_NOT_DURABLE | {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        import psycopg

        if not self._port.is_answering():
            return False
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:  # "the database system is starting up"
            return False
        return True

    def _reachable(self, binaries: Path) -> Path:
        """Whom root runs them as may not see a virtual environment below root's home: then there is a copy for it."""
        assert self._directory is not None
        packages = binaries.parents[2]  # .../site-packages/pgserver/pginstall/bin
        libraries = packages / "pgserver.libs"  # found by their place relative to the binaries
        if self._user is None or not libraries.exists():
            return binaries
        copy = self._directory / "install"
        for part in (binaries.parent, libraries):
            shutil.copytree(part, copy / part.relative_to(packages), symlinks=True)
        return copy / binaries.relative_to(packages)
