"""What this machine may lack: engines, bubblewrap, proxies, a Chromium. A problem is one line for the report."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

NOBODY = 65532
DEFAULT_DOCKER = "unix:///var/run/docker.sock"
DEFAULT_PODMAN = "unix:///run/podman/podman.sock"
GVISOR = "runsc"
"""Its runtime, as a Docker daemon has to be told of it."""


class _EngineConnection(http.client.HTTPConnection):
    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=5)
        self._address = address

    def connect(self) -> None:
        scheme, _, rest = self._address.partition("://")
        if scheme == "unix":
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(rest)
        else:
            host, _, port = rest.rstrip("/").partition(":")
            self.sock = socket.create_connection((host, int(port or 2375)), timeout=self.timeout)


def docker_url() -> str:
    return os.environ.get("DOCKER_HOST") or DEFAULT_DOCKER


def podman_url() -> str:
    """Podman's own variable for it."""
    return os.environ.get("CONTAINER_HOST") or DEFAULT_PODMAN


@cache
def _asked(address: str, path: str) -> tuple[dict[str, Any], str | None]:
    """(answer, None) or ({}, problem)."""
    connection = _EngineConnection(address)
    try:
        connection.request("GET", path)
        return dict(json.loads(connection.getresponse().read())), None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return {}, f"at {address} ({reason})"
    finally:
        connection.close()


def on_sqlite() -> bool:
    return os.environ.get("AGENTSITE_TEST_DATABASE", "postgres") == "sqlite"


def engine_name() -> str:
    return f"{_asked(docker_url(), '/version')[0].get('Version')} at {docker_url()}"


def engine_problem() -> str | None:
    problem = _asked(docker_url(), "/version")[1]
    return problem and f"no container engine {problem}"


def podman_problem() -> str | None:
    """Of a service that runs, as by `podman system service --time=0 unix:///run/podman/podman.sock`."""
    problem = _asked(podman_url(), "/version")[1]
    return problem and f"no Podman {problem}"


def gvisor_problem() -> str | None:
    """What a daemon is told of need not be installed, but then it is a mistake."""
    there = _asked(docker_url(), "/info")[0].get("Runtimes", {})
    return None if GVISOR in there else f"the container engine knows no runtime {GVISOR}"


@cache
def bwrap_problem() -> str | None:
    """Whether bubblewrap can make the namespaces that a sandbox is made of. As somebody else where we are root, since
    that is who runs it."""
    if (bwrap := shutil.which("bwrap")) is None:
        return "no bubblewrap (package bubblewrap)"
    command = [bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true"]
    somebody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run(command, **somebody, cwd="/", capture_output=True, text=True, check=True, timeout=20)
    except subprocess.CalledProcessError as error:
        return f"bubblewrap does not work here: {error.stderr.strip()}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not work here: {error}"
    return None


def npm_problem() -> str | None:
    """It fetches what is in the images of other people's agents."""
    return None if shutil.which("npm") else "no npm (package npm)"


def proxies_problem() -> str | None:
    """Those of which docs/deploying.md has configurations."""
    missing = [name for name in ("nginx", "caddy") if proxy_path(name) is None]
    return f"no {' and no '.join(missing)} (packages nginx, caddy)" if missing else None


def proxy_path(name: str) -> str | None:
    """Debian's nginx is where ordinary users do not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def chromium_path() -> str | None:
    """The system's Chromium. None if there is none; Playwright may then have one of its own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browser_problem() -> str | None:
    downloads = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    if chromium_path() or any(downloads.glob("chromium*")):
        return None
    return "no Chromium: install the package chromium, or run `playwright install chromium`"


def main(what: str) -> int:
    """`python -m tests.servers.needs engine|browser`: exit code 1 and one line on stdout if it is missing."""
    problem = {"engine": engine_problem, "browser": browser_problem}[what]()
    if problem:
        print(problem)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
