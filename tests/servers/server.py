"""What Redis and PostgreSQL have in common when tests own them."""

from __future__ import annotations

import shutil
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.servers.ports import ReservedPort
from tests.servers.process import ServerProcess


class Server(ABC):
    """One server on one address, which it keeps over `stop`, `kill` and `start`."""

    def __init__(self) -> None:
        self._port = ReservedPort()
        self._directory: Path | None = None
        self._process: ServerProcess | None = None

    @property
    def port(self) -> int:
        return self._port.number

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    @abstractmethod
    def start(self) -> Self:
        """Returns when it answers. Does nothing if it runs already."""

    @abstractmethod
    def stop(self) -> None:
        """An orderly end."""

    @abstractmethod
    def kill(self) -> None:
        """A crash: connections break in the middle."""

    def pause(self) -> None:
        """It hangs. `resume` ends it."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        if self._process is not None:
            self._process.resume()

    def close(self) -> None:
        """Kills it, gives the port back and removes the data."""
        self.kill()
        self._port.release()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None
