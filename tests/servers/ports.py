"""A TCP port of 127.0.0.1 that stays ours while its server is down, so that a restart gets the same address."""

from __future__ import annotations

import socket


class ReservedPort:
    """A free port, held by a bound socket that never listens.

    Linux lets a server bind a port whose other holder set SO_REUSEADDR too and does not listen, but gives it to nobody
    who asks for any free port. So parallel test runs cannot take it from us between two starts.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()

    def is_answering(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.number)) == 0
