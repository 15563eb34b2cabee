"""Programs that take all there is: their run ends with a reason, and nobody else notices.

Where bwrap cannot limit a thing (see `limits`), the program gets it, and docs/security.md says so.
"""

from __future__ import annotations

import os
import uuid

import pytest

from containers.engines import bwrap, cgroups
from tests.abuse.ordeal import MIB, Ordeal, forget_peak, limits, processes_named, resident_mib
from tests.agents.site import Site, text, until

pytestmark = pytest.mark.long

SMALL = {"memory_mib": 64, "pids": 32, "tmp_mib": 8}
HOG = """
def hog():  # enough to be too much, and no more: this is also run with the limit taken out
    hold = [b"x" * 2**20 for _ in range(256)]
"""


def test_fork_bomb(site: Site) -> None:
    """It may have 32 processes, and as long as its run lasts. Not one of them is left."""
    marker = uuid.uuid4().hex
    code = f"""
{marker!r}
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    ordeal = Ordeal(site, code, limits={**SMALL, "memory_mib": 256, "wall_s": 4})
    assert (ordeal.status, ordeal.errors) == ("failed", ["time-limit"])
    assert processes_named(marker) == []


def test_processes_are_counted(site: Site) -> None:
    code = """
children = 0
def spawn():
    global children
    for _ in range(100):
        if not os.fork():
            time.sleep(600)
        children += 1
attempt("spawn", spawn)
say("text", content=f"children: {children < 32}")
"""
    ordeal = Ordeal(site, code, limits=SMALL)
    limited = limits(site, "processes")
    assert ordeal.said == {"spawn": "EAGAIN" if limited else "done", "children": str(limited)}
    assert ordeal.status == "completed"


def of_a_hog(site: Site) -> tuple[str, list[str]]:
    """How its run ends."""
    return ("failed", ["out-of-memory"]) if limits(site, "memory") else ("completed", [])


def test_memory_of_the_program(site: Site) -> None:
    ordeal = Ordeal(site, f"{HOG}hog()", limits=SMALL)
    assert (ordeal.status, ordeal.errors) == of_a_hog(site)


@pytest.mark.bwrap
@pytest.mark.parametrize("site", ["bwrap"], indirect=True)
def test_where_no_control_group_can_be_had_memory_is_not_limited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an ordinary user without delegation, on every machine. The rest is as safe as ever."""
    for module in (bwrap, cgroups):
        monkeypatch.setattr(module, "find_groups", lambda: cgroups.Groups({}))
    test_memory_of_the_program(site)
    test_processes_are_counted(site)


def test_memory_of_a_child_that_nobody_misses(site: Site) -> None:
    """The program itself ends well, and without a word of it. That the run was out of memory is said all the same."""
    code = (
        HOG
        + """
child = os.fork()
if not child:
    hog()
    os._exit(0)
os.waitpid(child, 0)
"""
    )
    ordeal = Ordeal(site, code, limits=SMALL)
    assert (ordeal.status, ordeal.errors) == of_a_hog(site)


def test_memory_of_a_child_that_the_program_got_over(site: Site) -> None:
    """Who says `done` has noticed, and gone on: a tool that was too greedy is no failure of its run."""
    code = (
        HOG
        + """
child = os.fork()
if not child:
    hog()
    os._exit(0)
say("text", content=f"child: {os.waitpid(child, 0)[1]}")
say("done", status="completed")
"""
    )
    ordeal = Ordeal(site, code, limits=SMALL)
    child = "9" if limits(site, "memory") else "0"
    assert (ordeal.status, ordeal.errors, ordeal.said) == ("completed", [], {"child": child})


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_filling_what_is_memory(site: Site, place: str) -> None:
    """Sized, and counted as the program's memory: full is an error of the program's, and goes with its container."""
    code = f"""
def fill():
    with open("{place}/x", "wb") as file:
        for _ in range(48):
            file.write(b"x" * 2**20)
            file.flush()
attempt("fill", fill)
say("text", content=f"size: {{os.path.getsize('{place}/x') // 2**20 <= 16}}")
"""
    ordeal = Ordeal(site, code, limits=SMALL)
    assert ordeal.said == {"fill": "ENOSPC", "size": "True"}
    assert ordeal.status == "completed"


def test_filling_tmp_with_empty_files(site: Site) -> None:
    code = """
made = 0
def fill():
    global made
    for made in range(20_000):
        open(f"/tmp/{made}", "w").close()
attempt("fill", fill)
say("text", content=f"few: {made < 17_000}")
"""
    ordeal = Ordeal(site, code, limits=SMALL)
    limited = limits(site, "files in /tmp")
    assert ordeal.said == {"fill": "ENOSPC" if limited else "done", "few": str(limited)}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_gigabyte_of_output(site: Site, stream: str) -> None:
    """It ends at the limit, and the worker has held little of it."""
    site.worker()
    forget_peak()
    before = resident_mib()
    code = f"""
line = "x" * 1000 + "\\n"
for _ in range(1_000_000):
    sys.{stream}.write(line)
"""
    ordeal = Ordeal(site, code, limits={**SMALL, "output_mib": 8, "wall_s": 120}, patience_s=120)
    assert (ordeal.status, ordeal.errors) == ("failed", ["output-limit"])
    logged = sum(len(one.data["content"]) for one in ordeal.events if one.type == "log")
    assert 7 * MIB < logged < 9 * MIB
    assert resident_mib() - before < 150


def test_it_ignores_sigterm_and_has_a_hundred_children_in_sessions_of_their_own(site: Site) -> None:
    marker = uuid.uuid4().hex
    code = f"""
import signal
{marker!r}
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(100):
    if not os.fork():
        os.setsid()
        break
else:
    note("on")
while True:
    time.sleep(600)
"""
    ordeal = Ordeal(site, code, cancel_at="on", limits={"pids": 128})
    assert (ordeal.status, ordeal.errors) == ("cancelled", [])
    assert ordeal.events[-1].data["duration_ms"] < 20_000, "the grace is 1 s; removing it would kill it too, but later"
    assert processes_named(marker) == []


def test_zombies_and_orphans(site: Site) -> None:
    """Zombies count as processes until their parent is gone; orphans are reaped by the container's init."""
    code = """
for _ in range(20):
    if not os.fork():
        os._exit(0)
zombies = orphans = 0
def spawn():
    global orphans
    for _ in range(300):
        if not (child := os.fork()):
            if not os.fork():
                os._exit(0)
            os._exit(0)
        os.waitpid(child, 0)
        orphans += 1
while True:
    attempt("spawn", spawn)
    break
say("text", content=f"orphans: {orphans}")
"""
    ordeal = Ordeal(site, code, limits={"pids": 64})
    assert ordeal.said == {"spawn": "done", "orphans": "300"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_million_tiny_lines(site: Site) -> None:
    """Of a million, as many as the limit lets through: they become few events, and not one is lost before it."""
    code = "sys.stdout.write('a\\n' * 1_000_000)"
    ordeal = Ordeal(site, code, patience_s=300, limits={"output_mib": 1, "wall_s": 300})
    assert (ordeal.status, ordeal.errors) == ("failed", ["output-limit"])
    logged = "".join(one.data["content"] for one in ordeal.events if one.type == "log")
    assert len(logged) >= MIB
    assert logged == "a\n" * (len(logged) // 2)
    assert len(ordeal.events) < 20 + 40 * ordeal.events[-1].data["duration_ms"] / 1000


def test_what_the_worker_itself_has_is_not_touched(site: Site) -> None:
    """Open files of this process, which is the worker: a run gives back all of them."""
    site.worker()
    Ordeal(site, "")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        Ordeal(site, "sys.stdout.write('x' * 2 * 2**20)", limits={"output_mib": 1})
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 3, "open files are given back")  # noqa: PTH208


def test_bytes_that_are_no_text(site: Site) -> None:
    code = r"""
sys.stdout.buffer.write(b"\xff\xfe\x00\x01 \xc3\x28 \xed\xa0\x80\n")
sys.stdout.buffer.write(b'{"type":"text","content":"\xff\x00\\u0000"}\n')
sys.stdout.buffer.write(bytes(range(256)) * 100)
"""
    ordeal = Ordeal(site, code)
    assert ordeal.status == "completed"
    assert "\0" not in text(ordeal.events)
