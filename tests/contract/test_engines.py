"""What every engine promises (containers/engine.py), on every engine this machine has."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.engine import BEGINNING, Offset
from containers.errors import ContainerGone, EngineError, StartFailed
from containers.spec import Limits, Spec
from tests.containers.bench import DEADLINE_S, TEST_LABEL, Bench, eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

ECHO = """
import sys
print("ready")
for line in sys.stdin:
    if line.strip():
        print("got", line.rstrip("\\n"))
print("end of stdin")
"""
COUNT_RUNS = """
import os, time
with open("runs", "a") as file:
    file.write("x")
print("ran")
"""
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
MIB = 1024 * 1024


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


async def test_same_key_starts_once_whoever_asks(bench: Bench) -> None:
    spec, key = bench.spec(COUNT_RUNS), bench.key()
    elsewhere = await bench.other_process("start", spec=_plain(spec), key=key)
    other = bench.another_engine()
    refs = await asyncio.gather(*(engine.start(spec, key) for engine in (bench.engine, bench.engine, other, other)))
    refs.append(json.loads(await _line(elsewhere)))
    elsewhere.kill()
    await elsewhere.wait()
    assert len(set(refs)) == 1
    assert await bench.read(refs[0]) == (b"ran\n", b"")
    assert (bench.workspace / "runs").read_text() == "x"


async def test_same_key_does_not_run_again_after_the_end(bench: Bench) -> None:
    spec, key = bench.spec(COUNT_RUNS), bench.key()
    ref = await bench.engine.start(spec, key)
    await bench.engine.wait(ref)
    assert await bench.another_engine().start(spec, key) == ref
    assert await bench.read(ref) == (b"ran\n", b"")
    assert (bench.workspace / "runs").read_text() == "x"


async def test_output_resumes_at_any_byte(bench: Bench) -> None:
    code = """
import sys
for number in range(400):
    sys.stdout.write(f"out {number} " + "x" * (number % 37) + "\\n")
    sys.stderr.write(f"err {number}" + "\\n" * (number % 3))
sys.stdout.write("y" * 40000 + "no newline at the end")
"""
    ref = await bench.start(code)
    stdout, stderr = await bench.read(ref)
    assert stdout.endswith(b"yno newline at the end")
    assert stderr.decode() == "".join(f"err {number}" + "\n" * (number % 3) for number in range(400))
    loop = asyncio.get_running_loop()

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, len(stdout)), st.integers(0, len(stderr)))
    def exactly_the_rest_comes(out_at: int, err_at: int) -> None:
        reading = bench.read(ref, Offset(out_at, err_at))
        rest = asyncio.run_coroutine_threadsafe(reading, loop).result(DEADLINE_S)
        assert rest == (stdout[out_at:], stderr[err_at:])

    await asyncio.to_thread(exactly_the_rest_comes)


async def test_another_reader_goes_on_where_a_killed_one_was(bench: Bench) -> None:
    code = """
import os, sys, time
for number in range(3000):
    print(number)
    if number % 500 == 0:
        print(-number, file=sys.stderr)
        time.sleep(0.05)
    while number == 2000 and not os.path.exists("go"):
        time.sleep(0.01)
"""
    killed = await bench.other_process("read", spec=_plain(bench.spec(code)), key=bench.key())
    ref, stdout, stderr = json.loads(await _line(killed))
    killed.kill()
    await killed.wait()
    assert (await bench.engine.inspect(ref)).exit is None
    (bench.workspace / "go").touch()
    rest = await bench.read(ref, Offset(len(stdout), len(stderr)))
    assert (stdout.encode() + rest[0]).split() == [b"%d" % number for number in range(3000)]
    assert (stderr.encode() + rest[1]).split() == [b"%d" % -number for number in range(0, 3000, 500)]


async def test_stdin_stays_open_when_its_sender_dies(bench: Bench) -> None:
    ref = await bench.start(ECHO)
    follower = bench.follow(ref)
    sender = await bench.other_process("send", ref=ref, line="one")
    assert json.loads(await _line(sender)) == "sent"
    await follower.until(b"got one\n")
    sender.kill()
    await sender.wait()
    await bench.engine.send(ref, b"two")
    await follower.until(b"got two\n")
    assert b"end of stdin" not in follower.stdout


async def test_program_outlives_whoever_started_it(bench: Bench) -> None:
    worker = await bench.other_process("start", spec=_plain(bench.spec(ECHO)), key=bench.key())
    ref = json.loads(await _line(worker))
    worker.kill()
    await worker.wait()
    follower = bench.follow(ref)
    await bench.engine.send(ref, b"still there?")
    await follower.until(b"got still there?\n")


async def test_lines_arrive_whole_and_in_order(bench: Bench) -> None:
    code = """
import hashlib, sys
for line in sys.stdin:
    print(hashlib.sha256(line.rstrip("\\n").encode()).hexdigest())
    if line == "quit\\n":
        break
"""
    ref = await bench.start(code)
    lines = [b'{"type":"start"}', "häß 😀".encode(), b"x" * 3 * MIB, *(b"%d" % n for n in range(20)), b"quit"]
    for line in lines:
        await bench.engine.send(ref, line)
    stdout, _ = await bench.read(ref)
    assert stdout.split() == [hashlib.sha256(line).hexdigest().encode() for line in lines]


async def test_concurrent_senders_do_not_mix_their_lines(bench: Bench) -> None:
    code = """
import sys
seen = 0
for line in sys.stdin:
    assert len(set(line.strip())) <= 1, line[:50]
    seen += bool(line.strip())
    if seen == 12:
        break
print(seen)
"""
    ref = await bench.start(code)
    await asyncio.gather(*(bench.engine.send(ref, letter.encode() * 100_000) for letter in "abcdefghijkl"))
    assert await bench.read(ref) == (b"12\n", b"")


async def test_program_that_does_not_read_does_not_block_the_sender(bench: Bench) -> None:
    code = """
import os, sys, time
print("ready")
while not os.path.exists("go"):
    time.sleep(0.01)
print([len(line) for line in (sys.stdin.readline(), sys.stdin.readline())])
"""
    bench.engine._sender._timeout_s = 1.0  # type: ignore[attr-defined]
    ref = await bench.start(code)
    began = time.monotonic()
    with pytest.raises(EngineError, match="does not read"):
        await bench.engine.send(ref, b"x" * 8 * MIB)
    with pytest.raises(EngineError, match="does not read"):
        await bench.engine.send(ref, b"refused")
    assert time.monotonic() - began < 5
    (bench.workspace / "go").touch()
    await eventually(lambda: _sends(bench, ref, b"small"))
    stdout, _ = await bench.read(ref)
    assert stdout == b"ready\n[%d, 6]\n" % (8 * MIB + 1)


async def test_sending_to_a_program_that_has_ended_is_an_error(bench: Bench) -> None:
    ref = await bench.start("pass")
    await bench.engine.wait(ref)
    with pytest.raises(EngineError):
        await bench.engine.send(ref, b"hello?")


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


async def test_any_bytes_pass(bench: Bench) -> None:
    """Except that an engine may store text: what is not UTF-8 may then come out as U+FFFD, byte by byte."""
    code = r"""
import sys
sys.stdout.buffer.write(b"nul \x00 bell \x07 high \xff\xfe \xc3\xa4\r\n\n\n tail")
"""
    stdout, _, _ = await bench.run(code)
    assert stdout.decode("utf-8", "replace") == "nul \x00 bell \x07 high \ufffd\ufffd ä\r\n\n\n tail"


async def test_a_line_of_megabytes_passes(bench: Bench) -> None:
    code = f"""
import os
line = memoryview(b"ab" * {2 * MIB} + b"\\n")
while line:
    line = line[os.write(1, line):]  # gVisor writes a part of it, and Python's unbuffered print forgets the rest
"""
    stdout, _, _ = await bench.run(code)
    assert stdout == b"ab" * 2 * MIB + b"\n"


@pytest.mark.slow
async def test_much_output_passes_exactly(bench: Bench) -> None:
    code = """
import hashlib, sys
total = hashlib.sha256()
for number in range(100_000):
    line = f"{number} ".encode() * 20 + b"\\n"
    total.update(line)
    sys.stdout.buffer.write(line)
print(total.hexdigest(), file=sys.stderr)
"""
    stdout, stderr, _ = await bench.run(code)
    assert hashlib.sha256(stdout).hexdigest().encode() == stderr.strip()


async def test_the_last_lines_before_the_end_are_never_lost(bench: Bench) -> None:
    for _ in range(8):
        ref = await bench.start("import sys; sys.stdin.readline(); print('x' * 50000); print('last')")
        follower = bench.follow(ref)
        await bench.engine.send(ref, b"now")
        assert await follower.end() == b"x" * 50000 + b"\nlast\n"


async def test_output_cap_does_not_block_the_program(bench: Bench) -> None:
    code = """
for number in range(40_000):
    print(f"{number:099d}")
open("finished", "w").close()
"""
    cap = 256 * 1024
    ref = await bench.start(code, limits=Limits(output_bytes=cap))
    async with asyncio.timeout(DEADLINE_S):
        assert (await bench.engine.wait(ref)).code == 0
    assert (bench.workspace / "finished").exists()
    stdout, _ = await bench.read(ref)
    assert len(stdout) > cap
    whole = "".join(f"{number:099d}\n" for number in range(40_000)).encode()
    assert whole.startswith(stdout)


async def test_slow_reader_delays_only_itself(bench: Bench) -> None:
    line = "x" * 1000
    ref = await bench.start(f"for _ in range(10_000): print({line!r})")
    reading = bench.engine.output(ref, BEGINNING)
    read = bytearray((await anext(reading)).data)
    async with asyncio.timeout(DEADLINE_S):
        assert (await bench.engine.wait(ref)).code == 0
        async for piece in reading:
            read += piece.data
    assert len(read) == 10_000 * 1001


async def test_output_comes_as_it_is_printed(bench: Bench) -> None:
    ref = await bench.start(ECHO)
    follower = bench.follow(ref)
    for number in range(5):
        await bench.engine.send(ref, b"%d" % number)
        await follower.until(b"got %d\n" % number)


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


def _plain(spec: Spec) -> dict[str, Any]:
    return {
        "image": spec.image,
        "workspace": str(spec.workspace),
        "command": list(spec.command),
        "labels": dict(spec.labels),
        "runtime": spec.runtime,
    }


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        line = await process.stdout.readline()
    assert line, "the other process has ended"
    return line


async def _sends(bench: Bench, ref: str, line: bytes) -> bool:
    with suppress(EngineError):
        await bench.engine.send(ref, line)
        return True
    return False
