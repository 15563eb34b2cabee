"""What only the bwrap engine promises of its sandbox, each by trying: who it is, what it sees and what it may do."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from containers.engines.bwrap import BwrapEngine
from containers.errors import SpecRefused
from tests.containers.bench import REPOSITORY, Bench
from tests.containers.bwrap.sandbox import ROOT, answers, descendants, state_of
from tests.servers.needs import docker_url

pytestmark = [pytest.mark.asyncio, pytest.mark.bwrap, pytest.mark.timeout(120)]

X86_64 = os.uname().machine == "x86_64"
TREE = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "tmp", "usr", "var"}
"""All that may be at the root, beside /workspace."""


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
