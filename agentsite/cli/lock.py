from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType

from agentsite.cli.problem import CliProblem


class DataDirLock:
    """Allow one `up` per data directory: two would run two Redis servers beside one database. The kernel releases the
    lock when the process dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "up.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise CliProblem(f"another `agentsite up` runs on {self._path.parent}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
