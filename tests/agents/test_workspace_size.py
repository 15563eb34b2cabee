"""A workspace is held to its size: the run that goes over it ends with a reason, and so does the next until there is
room; what counts is what the disk says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.models import Run
from agents.runs import commands
from agents.workspace.removal import empty
from agents.workspace.usage import ENTRY_BYTES, measure
from containers.spec import MIB
from streaming.model.events import Event
from tests.agents.site import Site

FILL = """
for number in range(64):
    with open(f"part{number}", "wb") as file:
        file.write(b"x" * (1 << 20))
say("text", content="written")
time.sleep(600)
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.worker.execution.workspace_watch.MEASURE_INTERVAL_S", 0.1)


def errors(events: list[Event]) -> list[str]:
    return [event.data["code"] for event in events if event.type == "error"]


@pytest.mark.usefixtures("impatient")
def test_a_run_that_fills_its_workspace_ends_and_the_next_one_needs_room(any_site: Site) -> None:
    any_site.worker()
    agent = any_site.agent(any_site.define("fill", FILL, limits={"workspace_mib": 8}))
    events = any_site.end(commands.submit_run(agent, "go"))
    assert errors(events) == ["workspace-full"]
    assert "more than 8 MiB" in next(event.data["message"] for event in events if event.type == "error")
    assert (events[-1].type, events[-1].data["status"]) == ("done", "failed")
    any_site.define("fill", "say('text', content='there was room')", limits={"workspace_mib": 8})
    again = commands.submit_run(agent, "go")
    assert errors(any_site.end(again)) == ["workspace-full"]
    assert Run.objects.get(pk=again.pk).attempts.get().container_ref == ""
    for path in any_site.workspace(agent).iterdir():
        path.unlink()
    events = any_site.end(commands.submit_run(agent, "go"))
    assert events[-1].data["status"] == "completed"


def test_one_file_can_not_be_larger_than_the_workspace(any_site: Site) -> None:
    code = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with open("large", "wb") as file:
        for _ in range(16):
            file.write(b"x" * (1 << 20))
except OSError as error:
    say("text", content=error.strerror)
os.unlink("large")
"""
    any_site.worker()
    events = any_site.ended(any_site.define("large", code, limits={"workspace_mib": 8}))
    assert [event.data["content"] for event in events if event.type == "text"] == ["File too large"]
    assert events[-1].data["status"] == "completed"


def test_run_does_not_begin_on_a_disk_that_is_almost_full(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    any_site.worker()
    agent = any_site.agent(any_site.define("short", "say('text', content='there was room')"))
    monkeypatch.setattr("agents.runs.commands.refuse_low_disk", lambda: None)  # it was accepted while there was room
    any_site.settings.MIN_FREE_MIB = 2**40
    run = commands.submit_run(agent, "go")
    assert errors(any_site.end(run)) == ["disk-full"]
    assert Run.objects.get(pk=run.pk).attempts.get().container_ref == ""
    any_site.settings.MIN_FREE_MIB = 0
    assert any_site.end(commands.submit_run(agent, "go"))[-1].data["status"] == "completed"


def used(path: Path, enough_bytes: int = 1 << 40) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return measure(fd, enough_bytes)
    finally:
        os.close(fd)


def test_what_counts_is_room_on_the_disk(tmp_path: Path) -> None:
    assert used(tmp_path) == 0
    (tmp_path / "file").write_bytes(b"x" * MIB)
    assert MIB <= used(tmp_path) < MIB + 64 * 1024
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 34)
    assert used(tmp_path) < MIB + 64 * 1024
    before = used(tmp_path)
    for number in range(10):
        os.link(tmp_path / "file", tmp_path / f"name{number}")
    assert used(tmp_path) == before


def test_many_small_files_take_room_too(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/")
    assert used(tmp_path) == 1002 * ENTRY_BYTES


@pytest.fixture
def emptied(tmp_path: Path) -> Iterator[Path]:
    """pytest's own cleaning up does not get so deep."""
    yield tmp_path
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    empty(root)
    os.close(root)


def test_nothing_is_hidden_by_depth_and_one_descriptor_is_enough(emptied: Path) -> None:
    """A path of that depth is too long for the system; so are its descriptors, one a level."""
    depth = 3000
    fd = os.open(emptied, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    deep = os.open("deep", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(deep, b"x" * MIB)
    os.close(deep)
    os.close(fd)
    (emptied / "beside").write_bytes(b"x" * MIB)
    assert used(emptied) >= depth * ENTRY_BYTES + 2 * MIB


def test_looking_stops_when_there_is_enough(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}").touch()
    assert used(tmp_path, 10 * ENTRY_BYTES) == 11 * ENTRY_BYTES


def test_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"x" * MIB)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "link").symlink_to(tmp_path / "elsewhere")
    assert used(tmp_path / "workspace") == ENTRY_BYTES


def test_a_directory_that_is_moved_meanwhile_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`..` of a directory that was moved out is somebody else's, whose directories may have the same names."""
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    names = [f"d{number}" for number in range(10)]
    for name in names:
        (workspace / name / "x").mkdir(parents=True)
        (workspace / name / "file").write_bytes(b"x" * MIB)
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "large").write_bytes(b"x" * 10 * MIB)
    moved: list[Path] = []
    real = os.open

    def move(name: str, *arguments: int, **more: int) -> int:
        fd = real(name, *arguments, **more)
        if name == "x" and not moved:
            moved.append(Path(f"/proc/self/fd/{fd}").readlink().parent)
            moved[0].rename(elsewhere / "moved")
        return fd

    monkeypatch.setattr("agents.workspace.usage.os.open", move)
    found = used(workspace)
    assert moved
    assert 10 * MIB <= found < 11 * MIB
