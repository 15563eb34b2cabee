"""How much a sandbox of bwrap's gets, and how it ends."""

from __future__ import annotations

import os
import platform
import signal
import time
from pathlib import Path

import pytest

from containers.engines import bwrap_command
from containers.engines.bwrap import BwrapEngine
from containers.engines.bwrap_command import counts_processes
from containers.engines.cgroups import Groups
from containers.errors import StartFailed
from containers.interface import Exit
from containers.spec import MIB, Limits
from tests.containers.bench import Bench, eventually
from tests.containers.bwrap.sandbox import MISSING, descendants, lives, state_of

pytestmark = [pytest.mark.asyncio, pytest.mark.bwrap, pytest.mark.timeout(120)]


# Its limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("memory" in MISSING, reason="no control group for memory can be had here")
@pytest.mark.parametrize("who", ["program", "child"])
async def test_too_much_memory_is_flagged(bench: Bench, who: str) -> None:
    code = """
import os, sys
if sys.argv[1] == "child" and os.fork():
    os.wait()
else:
    b"x" * (200 << 20)
"""
    ref = await bench.start(code, who, limits=Limits(memory_bytes=48 * MIB))
    found = await bench.engine.wait(ref)
    assert (found.code, found.oom_killed) == (137 if who == "program" else 0, True)


@pytest.mark.skipif("memory" in MISSING, reason="no control group for memory can be had here")
async def test_memory_limit_counts_tmp(bench: Bench) -> None:
    code = "open('/tmp/x', 'wb').write(b'x' * (100 << 20))"
    ref = await bench.start(code, limits=Limits(memory_bytes=48 * MIB, tmp_bytes=256 * MIB))
    assert (await bench.engine.wait(ref)).oom_killed


FORK = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except OSError as error:
    print(made, error.strerror)
"""


@pytest.mark.parametrize("by", ["control group", "user namespace"])
async def test_number_of_processes_is_limited(bench: Bench, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way by itself: where the other is there too, neither would be missed."""
    engine = bench.engine
    assert isinstance(engine, BwrapEngine)
    if by == "control group":
        if "processes" in MISSING:
            pytest.skip("no control group for processes can be had here")
        monkeypatch.setattr(bwrap_command, "PRLIMIT", "/nowhere")
    elif not counts_processes(platform.release()):
        pytest.skip("this kernel counts a user's processes over all namespaces")
    else:
        engine._found_groups = Groups({})
    stdout, stderr, _ = await bench.run(FORK, limits=Limits(pids=20))
    assert stdout == b"18 Resource temporarily unavailable\n", stderr  # the init and the program itself count


async def test_kernels_that_count_processes_by_namespace_are_known() -> None:
    old, new = ["4.19.0-21-amd64", "5.10.0-28-amd64", "5.13.19"], ["5.14.0-70.el9", "5.15.0", "6.1.0-18-amd64", "10.0"]
    there = Path(bwrap_command.PRLIMIT).exists()
    assert [counts_processes(release) for release in (*old, *new)] == [False] * len(old) + [there] * len(new)


@pytest.mark.skipif("CPUs" in MISSING, reason="no control group for CPUs can be had here")
async def test_cpu_time_is_limited(bench: Bench) -> None:
    code = """
import time
end = time.monotonic() + 2
while time.monotonic() < end:
    pass
print(time.process_time())
"""
    stdout, _, _ = await bench.run(code, limits=Limits(cpus=0.2))
    assert float(stdout) < 1


@pytest.mark.parametrize("path", ["/tmp/x", "/dev/shm/x"])
async def test_full_places_are_an_error_of_the_program(bench: Bench, path: str) -> None:
    code = """
import sys
try:
    with open(sys.argv[1], "wb") as file:
        file.write(b"x" * (5 << 20))
except OSError as error:
    print(error.strerror)
"""
    stdout, _, _ = await bench.run(code, path, limits=Limits(tmp_bytes=MIB, shm_bytes=MIB))
    assert stdout == b"No space left on device\n"


@pytest.mark.skipif(len(MISSING) == 3, reason="no control groups can be had here")
async def test_control_groups_go_with_the_program(bench: Bench) -> None:
    ref = await bench.start("import sys; print('ready'); sys.stdin.readline()")
    await bench.follow(ref).until(b"ready\n")
    groups = [Path(path) for path in state_of(bench, ref).spec()["cgroups"]]
    assert all(path.is_dir() for path in groups)
    await bench.engine.send(ref, b"end")
    await bench.engine.wait(ref)
    assert not any(path.exists() for path in groups)


@pytest.mark.skipif(len(MISSING) == 3, reason="no control groups can be had here")
async def test_control_groups_of_a_recorder_that_was_killed_are_removed(bench: Bench) -> None:
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    await bench.follow(ref).until(b"ready\n")
    groups = [Path(path) for path in state_of(bench, ref).spec()["cgroups"]]
    recorder = state_of(bench, ref).recorder_pid()
    assert recorder
    os.kill(recorder, signal.SIGKILL)
    await bench.engine.wait(ref)
    assert all(path.is_dir() for path in groups)
    await bench.engine.remove(ref)
    assert not any(path.exists() for path in groups)


@pytest.mark.skipif(len(MISSING) == 3, reason="no control groups can be had here")
async def test_without_its_limits_a_program_does_not_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = bench.engine
    assert isinstance(engine, BwrapEngine)
    monkeypatch.setattr(type(engine._groups), "of", lambda *_: {"/proc/agentsite-test": {"pids.max": "1"}})
    with pytest.raises(StartFailed, match=r"the recorder failed: .*agentsite-test"):
        await engine.start(bench.spec("open('ran', 'w')"), bench.key())
    assert not (bench.workspace / "ran").exists()


# Its end --------------------------------------------------------------------------------------------------------------


async def test_sandbox_dies_with_its_recorder_and_that_is_told(bench: Bench) -> None:
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    recorder = state_of(bench, ref).recorder_pid()
    assert recorder
    below = descendants(recorder)
    assert len(below) == 3
    os.kill(recorder, signal.SIGKILL)
    assert await follower.end() == b"ready\n"
    assert await bench.engine.wait(ref) == Exit(137)
    await eventually(lambda: not any(lives(pid) for pid in below))


async def test_stop_reaches_a_program_that_is_only_just_being_confined(bench: Bench) -> None:
    """SIGTERM to bwrap would kill it before it has passed on anything; nobody may wait for the grace to be over."""
    for _ in range(5):
        ref = await bench.start("import time; time.sleep(600)")
        began = time.monotonic()
        await bench.engine.stop(ref, 20)
        assert time.monotonic() - began < 10
        assert (await bench.engine.wait(ref)).code == 128 + signal.SIGTERM
