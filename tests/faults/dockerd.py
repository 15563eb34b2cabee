"""A container engine of our own, so that its daemon can be restarted without taking anybody else's containers along."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.servers import ServerNotFound
from tests.servers.process import ServerProcess, new_directory

DAEMON_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOAD_S = 300.0


class DockerDaemon:
    """With live-restore: containers outlive their daemon. Needs root, and an engine that has the image already."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._path}/docker.sock"

    def start(self) -> Self:
        """Returns when it answers."""
        if self._process is None or not self._process.is_running:
            # SIGTERM, because dockerd has a containerd of its own to take along.
            self._process = ServerProcess(self._argv(), self._path / "dockerd.log", death_signal="TERM")
            self._process.wait_until(self._answers)
        return self

    def load(self, image: str) -> None:
        """From the machine's own engine."""
        script = 'set -e; docker save "$1" >"$2"; docker -H "$3" load <"$2"; rm "$2"'
        argv = ["sh", "-c", script, "load", image, str(self._path / "image.tar"), self.url]
        subprocess.run(argv, check=True, capture_output=True, timeout=LOAD_S)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Its containerd dies with it. As a zombie that nobody has reaped yet it would be taken for alive by the next
        dockerd, which then waits for it in vain: so its pid file goes."""
        self._end(signal.SIGKILL)
        (self._path / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """The containers have to be gone already: they would outlive it."""
        self.start()
        self.stop()
        # dockerd mounts its data root onto itself, and leaves that behind when it has live-restore.
        subprocess.run(["umount", f"{self._path}/data"], capture_output=True, check=False)
        shutil.rmtree(self._path, ignore_errors=True)

    @property
    def _path(self) -> Path:
        if self._directory is None:
            self._directory = new_directory("dockerd", None)
        return self._directory

    def _argv(self) -> list[str]:
        daemon = shutil.which("dockerd", path=DAEMON_PATH)
        if daemon is None:
            raise ServerNotFound("no dockerd")
        path = self._path
        return [
            # In a network of its own: a second daemon on the machine's would remove the bridge of the first.
            *("unshare", "--net", "--"),
            *(daemon, "--data-root", f"{path}/data", "--exec-root", f"{path}/exec", "--pidfile", f"{path}/pid"),
            *("--host", self.url, "--bridge=none", "--iptables=false", "--ip6tables=false", "--live-restore"),
        ]

    def _answers(self) -> bool:
        return subprocess.run(["docker", "-H", self.url, "info"], capture_output=True, check=False).returncode == 0

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(how)
            self._process = None
