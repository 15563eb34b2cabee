"""The directory of a run's gateway: made for one container, seen in it at /run/agentsite, read-only.

    gateway.sock    the socket; a worker that takes the run over binds it anew
    forward.py      for programs that only know a proxy's address: listens on 127.0.0.1 and passes on to the socket

The directory is what is mounted and not the socket: that one is another after a takeover.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INSIDE = "/run/agentsite"
"""Where the directory is in a container."""
SOCKET, FORWARDER = "gateway.sock", "forward.py"
GATEWAY_VARIABLE = "AGENTSITE_GATEWAY"
"""Environment variable with the socket's path, for programs that speak to it themselves."""
BACKLOG = 128
_FORWARDER_SOURCE = Path(__file__).with_name(FORWARDER)


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """`path` has one directory a run. Only we may enter it; a container sees its own alone, through its mount."""

    path: Path

    def of(self, run_id: str) -> Path:
        return self.path / run_id

    def prepare(self, run_id: str) -> Path:
        """The directory with the forwarder in it. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = self.of(run_id)
        directory.mkdir(mode=0o755, exist_ok=True)
        directory.chmod(0o755)  # whatever our umask is: somebody else looks in
        new = directory / f".{FORWARDER}"
        shutil.copyfile(_FORWARDER_SOURCE, new)
        new.chmod(0o644)
        new.rename(directory / FORWARDER)
        return directory

    def remove(self, run_id: str) -> None:
        shutil.rmtree(self.of(run_id), ignore_errors=True)

    def run_ids(self) -> list[str]:
        """Of all directories that are there."""
        return [path.name for path in self.path.iterdir()] if self.path.is_dir() else []


def listen(directory: Path) -> socket.socket:
    """A listening socket in place of whatever was there. Everybody who sees it may connect. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(directory) as path:
            path.joinpath(f".{SOCKET}").unlink(missing_ok=True)
            made.bind(str(path / f".{SOCKET}"))
            path.joinpath(f".{SOCKET}").chmod(0o666)
            made.listen(BACKLOG)
            path.joinpath(f".{SOCKET}").rename(path / SOCKET)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def _short(directory: Path) -> Iterator[Path]:
    """The path of a socket has at most 107 bytes; a data directory may be deeper."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
