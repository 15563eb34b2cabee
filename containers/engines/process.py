"""Programs as plain processes of this machine: no container, no isolation. For definitions marked trusted only.

What it does enforce is what every recorder does (recorded.py). What it does not: CPUs, memory (RLIMIT_AS counts address
space, which runtimes reserve far more of than they use), number of processes (RLIMIT_NPROC counts the whole user),
network, and the file system.
"""

from __future__ import annotations

import sys
from pathlib import Path

from containers.engines.recorded import Order, RecordedEngine
from containers.gateway.place import GATEWAY_VARIABLE, SOCKET
from containers.interface import Availability
from containers.programs import IMAGES_DIR, SYSTEM_PATH, filled_in
from containers.spec import Spec


class ProcessEngine(RecordedEngine):
    name = "process"
    isolation = "none"

    async def check(self) -> Availability:
        found = await super().check()
        if not found.usable:
            return found
        return Availability(True, "no isolation, trusted definitions only; CPUs, memory and processes are not limited")

    def _order(self, spec: Spec, place: Path) -> Order:
        return Order(
            command=filled_in(spec.process_command, sys.executable, str(IMAGES_DIR), spec.venv),
            env=_environment(spec),
            cwd=str(spec.workspace),
        )


def _environment(spec: Spec) -> dict[str, str]:
    """`python3` is the interpreter we run on."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "HOME": str(spec.workspace),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **spec.env,
        **({GATEWAY_VARIABLE: str(spec.gateway / SOCKET)} if spec.gateway else {}),
        "WORKSPACE": str(spec.workspace),
    }
