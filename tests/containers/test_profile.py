"""The profile that every engine that isolates gives a program, each part of it by trying what it forbids."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from containers.spec import MIB, TMP_INODES, Limits
from containers.workspace import program_user
from tests.containers.bench import Bench, open_bench
from tests.containers.probe import PROBE

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

MOUNTS_TMP = os.geteuid() == 0
"""What bwrap has no word for in a /tmp of its own, a worker that is root does for it."""
INITS = {"docker": ("docker-init", "tini", "catatonit"), "podman": ("podman-init", "catatonit"), "bwrap": ("bwrap",)}


@pytest_asyncio.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in INITS])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async for bench in open_bench(request.param, tmp_path):
        yield bench


@pytest_asyncio.fixture
async def inside(bench: Bench) -> dict[str, Any]:
    """What a program found out by trying."""
    stdout, stderr, code = await bench.run(PROBE, limits=Limits(tmp_bytes=3 * MIB, shm_bytes=2 * MIB, open_files=300))
    assert code == 0, stderr.decode()
    return dict(json.loads(stdout))


async def test_program_is_nobody(bench: Bench, inside: dict[str, Any]) -> None:
    uid, gid = (int(number) for number in program_user().split(":"))
    assert uid
    assert inside["uid"] == [uid, gid, uid]
    if os.geteuid() == 0 or bench.name != "bwrap":  # an ordinary user's sandbox keeps his groups, as numbers of nobody
        assert set(inside["groups"]) <= {gid}
    assert set(inside["capabilities"]) == {"0000000000000000"}
    assert inside["no_new_privs"] == "1"
    assert inside["seccomp"] == "2"
    assert inside["parent"] in INITS[bench.name]


async def test_there_is_no_network_but_loopback(inside: dict[str, Any]) -> None:
    assert inside["interfaces"] == ["lo"]
    assert inside["connect"] == "ENETUNREACH"
    assert inside["loopback"] == inside["unix"] == "ok"
    assert inside["vsock"] == inside["alg"] == inside["packet"] == "EPERM"


async def test_only_workspace_tmp_and_shm_can_be_written(bench: Bench, inside: dict[str, Any]) -> None:
    writable = {path for path, outcome in inside["write"].items() if outcome == "ok"}
    assert writable == {"/tmp/x", "/workspace/x", "/dev/shm/x"}
    assert inside["execute"] == ["EACCES" if MOUNTS_TMP or bench.name != "bwrap" else "ok", "ok"]


async def test_small_places_are_sized(bench: Bench, inside: dict[str, Any]) -> None:
    assert inside["tmp_bytes"] == 3 * MIB
    if bench.name == "docker" or (bench.name == "bwrap" and MOUNTS_TMP):
        assert inside["tmp_files"] == TMP_INODES
    assert inside["shm_bytes"] == 2 * MIB
    assert inside["limits"]["Max open files"] == ["300", "300"]
    assert inside["limits"]["Max core file size"] == ["0", "0"]
    assert inside["limits"]["Max file size"] == [str(4096 * MIB)] * 2


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the probe's system call numbers are those of x86_64")
async def test_dangerous_system_calls_are_denied(inside: dict[str, Any]) -> None:
    denied = ["clone_user", "keyctl", "bpf", "ptrace", "perf", "mount", "handle", "kexec", "module", "chroot", "peek"]
    assert {name: inside[name] for name in denied} == dict.fromkeys(denied, "EPERM")
    assert set(inside["unshare"].values()) == {"EPERM"}
    absent = ["clone3", "io_uring", "userfaultfd"]
    assert {name: inside[name] for name in absent} == dict.fromkeys(absent, "ENOSYS")


async def test_ordinary_programs_run_in_it(bench: Bench) -> None:
    code = """
import asyncio, concurrent.futures, mmap, multiprocessing, os, select, signal, sqlite3, ssl, subprocess, tempfile
assert subprocess.run(["sh", "-c", "echo $((6*7)) | cat"], capture_output=True, check=True).stdout == b"42\\n"
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(abs, range(100))) == 4950
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
async def serve():
    server = await asyncio.start_server(lambda r, w: (w.write(b"hi"), w.close()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"hi"
    writer.close(); server.close()
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
asyncio.run(serve())
database = sqlite3.connect("/workspace/x.db")
database.execute("pragma journal_mode=wal"); database.execute("create table t (x)"); database.commit()
os.mkfifo("/tmp/fifo"); os.symlink("fifo", "/tmp/link"); os.rename("/tmp/link", "/tmp/link2")
select.epoll().close(); mmap.mmap(-1, 4096).close(); tempfile.TemporaryFile().close()
signal.setitimer(signal.ITIMER_REAL, 100); os.sched_getaffinity(0); os.getrandom(8); os.nice(1)
ssl.create_default_context()
print("fine")
"""
    stdout, stderr, code_ = await bench.run(code)
    assert (stdout, code_) == (b"fine\n", 0), stderr.decode()
