"""What only the process engine promises: its recorder, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from containers.engines import watch
from containers.engines.process import ProcessEngine
from containers.engines.process_state import State
from containers.errors import ContainerGone, SpecRefused, StartFailed
from containers.interface import Exit
from containers.spec import Limits
from tests.containers.bench import TEST_LABEL, Bench, eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]


@pytest_asyncio.fixture
async def bench(process_bench: Bench) -> AsyncIterator[Bench]:
    yield process_bench


def state_of(bench: Bench, ref: str) -> State:
    return State(bench.directory / "state" / ref)


async def test_only_trusted_specs_run(bench: Bench) -> None:
    spec = bench.spec("pass", trusted=False)
    for call in (bench.engine.check_image(spec), bench.engine.start(spec, bench.key())):
        with pytest.raises(SpecRefused, match="trusted"):
            await call


async def test_spec_without_a_process_command_is_refused(bench: Bench) -> None:
    spec = bench.command()
    with pytest.raises(SpecRefused, match="process_command"):
        await bench.engine.check_image(spec)


async def test_environment_is_clean(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    stdout, _, _ = await bench.run("import json, os; print(json.dumps(dict(os.environ)))", env={"RUN_ID": "r1"})
    found = json.loads(stdout)
    found.pop("LC_CTYPE", None)  # Python's own
    assert found.pop("PATH").startswith(f"{Path(sys.executable).parent}:")
    assert found == {
        "HOME": str(bench.workspace),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "RUN_ID": "r1",
        "WORKSPACE": str(bench.workspace),
    }


async def test_program_inherits_no_files_and_no_signals(bench: Bench) -> None:
    code = """
import os, signal
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], os.getsid(0) == os.getpid())
print([signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)])
"""
    stdout, _, _ = await bench.run(code)
    # Python itself ignores SIGPIPE.
    assert stdout == b"[0, 1, 2] True\n[True, True, False]\n"


async def test_limits_of_files_are_set(bench: Bench) -> None:
    code = """
import resource
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
    print(*resource.getrlimit(kind))
"""
    stdout, _, _ = await bench.run(code, limits=Limits(open_files=77, file_bytes=12345))
    assert stdout == b"77 77\n0 0\n12345 12345\n"


async def test_journal_is_bounded_and_says_so(bench: Bench) -> None:
    ref = await bench.start("for _ in range(5000): print('x' * 999)", limits=Limits(output_bytes=100_000))
    await bench.engine.wait(ref)
    path = state_of(bench, ref).path
    assert (path / "journal").stat().st_size < 100_000 + 65536 + 8 * 6000
    assert json.loads((path / "exit.json").read_text())["truncated"] is True


async def test_program_dies_with_its_recorder_and_that_is_told(bench: Bench) -> None:
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    pid = (await bench.engine.inspect(ref)).pid
    recorder = state_of(bench, ref).recorder_pid()
    assert pid
    assert recorder
    os.kill(recorder, signal.SIGKILL)
    assert await follower.end() == b"ready\n"
    assert await bench.engine.wait(ref) == Exit(137)
    await eventually(lambda: not _lives(pid))
    await bench.engine.stop(ref, 5)


async def test_reused_pid_is_left_alone(bench: Bench) -> None:
    """The recorder is gone, and the program's pid now is somebody else's."""
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    await bench.follow(ref).until(b"ready\n")
    state = state_of(bench, ref)
    recorder = state.recorder_pid()
    assert recorder
    bystander = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    try:
        known = json.loads((state.path / "state.json").read_text())
        os.kill(known["pid"], signal.SIGKILL)
        os.kill(recorder, signal.SIGKILL)
        (state.path / "exit.json").unlink(missing_ok=True)
        (state.path / "state.json").write_text(json.dumps({**known, "pid": bystander.pid}))
        await bench.engine.stop(ref, 0)
        await bench.engine.remove(ref)
        assert _lives(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_start_goes_on_where_a_starter_died(bench: Bench) -> None:
    """Its directory is there, but nobody has started a recorder."""
    engine, spec, key = bench.engine, bench.spec("print('ran')"), bench.key()
    assert isinstance(engine, ProcessEngine)
    state = state_of(bench, f"agentsite-{key}")
    engine._prepare(state, spec, key)
    found = await engine.inspect(state.ref)
    assert (found.running, found.exit) == (False, None)
    await engine.stop(state.ref, 5)
    assert await bench.another_engine().start(spec, key) == state.ref
    assert await bench.read(state.ref) == (b"ran\n", b"")


async def test_two_recorders_run_one_program(bench: Bench) -> None:
    engine, key = bench.engine, bench.key()
    assert isinstance(engine, ProcessEngine)
    state = state_of(bench, f"agentsite-{key}")
    engine._prepare(state, bench.spec("open('runs', 'a').write('x')"), key)
    await asyncio.gather(*(engine._launch(state) for _ in range(4)))
    await engine.wait(state.ref)
    assert (bench.workspace / "runs").read_text() == "x"


async def test_recorder_that_fails_is_a_failed_start_with_its_words(bench: Bench) -> None:
    engine, spec, key = bench.engine, bench.spec("pass"), bench.key()
    assert isinstance(engine, ProcessEngine)
    state = state_of(bench, f"agentsite-{key}")
    engine._prepare(state, spec, key)
    (state.path / "stdin").unlink()
    with pytest.raises(StartFailed, match="stdin"):
        await engine.start(spec, key)
    assert not state.exists()


async def test_line_torn_by_a_dead_sender_is_ended_by_the_next(bench: Bench) -> None:
    code = """
import os, sys, time
print("ready")
while not os.path.exists("go"):
    time.sleep(0.01)
for line in sys.stdin:
    print(len(line))
    if line == "last\\n":
        break
"""
    ref = await bench.start(code)
    await bench.follow(ref).until(b"ready\n")
    sender = await bench.other_process("send", ref=ref, line="x" * 100_000)
    await eventually(lambda: (state_of(bench, ref).path / "torn").exists())
    sender.kill()
    await sender.wait()
    (bench.workspace / "go").touch()
    await bench.engine.send(ref, b"last")
    stdout, _ = await bench.read(ref)
    torn, last = stdout.removeprefix(b"ready\n").split()
    assert (0 < int(torn) <= 100_000, last) == (True, b"5")
    assert not (state_of(bench, ref).path / "torn").exists()


async def test_refs_are_names_and_not_paths(bench: Bench) -> None:
    ref = await bench.start("pass")
    for wrong in (f"../state/{ref}", f"{ref}/.", "..", ".", "", "no-such"):
        with pytest.raises(ContainerGone):
            await bench.engine.inspect(wrong)
        await bench.engine.remove(wrong)
    await bench.engine.inspect(ref)


async def test_list_passes_over_what_is_no_program(bench: Bench) -> None:
    ref = await bench.start("pass")
    for name in ("empty", ".new-1", ".gone-1"):
        (bench.directory / "state" / name).mkdir()
    (bench.directory / "state" / "file").touch()
    assert [found.ref for found in await bench.engine.list({TEST_LABEL: ""})] == [ref]
    assert await ProcessEngine(bench.directory / "nowhere").list({}) == []


async def test_state_is_not_for_other_users(bench: Bench) -> None:
    ref = await bench.start("pass")
    assert state_of(bench, ref).path.stat().st_mode & 0o077 == 0


async def test_output_is_polled_where_there_is_no_inotify(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_libc", lambda *_: -1)
    ref = await bench.start("import sys; print('ready'); sys.stdin.readline(); print('end')")
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    await bench.engine.send(ref, b"now")
    assert await follower.end() == b"ready\nend\n"


async def test_idle_reader_uses_no_cpu(bench: Bench) -> None:
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    follower = bench.follow(ref)
    await follower.until(b"ready\n")
    before = time.process_time()
    with suppress(TimeoutError):
        async with asyncio.timeout(1.5):
            await follower.end()
    assert time.process_time() - before < 0.05


async def test_unusable_state_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    availability = await ProcessEngine(tmp_path / "file" / "state").check()
    assert not availability.usable
    assert "Not a directory" in availability.reason


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_what_is_half_made_or_half_removed_is_tidied_up_and_nothing_else(bench: Bench) -> None:
    ref = await bench.start("import time; time.sleep(60)")
    place = bench.directory / "state"
    for name in (".new-half", ".gone-half", "agentsite-torn"):
        (place / name).mkdir()
        (place / name / "journal").write_text("x")
    assert await bench.engine.tidy(3600) == 0
    assert await bench.engine.tidy(0) == 3
    assert [path.name for path in place.iterdir()] == [ref]
    assert (await bench.engine.inspect(ref)).running


async def test_a_start_that_failed_keeps_no_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the worker while it clears away: half a directory would keep the key for ever."""
    spec, key = bench.spec("print('up')"), bench.key()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(StartFailed):
            await bench.engine.start(spec, key)
    assert (await bench.read(await bench.engine.start(spec, key)))[0] == b"up\n"
    assert await bench.engine.tidy(0) == 1
