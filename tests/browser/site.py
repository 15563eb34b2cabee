"""The whole site as a person starts it: `agentsite up` in a process of its own, on its own data, with its own Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import ReservedPort

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 20.0
NOT_INHERITED = ("AGENTSITE_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_")


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """Yields the one-time login link. Raises AssertionError, with the output, when the site does not start or stop."""
    port = ReservedPort()
    output = data_dir / "up.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    command = [sys.executable, "-m", "agentsite", "up", "--engine", "process"]
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port.number), "--data-dir", str(data_dir)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _link(process, output)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"did not stop within {STOP_S} s:\n{output.read_text()}") from None
        finally:
            port.release()


def _link(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://\S+/login/link/\S+", output.read_text())
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no login link within {START_S} s:\n{output.read_text()}")
