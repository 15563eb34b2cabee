"""A spec as bwrap's arguments: the sandbox. Pure but for looking at which directories this machine has.

    /usr, /bin, /lib…    read-only, as on this machine
    /etc                 what a Python, Node or shell program reads; users and hosts are made up
    /opt/agentsite       read-only: the interpreter we run on, if it is not in /usr, and the bundled programs
    /proc, /dev          its own, the least there can be
    /tmp, /dev/shm       its own, sized
    /run/agentsite       read-only: the way out, if there is one
    /workspace           the agent's, the only thing that is kept
    what is mounted      read-only, where it is on this machine: what a definition names, and its virtual environment

Everything else is not there: no home directory, no data directory, no socket of a daemon. The root is read-only. All
namespaces are its own; that of the network has nothing but loopback.

A worker that is root starts bwrap as the program's user all the same. What that user could not reach or mount is put
where it can be (`stage`, see confinement.py), and /tmp then is `noexec` and has a bound on its number of files, which
bwrap has no word for.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from containers.engines.confinement import STAGE
from containers.gateway.place import GATEWAY_VARIABLE, INSIDE, SOCKET
from containers.programs import IMAGES_DIR, SYSTEM_PATH
from containers.spec import TMP_INODES, Spec

WORKSPACE = "/workspace"
PYTHON = "/opt/agentsite/python"
IMAGES = "/opt/agentsite/images"
SHELL = "/bin/sh"
PRLIMIT = "/usr/bin/prlimit"
COUNTED_SINCE = (5, 14)
TAKEN = ("bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "workspace")
"""In the root: what nothing may be mounted over or below."""
ROOTS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Beside /usr; links into it on most machines."""
ETC = (
    "alternatives", "ca-certificates.conf", "fonts", "host.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "locale.alias", "localtime", "magic", "mime.types", "os-release", "pki/ca-trust", "pki/tls/certs", "protocols",
    "services", "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
PROC_FILES = ("kcore", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats")
PROC_DIRECTORIES = ("acpi", "asound", "scsi")
"""Of the machine, not of the sandbox: what Docker masks too."""


class Interpreter(NamedTuple):
    """`path`, `images`: as the program sees them. `prefix`: what has to be bound at PYTHON for that, if anything."""

    path: str
    prefix: Path | None
    library_path: str | None
    images: str = IMAGES


@dataclass(frozen=True, slots=True)
class Made:
    command: list[str]
    files: dict[str, bytes]
    stage: list[list[str]]


def find_interpreter() -> Interpreter:
    """The one that our own environment is made from: a virtual environment may lie in somebody's home directory."""
    prefix = Path(sys.base_prefix).resolve()
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    if prefix.is_relative_to("/usr"):
        return Interpreter(str(executable), None, None)
    inside = executable.relative_to(prefix) if executable.is_relative_to(prefix) else Path("bin", "python3")
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))  # it is looked for where it was installed
    return Interpreter(str(PYTHON / inside), prefix, f"{PYTHON}/lib" if shared else None)


def command(
    spec: Spec,
    place: Path,
    *,
    executable: str,
    program: Sequence[str],
    interpreter: Interpreter,
    hidden: Sequence[Path],
    stages: bool,
) -> Made:
    """`place` is where `files` will lie. The arguments are one of them: others can read a process's command line."""
    uid, _, gid = spec.user.partition(":")
    files = _files(uid, gid)
    sources = {"workspace": spec.workspace, "images": IMAGES_DIR, **{name: place / name for name in files}}
    if interpreter.prefix is not None:
        sources["python"] = interpreter.prefix
    if spec.gateway is not None:
        sources["gateway"] = spec.gateway
    mounts = {f"mount{number}": path for number, path in enumerate(mounts_of(spec))}
    sources |= mounts
    limits = {"tmp": spec.limits.tmp_bytes, "shm": spec.limits.shm_bytes}
    stage: list[list[str]] = []
    if stages:
        stage = [["bind", str(path), name] for name, path in sources.items()]
        stage += [["tmpfs", f"size={size},nr_inodes={TMP_INODES},mode=1777", name] for name, size in limits.items()]
        at = {name: f"{STAGE}/{name}" for name in sources}
        sized = {name: ["--bind", f"{STAGE}/{name}"] for name in limits}
    else:
        at = {name: str(path) for name, path in sources.items()}
        sized = {name: ["--size", str(size), "--perms", "1777", "--tmpfs"] for name, size in limits.items()}
    arguments = [
        *_namespaces(uid, gid),
        *_system(),
        *[part for name in files for part in ("--ro-bind", at[name], f"/etc/{name}")],
        *_masks(hidden, Path(interpreter.path)),
        *(("--ro-bind", at["python"], PYTHON) if "python" in at else ()),
        *("--ro-bind", at["images"], IMAGES),
        *_proc(),
        *("--dev", "/dev", *sized["shm"], "/dev/shm", "--remount-ro", "/dev"),
        *(*sized["tmp"], "/tmp", "--symlink", "/tmp", "/var/tmp", "--dir", "/run"),
        *[part for name, path in mounts.items() for part in ("--ro-bind", at[name], str(path))],
        *(("--ro-bind", at["gateway"], INSIDE) if "gateway" in at else ()),
        *("--bind", at["workspace"], WORKSPACE, "--chdir", WORKSPACE),
        *("--remount-ro", "/"),
        *_environment(environment(spec, interpreter)),
        *("--seccomp", "4"),
    ]
    return Made(
        command=[executable, "--args", "3", "--", *_launcher(spec.limits.pids), *program],
        files={**files, "arguments": os.fsencode("\0".join(arguments))},
        stage=stage,
    )


def mounts_of(spec: Spec) -> list[Path]:
    """What of this machine is mounted where it is, beside /usr. With a virtual environment also the interpreter that it
    was made from, which it only refers to."""
    found = [*spec.mounts]
    if spec.venv is not None:
        python = Path(spec.venv, "bin", "python")
        found.append(spec.venv)
        if python.is_symlink() and python.exists():
            links = {python.parent / python.readlink(), python.resolve()}
            found += [link.parents[1] for link in links if not link.is_relative_to(spec.venv)]
    return [path for path in dict.fromkeys(found) if not path.resolve().is_relative_to("/usr")]


def mount_problem(path: Path, hidden: Sequence[Path], private: Sequence[Path]) -> str | None:
    """Why no program may see that. Something in a `hidden` directory may be mounted, but not all of it; nothing in a
    `private` one."""
    real = path.resolve()
    if not path.is_absolute() or not real.exists():
        return "it is not there"
    if len(path.parts) < 2 or path.parts[1] in TAKEN:
        return "that place is the sandbox's own"
    if any(one.resolve().is_relative_to(real) for one in hidden):
        return "it holds a home, or a directory of the worker's"
    if any(real.is_relative_to(one.resolve()) for one in private):
        return "it is the site's own"
    return None


def _launcher(pids: int) -> list[str]:
    """What starts the program: bwrap itself ends with 1 when there is no such program, as any program may.

    It also limits processes, and needs no control group for that: within a user namespace of its own a user's processes
    are counted by themselves (see `counts_processes`).
    """
    if Path(PRLIMIT).exists():
        return [PRLIMIT, f"--nproc={pids}:{pids}", "--"]
    return [SHELL, "-c", 'exec "$0" "$@"']


def counts_processes(release: str) -> bool:
    """Whether that works here. Before Linux 5.14 RLIMIT_NPROC counted a user's processes over all namespaces."""
    major, minor = (int(part) for part in re.findall(r"\d+", release)[:2])
    return Path(PRLIMIT).exists() and (major, minor) >= COUNTED_SINCE


def environment(spec: Spec, interpreter: Interpreter) -> dict[str, str]:
    """All of it. `python3` is the interpreter we run on."""
    return {
        "PATH": f"{Path(interpreter.path).parent}:{SYSTEM_PATH}",
        **({"LD_LIBRARY_PATH": interpreter.library_path} if interpreter.library_path else {}),
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **spec.env,
        **({GATEWAY_VARIABLE: f"{INSIDE}/{SOCKET}"} if spec.gateway else {}),
        "WORKSPACE": WORKSPACE,
    }


def _files(uid: str, gid: str) -> dict[str, bytes]:
    """For /etc. Those of this machine name its people, and may ask daemons that are not there."""
    made = {
        "passwd": f"root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nagent:x:{uid}:{gid}:agent:/tmp:{SHELL}\n",
        "group": f"root:x:0:\nagent:x:{gid}:\n",
        "hosts": "127.0.0.1 localhost agent\n::1 localhost\n",
        "hostname": "agent\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    return {name: text.encode() for name, text in made.items()}


def _namespaces(uid: str, gid: str) -> list[str]:
    unshared = [f"--unshare-{kind}" for kind in ("user", "pid", "net", "ipc", "uts", "cgroup-try")]
    return [
        *(*unshared, "--uid", uid, "--gid", gid, "--hostname", "agent"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
    ]


def _system() -> list[str]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in ROOTS:
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for name in ETC:
        if Path("/etc", name).exists():
            found += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    return found


def _masks(hidden: Sequence[Path], needed: Path) -> list[str]:
    """Over what must not be seen, where it lies in what is: a data directory in /usr/local, a home in /usr."""
    found: list[str] = []
    for path in dict.fromkeys(path.resolve() for path in hidden):
        if path.is_relative_to("/usr") and path.is_dir() and not needed.is_relative_to(path):
            found += ["--tmpfs", str(path), "--remount-ro", str(path)]
    return found


def _proc() -> list[str]:
    found = ["--proc", "/proc"]
    for name in PROC_FILES:
        if Path("/proc", name).exists():
            found += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in PROC_DIRECTORIES:
        if Path("/proc", name).is_dir():
            found += ["--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}"]
    return found


def _environment(variables: dict[str, str]) -> list[str]:
    return [part for name, value in variables.items() for part in ("--setenv", name, value)]
