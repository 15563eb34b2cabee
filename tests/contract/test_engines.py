"""What every engine promises of a program's life (containers/interface.py), on every engine this machine has."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from containers.errors import ContainerGone, StartFailed
from tests.containers.bench import TEST_LABEL, Bench
from tests.contract.programs import COUNT_RUNS, ECHO

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

HOLD_LOCKS = """
import fcntl, os, signal, sys, time
def hold(name):
    file = open(name, "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
def child(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            kept = hold(name)
            open(name + "-ready", "w").close()
            time.sleep(600)
        os._exit(0)
"""
IGNORE_TERM = (
    HOLD_LOCKS
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child("one"), child("two")
kept = hold("main")
while not (os.path.exists("one-ready") and os.path.exists("two-ready")):
    time.sleep(0.01)
print("ready")
time.sleep(600)
"""
)
LEAVE_CHILD = (
    HOLD_LOCKS
    + """
child("one")
while not os.path.exists("one-ready"):
    time.sleep(0.01)
sys.exit(5)
"""
)


async def test_both_streams_and_the_exit_code_are_kept(bench: Bench) -> None:
    stdout, stderr, code = await bench.run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (stdout, stderr, code) == (b"out\n", b"err\n", 7)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_death_by_signal_is_128_and_its_number(bench: Bench, number: int) -> None:
    _, _, code = await bench.run(f"import os; os.kill(os.getpid(), {int(number)})")
    assert code == 128 + number


async def test_program_works_in_the_workspace_with_the_environment_it_was_given(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY_OF_THE_WORKER", "secret")
    code = """
import json, os
with open("made", "w") as file:
    file.write("here")
print(json.dumps([dict(os.environ), os.getcwd(), os.path.samefile(os.environ["WORKSPACE"], ".")]))
"""
    stdout, _, _ = await bench.run(code, env={"AGENT_ID": "a1", "WORKSPACE": "/elsewhere"})
    environment, directory, same = json.loads(stdout)
    assert environment["AGENT_ID"] == "a1"
    assert environment["WORKSPACE"] == directory
    assert same
    assert "secret" not in environment.values()
    assert (bench.workspace / "made").read_text() == "here"


async def test_same_key_does_not_run_again_after_the_end(bench: Bench) -> None:
    spec, key = bench.spec(COUNT_RUNS), bench.key()
    ref = await bench.engine.start(spec, key)
    await bench.engine.wait(ref)
    assert await bench.another_engine().start(spec, key) == ref
    assert await bench.read(ref) == (b"ran\n", b"")
    assert (bench.workspace / "runs").read_text() == "x"


async def test_stop_lets_a_program_end_by_itself(bench: Bench) -> None:
    code = """
import signal, sys, time
def end(*_):
    print("bye")
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("ready")
time.sleep(600)
"""
    ref = await bench.start(code)
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    began = time.monotonic()
    await bench.engine.stop(ref, 20)
    assert time.monotonic() - began < 10
    assert (await bench.engine.inspect(ref)).exit is not None
    assert (await bench.engine.wait(ref)).code == 3
    assert await follower.end() == b"ready\nbye\n"


async def test_stop_kills_what_ignores_sigterm_and_all_it_started(bench: Bench) -> None:
    ref = await bench.start(IGNORE_TERM)
    await bench.follow(ref).until(b"ready\n")
    names = ("main", "one", "two")
    assert all(bench.is_held(ref, name) for name in names)
    began = time.monotonic()
    await bench.engine.stop(ref, 0.7)
    assert 0.7 <= time.monotonic() - began < 10
    assert not any(bench.is_held(ref, name) for name in names)
    assert (await bench.engine.wait(ref)).code == 137


async def test_nothing_outlives_the_program(bench: Bench) -> None:
    ref = await bench.start(LEAVE_CHILD)
    assert (await bench.engine.wait(ref)).code == 5
    assert not bench.is_held(ref, "one")


async def test_stop_is_idempotent(bench: Bench) -> None:
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    await bench.follow(ref).until(b"ready\n")
    await asyncio.gather(bench.engine.stop(ref, 5), bench.another_engine().stop(ref, 5))
    exit_before = (await bench.engine.inspect(ref)).exit
    await bench.engine.stop(ref, 5)
    assert (await bench.engine.inspect(ref)).exit == exit_before
    await bench.engine.remove(ref)
    await bench.engine.stop(ref, 5)


async def test_a_second_stop_may_be_less_patient(bench: Bench) -> None:
    ref = await bench.start(IGNORE_TERM)
    await bench.follow(ref).until(b"ready\n")
    patient = asyncio.create_task(bench.engine.stop(ref, 60))
    await bench.another_engine().stop(ref, 0)
    async with asyncio.timeout(10):
        await patient


async def test_remove_kills_and_forgets(bench: Bench) -> None:
    ref = await bench.start(IGNORE_TERM)
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    await bench.engine.remove(ref)
    assert not bench.is_held(ref, "main")
    assert await bench.engine.list({TEST_LABEL: bench.mark}) == []
    for call in (bench.engine.inspect(ref), bench.engine.wait(ref), bench.engine.send(ref, b"x"), bench.read(ref)):
        with pytest.raises(ContainerGone):
            await call
    await bench.engine.remove(ref)
    await asyncio.gather(follower.end(), return_exceptions=True)


async def test_key_is_free_again_after_remove(bench: Bench) -> None:
    spec, key = bench.spec(COUNT_RUNS), bench.key()
    for _ in range(2):
        ref = await bench.engine.start(spec, key)
        await bench.engine.wait(ref)
        await bench.engine.remove(ref)
    assert (bench.workspace / "runs").read_text() == "xx"


async def test_list_finds_by_labels(bench: Bench) -> None:
    running = await bench.start("import time; time.sleep(600)", labels={"agent": "a1", "epoch": "3"})
    ended = await bench.start("pass", labels={"agent": "a2"})
    await bench.engine.wait(ended)

    async def refs(**labels: str) -> set[str]:
        found = await bench.another_engine().list({TEST_LABEL: bench.mark, **labels})
        return {inspection.ref for inspection in found}

    assert await refs() == {running, ended}
    assert await refs(agent="a1") == {running}
    assert await refs(agent="") == {running, ended}
    assert await refs(epoch="") == {running}
    assert await refs(agent="a1", epoch="4") == set()
    assert await refs(nothing="") == set()


async def test_inspect_tells_running_from_ended(bench: Bench) -> None:
    ref = await bench.start(ECHO, labels={"agent": "a1"})
    await bench.follow(ref).until(b"ready\n")
    running = await bench.engine.inspect(ref)
    assert (running.ref, running.running, running.exit) == (ref, True, None)
    assert running.labels["agent"] == "a1"
    assert running.pid
    assert running.started_at is not None
    assert abs(running.started_at - datetime.now(UTC)) < timedelta(seconds=30)
    await bench.engine.stop(ref, 5)
    ended = await bench.engine.inspect(ref)
    assert not ended.running
    assert ended.exit is not None
    assert ended.exit.finished_at is not None
    assert ended.exit.finished_at >= running.started_at
    assert not ended.exit.oom_killed


async def test_command_that_does_not_exist_ends_with_127(bench: Bench) -> None:
    ref = await bench.engine.start(bench.command("no-such-command", "x"), bench.key())
    _, stderr = await bench.read(ref)
    said, code = (b"failed to exec", 1) if bench.name == "podman" else (b"no-such-command", 127)
    assert said in stderr
    assert (await bench.engine.wait(ref)).code == code


async def test_command_that_cannot_be_executed_ends_with_126(bench: Bench) -> None:
    (bench.workspace / "data").write_text("not a program")
    ref = await bench.engine.start(bench.command(bench.inside("data")), bench.key())
    assert (await bench.engine.wait(ref)).code == (1 if bench.name == "podman" else 126)


async def test_missing_workspace_is_said_and_keeps_no_key(bench: Bench) -> None:
    key = bench.key()
    with pytest.raises(StartFailed, match="nowhere"):
        await bench.engine.start(bench.spec("pass", workspace=bench.directory / "nowhere"), key)
    ref = await bench.engine.start(bench.spec("print('now')"), key)
    assert (await bench.read(ref))[0] == b"now\n"


async def test_wait_returns_at_once_if_it_has_ended(bench: Bench) -> None:
    ref = await bench.start("raise SystemExit(4)")
    assert [(await bench.engine.wait(ref)).code for _ in range(2)] == [4, 4]
    async with asyncio.timeout(2):
        assert (await bench.another_engine().wait(ref)).code == 4


async def test_tidying_up_touches_no_container(bench: Bench) -> None:
    running = await bench.start("import time; time.sleep(60)")
    ended = await bench.start("print('up')")
    await bench.engine.wait(ended)
    assert await bench.engine.tidy(0) == 0
    assert (await bench.engine.inspect(running)).running
    assert (await bench.read(ended))[0] == b"up\n"


async def test_check_says_why_it_can_be_used(bench: Bench) -> None:
    availability = await bench.engine.check()
    assert availability.usable
    assert availability.reason
