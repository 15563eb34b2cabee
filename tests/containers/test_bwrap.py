"""What only the bwrap engine promises: its sandbox, each part of it by trying what it forbids; and its own limits."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from containers.engine import Exit
from containers.engines import bwrap, bwrap_command
from containers.engines.bwrap import BwrapEngine
from containers.engines.bwrap_command import counts_processes
from containers.engines.cgroups import Groups, find_groups
from containers.engines.process_state import State
from containers.errors import SpecRefused, StartFailed
from containers.spec import MIB, Limits
from tests.containers.bench import REPOSITORY, Bench, eventually
from tests.containers.probe import PROBE
from tests.containers.somebody import SOMEBODY, as_somebody
from tests.servers.needs import docker_url

pytestmark = [pytest.mark.asyncio, pytest.mark.bwrap, pytest.mark.timeout(120)]

ROOT = os.geteuid() == 0
MISSING = find_groups().missing
X86_64 = os.uname().machine == "x86_64"
TREE = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "tmp", "usr", "var"}
"""All that may be at the root, beside /workspace."""


@pytest_asyncio.fixture
async def bench(bwrap_bench: Bench) -> AsyncIterator[Bench]:
    yield bwrap_bench


async def answers(bench: Bench, code: str, *arguments: object, **fields: Any) -> Any:
    """What a program prints as JSON."""
    stdout, stderr, exit_code = await bench.run(f"import json, os, sys\n{code}", *map(str, arguments), **fields)
    assert exit_code == 0, stderr.decode()
    return json.loads(stdout)


def state_of(bench: Bench, ref: str) -> State:
    return State(bench.directory / "bwrap" / ref)


# Who it is ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not ROOT, reason="an ordinary user's programs are himself")
async def test_nothing_of_a_sandbox_is_root_outside_of_it(bench: Bench) -> None:
    """Not bwrap either: whoever breaks out of a namespace is nobody still."""
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    await bench.follow(ref).until(b"ready\n")
    recorder = state_of(bench, ref).recorder_pid()
    assert recorder
    below = descendants(recorder)
    assert len(below) == 3  # bwrap, its init, the program
    for pid in below:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["Uid"].split() == ["65532"] * 4
        assert status["Groups"].split() == []


async def test_all_namespaces_are_its_own(bench: Bench) -> None:
    kinds = ["user", "pid", "net", "ipc", "uts", "mnt", "cgroup"]
    found = await answers(bench, f"print(json.dumps([os.readlink('/proc/self/ns/' + kind) for kind in {kinds}]))")
    for kind, theirs in zip(kinds, found, strict=True):
        assert theirs != str(Path(f"/proc/self/ns/{kind}").readlink()), kind


async def test_environment_is_what_it_was_given_and_nobody_else_can_read_it(bench: Bench) -> None:
    code = "import sys; print(json.dumps(dict(os.environ))); sys.stdout.flush(); sys.stdin.readline()"
    ref = await bench.start(f"import json, os\n{code}", env={"A_SETTING": "of the definition", "WORKSPACE": "/x"})
    follower = bench.follow(ref)
    await follower.until(b"\n")
    given = json.loads(bytes(follower.stdout))
    for name in ("LC_CTYPE", "PWD"):  # of Python and bwrap
        given.pop(name, None)
    assert given.pop("PATH").endswith(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    engine = bench.engine
    assert isinstance(engine, BwrapEngine)
    assert given.pop("LD_LIBRARY_PATH", None) == engine._interpreter.library_path
    assert given == {
        "A_SETTING": "of the definition",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "WORKSPACE": "/workspace",
    }
    recorder = state_of(bench, ref).recorder_pid()
    assert recorder
    for pid in (recorder, *descendants(recorder)):
        assert b"of the definition" not in Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_program_inherits_no_files_and_no_signals(bench: Bench) -> None:
    code = """
import os, signal
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1])
print([signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)])
"""
    stdout, _, _ = await bench.run(code)
    # Python itself ignores SIGPIPE.
    assert stdout == b"[0, 1, 2]\n[True, True, False]\n"


# What it sees ---------------------------------------------------------------------------------------------------------


async def test_nothing_of_the_machine_is_there_but_its_programs(bench: Bench) -> None:
    found = await answers(bench, "print(json.dumps([os.listdir(path) for path in ('/', '/opt', '/opt/agentsite')]))")
    root, opt, ours = (set(names) for names in found)
    assert root - TREE == {"workspace"}
    assert opt == {"agentsite"}
    assert ours <= {"images", "python"}


async def test_what_is_the_machines_own_is_not_there(bench: Bench, tmp_path: Path) -> None:
    """The worker's data, another agent's workspace, homes, keys, sockets of daemons."""
    other = tmp_path / "another-workspace"
    other.mkdir()
    (other / "secret").touch()
    paths = [
        *("/root", "/home", "/sys", "/boot", "/mnt", "/srv", "/media", "/var/lib", "/var/log", "/var/run/docker.sock"),
        *("/run/docker.sock", "/run/user", "/run/dbus", "/etc/shadow", "/etc/ssl/private", "/etc/ssh", "/etc/sudoers"),
        *("/etc/pip.conf", "/etc/environment", "/etc/resolv.conf", "/etc/machine-id", "/proc/1/root/etc/shadow"),
        *(docker_url().removeprefix("unix://"), Path.home(), tmp_path, other, other / "secret", bench.workspace),
        *(bench.directory / "bwrap", REPOSITORY, REPOSITORY / "agents.toml", f"/proc/{os.getpid()}"),
    ]
    found = await answers(bench, "print(json.dumps([path for path in sys.argv[1:] if os.path.lexists(path)]))", *paths)
    assert found == []


async def test_users_and_hosts_are_made_up(bench: Bench) -> None:
    code = """
import grp, pwd, socket
names = [pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name, socket.gethostname()]
print(json.dumps([*names, socket.gethostbyname("localhost"), len(pwd.getpwall())]))
"""
    assert await answers(bench, code) == ["agent", "agent", "agent", "127.0.0.1", 2]


async def test_it_sees_its_own_processes_only(bench: Bench) -> None:
    neighbour = await bench.start("import time; print('ready'); time.sleep(600)")
    await bench.follow(neighbour).until(b"ready\n")
    assert await answers(bench, "print(json.dumps([name for name in os.listdir('/proc') if name.isdigit()]))") == [
        "1",
        "2",
    ]


async def test_files_of_the_kernel_are_not_there_to_be_read_or_written(bench: Bench) -> None:
    code = """
def outcome(path, mode):
    try:
        open(path, mode).close()
        return True
    except OSError:
        return False
places = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats")
readable = [path for path in places if outcome(path, "rb")]
writable = [path for path in (
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward", "/proc/irq/default_smp_affinity") if outcome(path, "w")]
print(json.dumps([readable, writable]))
"""
    assert await answers(bench, code) == [[], []]


async def test_devices_are_the_harmless_ones(bench: Bench) -> None:
    code = """
import stat
def make(path, kind):
    try:
        os.mknod(path, kind | 0o666, os.makedev(1, 3))
        return True
    except OSError:
        return False
made = [make(f"/{place}/made{kind}", kind) for place in ("tmp", "workspace") for kind in (stat.S_IFCHR, stat.S_IFBLK)]
devices = [name for name in os.listdir("/dev") if stat.S_ISCHR(os.lstat("/dev/" + name).st_mode)]
blocks = [name for name in os.listdir("/dev") if stat.S_ISBLK(os.lstat("/dev/" + name).st_mode)]
print(json.dumps([made, sorted(devices), blocks]))
"""
    made, devices, blocks = await answers(bench, code)
    assert made == [False] * 4
    assert set(devices) <= {"full", "null", "random", "tty", "urandom", "zero"}
    assert blocks == []


async def test_what_is_to_be_hidden_is_hidden_wherever_it_lies(bench: Bench) -> None:
    """A data directory in /usr/local, say, which is seen otherwise."""
    engine = BwrapEngine(bench.directory / "bwrap", (Path("/usr/share"),))
    bench.engines.append(engine)
    code = "print(json.dumps([os.listdir('/usr/share'), os.access('/usr/share', os.W_OK)]))"
    assert (await answers(bench, code))[0] != []
    bench.engine = engine
    assert await answers(bench, code) == [[], False]


async def test_interpreter_and_bundled_programs_are_found_and_can_not_be_changed(bench: Bench) -> None:
    code = (
        "import json, os, sys; print(json.dumps([sys.executable, sys.version_info[:3], os.listdir(sys.argv[1]), "
        "os.access(sys.argv[1], os.W_OK), os.access(sys.executable, os.W_OK), os.access(os.__file__, os.W_OK)]))"
    )
    ref = await bench.engine.start(bench.command("{python}", "-c", code, "{images}"), bench.key())
    stdout, stderr = await bench.read(ref)
    executable, version, images, *writable = json.loads(stdout or stderr)
    assert executable.startswith(("/opt/agentsite/python/", "/usr/"))
    assert version == list(sys.version_info[:3])
    assert "demo" in images
    assert writable == [False] * 3


# What it may do -------------------------------------------------------------------------------------------------------


async def test_sockets_of_the_machine_are_out_of_reach(bench: Bench) -> None:
    """Its loopback, and those of the abstract namespace, which no file guards."""
    name = f"\0agentsite-test-{bench.mark}"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket() as loopback:
        abstract.bind(name)
        abstract.listen()
        loopback.bind(("127.0.0.1", 0))
        loopback.listen()
        code = """
import errno, socket
def outcome(family, address):
    with socket.socket(family) as client:
        return errno.errorcode.get(client.connect_ex(address))
abstract, port = "\\0" + sys.argv[1], int(sys.argv[2])
print(json.dumps([outcome(socket.AF_UNIX, abstract), outcome(socket.AF_INET, ("127.0.0.1", port))]))
"""
        found = await answers(bench, code, name[1:], loopback.getsockname()[1])
    assert found == ["ECONNREFUSED", "ECONNREFUSED"]


@pytest.mark.skipif(not X86_64, reason="other machines have one table of system calls")
@pytest.mark.parametrize("table", ["x32", "i386"])
async def test_calls_by_another_table_end_the_program(bench: Bench, table: str) -> None:
    """`getpid`: allowed, but not that way. A kernel without that table ends it too."""
    code = """
import ctypes, mmap, sys
if sys.argv[1] == "x32":
    print(ctypes.CDLL(None).syscall(0x40000000 | 39))
else:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20; int 0x80; ret
    print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""
    stdout, _, exit_code = await bench.run(code, table)
    assert (stdout, exit_code) in [(b"", 128 + signal.SIGSYS), (b"", 128 + signal.SIGSEGV)]


async def test_what_is_not_trusted_runs_too(bench: Bench) -> None:
    assert (await bench.run("print('isolated')", trusted=False))[0] == b"isolated\n"


async def test_what_needs_a_container_is_refused(bench: Bench) -> None:
    for spec, why in ((bench.command(), "process_command"), (bench.command("true", runtime="runsc"), "runsc")):
        for call in (bench.engine.check_image(spec), bench.engine.start(spec, bench.key())):
            with pytest.raises(SpecRefused, match=why):
                await call


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


# Whether it can be used -----------------------------------------------------------------------------------------------


async def test_check_names_what_is_not_limited(bench: Bench) -> None:
    found = await bench.engine.check()
    assert found.usable
    for name in ("memory", "CPUs"):
        assert (name in found.reason) is (name in MISSING)
    assert ("processes" in found.reason) is ("processes" in MISSING and not counts_processes(platform.release()))
    assert [path.name for path in (bench.directory / "bwrap").iterdir()] == []


async def test_without_bubblewrap_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bwrap, "_bwrap", lambda: None)
    found = await bench.engine.check()
    assert not found.usable
    assert "not installed" in found.reason


async def test_a_sandbox_that_can_not_be_made_is_said_in_bubblewraps_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, for_everybody: Path
) -> None:
    """As where the kernel has no user namespaces for ordinary users."""
    program = for_everybody / "bwrap"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && exec echo bubblewrap 9.8.7\necho 'No permissions' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(bwrap, "_bwrap", lambda: str(program))
    found = await bench.engine.check()
    assert not found.usable
    assert found.reason == "bubblewrap 9.8.7: No permissions"


async def test_unknown_machine_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    found = await bench.engine.check()
    assert not found.usable
    assert "vax" in found.reason


@pytest.mark.skipif(not ROOT, reason="the tests above are an ordinary user's already")
async def test_an_ordinary_user_has_it_too(for_everybody: Path) -> None:
    """Limits that need root, or groups delegated to him, are missing and named; the isolation is whole."""
    code = f"""
import asyncio, json
from pathlib import Path
from containers.engines.bwrap import BwrapEngine
from containers.spec import Limits, Spec
from containers.workspace import program_user
place = Path({str(for_everybody)!r})
async def main():
    engine = BwrapEngine(place / "state")
    found = await engine.check()
    (place / "workspace").mkdir()
    command = ("{{python}}", "-u", "-c", {PROBE!r})
    limits = Limits(tmp_bytes={3 * MIB}, shm_bytes={2 * MIB})
    spec = Spec("none", place / "workspace", process_command=command, user=program_user(), limits=limits)
    ref = await engine.start(spec, "k1")
    said = b"".join([piece.data async for piece in engine.output(ref)])
    code = (await engine.wait(ref)).code
    await engine.remove(ref)
    await engine.close()
    print(json.dumps([found.usable, found.reason, code, said.decode()]))
asyncio.run(main())
"""
    done = await asyncio.to_thread(as_somebody, code)
    usable, reason, exit_code, said = json.loads(done.stdout)
    assert usable, reason
    processes = "" if counts_processes(platform.release()) else "processes, "
    assert reason.endswith(f"not limited here: memory, {processes}CPUs, number of files in /tmp")
    assert exit_code == 0, said
    inside = json.loads(said)
    assert inside["uid"] == [SOMEBODY] * 3
    assert set(inside["capabilities"]) == {"0000000000000000"}
    assert (inside["no_new_privs"], inside["seccomp"], inside["interfaces"]) == ("1", "2", ["lo"])
    assert {path for path, outcome in inside["write"].items() if outcome == "ok"} == {
        "/tmp/x",
        "/workspace/x",
        "/dev/shm/x",
    }
    assert (inside["tmp_bytes"], inside["shm_bytes"]) == (3 * MIB, 2 * MIB)
    assert (inside["unshare"]["user"], inside["mount"], inside["vsock"]) == ("EPERM", "EPERM", "EPERM")
    assert (for_everybody / "workspace" / "x").stat().st_uid == SOMEBODY


def descendants(root: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == root:
            found += [int(path.name), *descendants(int(path.name))]
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
