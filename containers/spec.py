"""What to run, and how much of the machine it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
TMP_INODES = 16384
"""Files in /tmp: each takes memory of the kernel's, however small it is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one container. Every engine enforces what it can and names the rest in its capabilities."""

    cpus: float = 1.0
    memory_bytes: int = 512 * MIB
    """Memory and swap together: nothing is swapped."""
    pids: int = 128
    output_bytes: int = 64 * MIB
    """Stdout and stderr together. The journal keeps at least this much without rotating."""
    tmp_bytes: int = 64 * MIB
    shm_bytes: int = 16 * MIB
    open_files: int = 1024
    file_bytes: int = 4096 * MIB
    """Largest single file the program may write (RLIMIT_FSIZE)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One program in one container.

    `command` is what the container runs; an empty one means the image's own. `process_command` is the same program for
    engines without images; `{python}` and `{images}` in it stand for what those engines put there (programs.py).
    `workspace` is a directory of the host, mounted writable at /workspace and the working directory. `labels` are found
    again by `Engine.list`. `user` is whom it runs as in a container, as uid:gid; see workspace.py. `gateway` is a
    directory of the host with the socket of the run's way out (see containers.gateway), mounted read-only; None: there
    is no way out.
    """

    image: str
    workspace: Path
    command: tuple[str, ...] = ()
    process_command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    user: str = "65532:65532"
    runtime: str | None = None
    gateway: Path | None = None
    venv: Path | None = None
    """A virtual environment of the host: `{venv}` in `process_command`, for engines without images."""
    mounts: tuple[Path, ...] = ()
    """What else of the host a program in a sandbox sees, read-only and at the same place. Containers have an image."""
    trusted: bool = False
    """True lets an engine without isolation (`process`) run it."""
