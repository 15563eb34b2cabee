"""A spec as the Docker API's `POST /containers/create` takes it. docs/security.md lists what each protection is for.

Pure: nothing is asked of a daemon. Works with API 1.41 (Docker 20.10) and newer, and Podman's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from containers.engines.names import KEY_LABEL
from containers.engines.seccomp import profile_json
from containers.gateway.place import GATEWAY_VARIABLE, INSIDE, SOCKET
from containers.spec import MIB, TMP_INODES, Limits, Spec

WORKSPACE = "/workspace"

PROFILE = "seccomp="
TMP_FILES = f",nr_inodes={TMP_INODES}"
STOP_TIMEOUT_S = 10
"""For a `docker stop` by hand and the daemon's shutdown; the engine's own `stop` gives the grace it was told."""
OOM_SCORE = 500
"""When the machine itself runs out of memory, containers go before the worker and the database."""
LOG_OVERHEAD = 72
"""Bytes of the json-file log for one byte printed, at most: an empty line takes 70, a control byte 6. It must not
rotate below `output_bytes`, or lines are lost to a reader that is slower than the program. Ordinary output takes about
twice its size."""


def create_config(
    spec: Spec, key: str, *, source: Path, gateway: Path | None = None, cpus_available: float
) -> dict[str, Any]:
    """`source` and `gateway` are the directories as the daemon sees them. More CPUs than the machine has would be
    refused."""
    environment = {"HOME": "/tmp", **spec.env, "WORKSPACE": WORKSPACE}
    if gateway is not None:
        environment[GATEWAY_VARIABLE] = f"{INSIDE}/{SOCKET}"
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
        "HostConfig": _host_config(spec, _mounts(source, gateway), min(spec.limits.cpus, cpus_available)),
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
        # Otherwise an image's own ENTRYPOINT would get the command as its arguments.
        config["Entrypoint"] = []
    return config


def _mounts(source: Path, gateway: Path | None) -> list[dict[str, Any]]:
    """Mounts, unlike Binds, refuse a source that is missing instead of making it as root."""
    mounts = [{"Type": "bind", "Source": str(source), "Target": WORKSPACE, "ReadOnly": False}]
    if gateway is not None:
        mounts.append({"Type": "bind", "Source": str(gateway), "Target": INSIDE, "ReadOnly": True})
    return mounts


def _host_config(spec: Spec, mounts: list[dict[str, Any]], cpus: float) -> dict[str, Any]:
    limits = spec.limits
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"{PROFILE}{profile_json()}"],
        "Privileged": False,
        "Init": True,
        "IpcMode": "private",
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": int(cpus * 1e9),
        "PidsLimit": limits.pids,
        "OomScoreAdj": OOM_SCORE,
        "ShmSize": limits.shm_bytes,
        "Tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={limits.tmp_bytes}{TMP_FILES},mode=1777"},
        "Ulimits": _ulimits(limits),
        "LogConfig": {"Type": "json-file", "Config": {"max-size": str(_log_bytes(limits)), "max-file": "1"}},
        "Mounts": mounts,
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
