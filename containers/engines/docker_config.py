"""A spec as the Docker API's `POST /containers/create` takes it. DESIGN.md section 4 gives the reason for each field.

Pure: nothing is asked of a daemon. Works with API 1.41 (Docker 20.10) and newer, and Podman's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from containers.engines.names import KEY_LABEL
from containers.engines.seccomp import profile_json
from containers.spec import MIB, TMP_INODES, Limits, Spec

WORKSPACE = "/workspace"

STOP_TIMEOUT_S = 10
"""For a `docker stop` by hand and the daemon's shutdown; the engine's own `stop` gives the grace it was told."""
OOM_SCORE = 500
"""When the machine itself runs out of memory, containers go before the worker and the database."""
LOG_OVERHEAD = 8
"""The json-file log takes about 75 bytes a line and escapes control bytes (6 for 1). It must not rotate below
`output_bytes`, or a slow reader loses lines; this leaves room for all but a program that prints mostly empty lines."""


def create_config(spec: Spec, key: str, *, source: Path, cpus_available: float) -> dict[str, Any]:
    """`source` is the workspace as the daemon sees it. More CPUs than the machine has would be refused."""
    environment = {"HOME": "/tmp", **spec.env, "WORKSPACE": WORKSPACE}
    config: dict[str, Any] = {
        "Image": spec.image,
        "User": spec.user,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "WorkingDir": WORKSPACE,
        "Hostname": "agent",
        "Labels": {**spec.labels, KEY_LABEL: key},
        # Stdin stays open when the sender's connection closes. With StdinOnce a worker's death is the program's EOF.
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "StopSignal": "SIGTERM",
        "StopTimeout": STOP_TIMEOUT_S,
        "HostConfig": _host_config(spec, source, min(spec.limits.cpus, cpus_available)),
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
        # Otherwise an image's own ENTRYPOINT would get the command as its arguments.
        config["Entrypoint"] = []
    return config


def _host_config(spec: Spec, source: Path, cpus: float) -> dict[str, Any]:
    limits = spec.limits
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={profile_json()}"],
        "Privileged": False,
        "Init": True,
        "IpcMode": "private",
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": int(cpus * 1e9),
        "PidsLimit": limits.pids,
        "OomScoreAdj": OOM_SCORE,
        "ShmSize": limits.shm_bytes,
        "Tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={limits.tmp_bytes},nr_inodes={TMP_INODES},mode=1777"},
        "Ulimits": _ulimits(limits),
        "LogConfig": {"Type": "json-file", "Config": {"max-size": str(_log_bytes(limits)), "max-file": "1"}},
        # Mounts, unlike Binds, refuse a source that is missing instead of making it as root.
        "Mounts": [{"Type": "bind", "Source": str(source), "Target": WORKSPACE, "ReadOnly": False}],
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
    }
    if spec.runtime:
        host["Runtime"] = spec.runtime
    return host


def _ulimits(limits: Limits) -> list[dict[str, Any]]:
    """No `nproc`: it counts the processes of that user id over all containers."""
    values = {"nofile": limits.open_files, "core": 0, "fsize": limits.file_bytes}
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in values.items()]


def _log_bytes(limits: Limits) -> int:
    return limits.output_bytes * LOG_OVERHEAD + 16 * MIB
