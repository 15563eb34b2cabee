"""Programs that look for a way out: into the network, the host, another container, or by the workspace into us."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.abuse.ordeal import Ordeal, processes_named
from tests.agents.site import Site, until

# fmt: off
ORDINARY_DEVICES = {
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
    "tty", "urandom", "zero",
}
# fmt: on


@pytest.fixture
def host_server() -> Iterator[tuple[int, list[str]]]:
    """Listens on every address of this machine; its port, and who came."""
    visitors: list[str] = []
    with socket.create_server(("", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                visitors.append(address[0])
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)


def test_the_network(site: Site, host_server: tuple[int, list[str]]) -> None:
    port, visitors = host_server
    code = f"""
import socket
def reach(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as made:
        made.settimeout(5)
        made.connect((host, port))
        made.send(b"x")
for host in ("1.1.1.1", "169.254.169.254", "172.17.0.1", "127.0.0.1", "10.0.0.1", "2606:4700:4700::1111"):
    attempt(host, reach, host, {port})
attempt("dns", reach, "8.8.8.8", 53, socket.SOCK_DGRAM)
attempt("name", socket.getaddrinfo, "example.org", 80)
"""
    said = Ordeal(site, code).said
    assert said.pop("127.0.0.1") == "ECONNREFUSED", "its own loopback, on which nobody listens"
    assert said.pop("name") not in ("done",)
    assert set(said.values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}
    assert visitors == []


def test_another_container(site: Site) -> None:
    """Not by the network, not by a name in the abstract namespace of Unix sockets, not by signals or /proc."""
    site.worker()
    site.define(
        "listens",
        """
import socket
tcp = socket.create_server(("", 4711))
unix = socket.socket(socket.AF_UNIX)
unix.bind("\\0agentsite-abuse")
unix.listen()
note("on", " ".join(name for _, name in socket.if_nameindex()))
wait("go")
""",
    )
    other = site.start("listens")
    until(lambda: site.wait_file(other, "on") == "lo", "it has the loopback, and nothing else")
    code = """
import socket
def unix():
    socket.socket(socket.AF_UNIX).connect("\\0agentsite-abuse")
attempt("unix", unix)
for address in ("127.0.0.1", "172.17.0.2", "172.17.0.3"):
    attempt(address, lambda address=address: socket.create_connection((address, 4711), 5))
others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
say("text", content=f"others: {others}")
"""
    said = Ordeal(site, code).said
    assert said.pop("unix") == "ECONNREFUSED"
    assert said.pop("others") == "[]"
    assert "done" not in said.values()
    site.let(other, "go")
    site.end(other)


def test_the_hosts_files(site: Site, tmp_path: Path) -> None:
    """What root would read on the machine: here is none of it."""
    site.worker()
    site.define("waits", 'note("mine", "secret")\nwait("go")')
    other = site.start("waits")
    site.wait_file(other, "mine")
    secrets = [tmp_path / "secret", site.workspace(other) / "mine", site.file]
    (tmp_path / "secret").write_text("secret")
    paths = [*map(str, secrets), "/var/run/docker.sock", "/run/docker.sock", str(site.workspace(other).parent)]
    code = (
        f"""
for path in {paths!r}:
    attempt(path, os.stat, path)
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("root", lambda: open("/usr/planted", "w"))
attempt("domainname", lambda: open("/proc/sys/kernel/domainname", "w").write("x"))
attempt("sysrq", lambda: open("/proc/sysrq-trigger", "w").write("h"))
attempt("mem", lambda: open("/dev/mem", "rb").read(1))
attempt("kcore", lambda: open("/proc/kcore", "rb").read(1))
attempt("above", lambda: open("/workspace/../../mine", "rb"))
ordinary = """
        + repr(ORDINARY_DEVICES)
        + """
say("text", content=f"devices: {sorted(set(os.listdir('/dev')) - ordinary)}\\n")
ours = ("KEY", "TOKEN", "REDIS", "DATABASE", "AGENTSITE")
say("text", content=f"environment: {[name for name in os.environ if any(word in name for word in ours)]}")
"""
    )
    said = Ordeal(site, code).said
    assert said.pop("devices") == "[]"
    assert said.pop("environment") == "[]"
    assert said.pop("root") == "EROFS", "whoever it runs as"
    assert said.pop("kcore") in ("ENOENT", "EACCES", "EPERM", "done")  # where it is, /dev/null lies over it
    assert set(said.values()) <= {"ENOENT", "EACCES", "EPERM", "EROFS"}, said
    site.let(other, "go")
    site.end(other)


def test_links_devices_and_pipes_in_the_workspace(site: Site, tmp_path: Path, client: Client) -> None:
    """We look into the workspace as root. Nothing in there leads us anywhere else, or makes us wait."""
    site.settings.STATIC_ROOT = None  # whitenoise warns of one that is not there
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    code = f"""
import socket
os.symlink({str(secret)!r}, "link")
os.symlink({str(tmp_path)!r}, "directory")
os.symlink("/", "root")
os.symlink(".", "loop")
os.link("link", "hard")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
attempt("device", os.mknod, "device", 0o600 | 0o060000, os.makedev(8, 0))
attempt("null", os.mknod, "null", 0o600 | 0o020000, os.makedev(1, 3))
attempt("setuid", os.chmod, "/workspace", 0o7777)
note("ordinary", "a file")
say("tool-call", call_id="c", name="n")
say("tool-result", call_id="c")
"""
    ordeal = Ordeal(site, code)
    assert ordeal.said["device"] == "EPERM"
    assert ordeal.said["null"] == "EPERM"
    changed = {change["path"] for event in ordeal.events if event.type == "files" for change in event.data["changes"]}
    assert changed == {"ordinary"}
    client.force_login(site.owner)
    base = f"/api/agents/{ordeal.agent.pk}/files"
    listing: dict[str, Any] = client.get(base).json()
    assert [one["path"] for one in listing["files"]] == ["ordinary"]
    inside = secret.name
    for path in ("link", "hard", "pipe", "socket", f"directory/{inside}", f"root{secret}", f"loop/directory/{inside}",
                 "../secret", "..%2Fsecret", "%2e%2e/secret", str(secret), "loop/ordinary"):  # fmt: skip
        answer = client.get(f"{base}/{path}")
        assert answer.status_code in (404, 422), path
        assert b"of the host" not in answer.content
    for path in ("directory/planted", "root/tmp/planted", "link"):
        client.put(f"{base}/{path}", b"planted", content_type="application/octet-stream")
    assert secret.read_text() == "of the host"
    assert not (tmp_path / "planted").exists()
    assert not Path("/tmp/planted").exists()


def test_system_calls_that_no_agent_needs(site: Site) -> None:
    """All of them in one run; tests/containers/test_profile.py tries each by itself."""
    code = """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")
attempt("vsock", socket.socket, 40, socket.SOCK_STREAM)
attempt("raw", socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)
for name, *arguments in (("io_uring", 425, 1, 0), ("unshare user", 272, 0x10000000), ("ptrace", 101, 16, 1, 0, 0),
                         ("mount", 165, 0, 0, 0, 0, 0), ("keyctl", 250, 0, -3, 0), ("bpf", 321, 0, 0, 0),
                         ("perf", 298, 0, 0, -1, -1, 0), ("setns", 308, 0, 0), ("pivot", 155, 0, 0),
                         ("module", 175, 0, 0, 0), ("reboot", 169, 0, 0, 0), ("settime", 227, 0, 0),
                         ("userfaultfd", 323, 0), ("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)):
    attempt(name, call, *arguments)
"""
    said = Ordeal(site, code).said
    assert len(said) == 16
    assert set(said.values()) <= {"EPERM", "ENOSYS", "EAFNOSUPPORT"}, said


def test_what_is_left_running_is_not_found_by_the_next_run(site: Site) -> None:
    """A run's processes end with it, so nothing of one run waits for the next one's words."""
    marker = uuid.uuid4().hex
    code = f"""
{marker!r}
if not os.fork():
    os.setsid()
    note("alive")
    time.sleep(600)
wait("alive")
"""
    site.worker()
    Ordeal(site, code)
    assert processes_named(marker) == []
