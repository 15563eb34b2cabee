"""Code that runs as an ordinary user, also where the tests run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.bench import DEADLINE_S, REPOSITORY

SOMEBODY = 64231
"""No user of the system's, and not the one that programs of root's workers are."""
SYSTEM_PYTHON = "/usr/bin/python3"
"""Ours may lie in the home directory of somebody else."""


def as_somebody(code: str) -> subprocess.CompletedProcess[str]:
    """Standard library and `containers` only."""
    somebody: dict[str, Any] = {}
    if os.geteuid() == 0:
        somebody = {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": []}
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [SYSTEM_PYTHON, "-c", code],
        **somebody, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=2 * DEADLINE_S,
    )  # fmt: skip


@pytest.fixture
def for_everybody() -> Iterator[Path]:
    """A directory that an ordinary user may do anything in. pytest's own are not for others, and a sandbox
    that root makes covers /tmp."""
    path = Path(tempfile.mkdtemp(prefix="agentsite-test-", dir="/var/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)
