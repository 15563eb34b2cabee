"""The workspace against a program that does its worst inside it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.errors import NotFound
from agents.workspace import DiskFull, FileTooLarge, PathInvalid, PathTaken, Workspace, WorkspaceMissing
from agents.workspace.paths import DEPTH_MOST, escape, is_plain, unescape

is_root = os.geteuid() == 0


@pytest.fixture
def workspace(settings, tmp_path: Path) -> Workspace:
    settings.WORKSPACES_DIR = tmp_path / "workspaces"
    workspace = Workspace(uuid.uuid4())
    workspace.create()
    return workspace


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("not for agents")
    return path


def paths(workspace: Workspace) -> list[str]:
    return [entry.path for entry in workspace.entries().entries]


def read(workspace: Workspace, path: str) -> bytes:
    opened = workspace.open_file(path)
    with opened.file:
        return opened.file.read()


# Making ------------------------------------------------------------------------------------------------------------


def test_create_can_be_repeated_and_keeps_what_is_there(workspace):
    (workspace.path / "kept").write_text("x")
    assert workspace.create() == workspace.path
    assert paths(workspace) == ["kept"]


@pytest.mark.skipif(not is_root, reason="only root can give files away")
def test_everything_made_belongs_to_the_containers_user(workspace):
    workspace.write_file("data/in.csv", [b"a,b"])
    for path in (workspace.path, workspace.path / "data", workspace.path / "data/in.csv"):
        assert (path.stat().st_uid, path.stat().st_gid) == (65532, 65532)
    assert not workspace.path.stat().st_mode & stat.S_IWOTH


def test_without_root_the_program_runs_as_ourselves_and_nobody_else_gets_in(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() or 1000)
    monkeypatch.setattr("agents.workspace.directory.program_user", lambda: f"{os.getuid()}:{os.getgid()}")
    settings.WORKSPACES_DIR = tmp_path / "workspaces"
    workspace = Workspace(uuid.uuid4())
    workspace.create()
    workspace.write_file("data/in.csv", [b"a"])
    assert stat.S_IMODE(workspace.path.parent.stat().st_mode) == 0o700
    assert (workspace.path / "data/in.csv").stat().st_uid == os.getuid()
    assert not (workspace.path / "data").stat().st_mode & stat.S_IWOTH


def test_what_can_not_be_given_away_is_writable_for_all(workspace, monkeypatch):
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    monkeypatch.setattr(workspace, "_uid", 65531)
    workspace.write_file("data/in.csv", [b"a"])
    assert stat.S_IMODE((workspace.path / "data").stat().st_mode) == 0o777
    assert stat.S_IMODE((workspace.path / "data/in.csv").stat().st_mode) == 0o666


def test_an_agent_id_can_not_name_another_directory():
    with pytest.raises(ValueError):
        Workspace("../../etc")


# Listing -----------------------------------------------------------------------------------------------------------


def test_entries_are_regular_files_sorted_by_path(workspace):
    workspace.write_file("b/c.txt", [b"12345"])
    workspace.write_file("a.txt", [b""])
    (workspace.path / "empty").mkdir()
    listing = workspace.entries()
    assert [(entry.path, entry.size) for entry in listing.entries] == [("a.txt", 0), ("b/c.txt", 5)]
    assert listing.complete
    assert listing.entries[0].modified_at.utcoffset() is not None


def test_links_pipes_sockets_and_devices_are_not_listed(workspace, secret):
    (workspace.path / "link").symlink_to(secret)
    (workspace.path / "directory-link").symlink_to(secret.parent)
    (workspace.path / "loop").symlink_to("loop")
    os.mkfifo(workspace.path / "pipe")
    os.mknod(workspace.path / "socket", stat.S_IFSOCK | 0o666)
    if is_root:
        os.mknod(workspace.path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    (workspace.path / "file").write_text("x")
    assert paths(workspace) == ["file"]


ODD = {
    b"bad\xff.txt": r"bad\xff.txt",
    b"new\nline": r"new\x0aline",
    b"esc\x1b[2J": r"esc\x1b[2J",
    b"\xc2\x9b": r"\xc2\x9b",
    b"cut-\xf0\x9f\x98": r"cut-\xf0\x9f\x98",
    rb"literal\xff": r"literal\x5cxff",
    rb"C:\new": r"C:\new",
    "ünïcode 😀 name".encode(): "ünïcode 😀 name",
    b"dir\xff/in\tside": r"dir\xff/in\x09side",
}


def test_every_name_is_listed_read_replaced_and_deleted_by_its_one_path(workspace):
    for name in ODD:
        real = workspace.path / os.fsdecode(name)
        real.parent.mkdir(exist_ok=True)
        real.write_bytes(name)
    listing = workspace.entries()
    assert listing.complete
    assert [entry.path for entry in listing.entries] == sorted(ODD.values())
    assert sorted(change.path for change in workspace.scan({})) == sorted(ODD.values())
    for name, path in ODD.items():
        assert read(workspace, path) == name
        assert workspace.write_file(path, [b"new"]).path == path
        assert (workspace.path / os.fsdecode(name)).read_bytes() == b"new"
        workspace.delete(path)
    assert paths(workspace) == []


@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & set(b"/\0")))
@example(rb"\x5cxff")
@example(b"\\\xff")
@example(rb"\\x0a")
def test_each_name_has_one_path_of_plain_text(name):
    path = escape(os.fsdecode(name))
    assert is_plain(path)
    assert os.fsencode(unescape(path)) == name


def test_exactly_the_characters_that_the_docs_name_are_escaped():
    docs = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    ranges = re.findall(r"U\+([0-9A-F]{4})\u2013U\+([0-9A-F]{4})", docs)
    escaped = {code for start, end in ranges for code in range(int(start, 16), int(end, 16) + 1)} - {0}
    assert escaped
    for code in [*range(1, 0x3000), 0xFEFF, 0xFFF9, 0xE0041]:
        if chr(code) not in "/\\":
            path = escape(chr(code))
            assert (path != chr(code)) == (code in escaped), hex(code)
            assert unescape(path) == chr(code)
    for name in ("a\u202eb", "a\u00a0b", "a\u200bb"):
        assert escape(name) == name


@pytest.mark.parametrize(
    "path", [r"\x41", r"a\x2fb", r"\x00", r"\xc3\xa9", r"\x2e\x2e/f", r"\x5c", r"\x5cx4", "a\nb", "\ud83d"]
)
def test_a_path_that_escape_would_not_have_written_is_refused(workspace, path):
    for ask in (workspace.open_file, workspace.delete, lambda path: workspace.write_file(path, [b""])):
        with pytest.raises(PathInvalid):
            ask(path)


def test_what_no_path_leads_to_is_not_taken_for_nothing(workspace):
    workspace.write_file("/".join("d" * DEPTH_MOST), [b""])
    assert workspace.entries().complete
    (workspace.path / "/".join("d" * (DEPTH_MOST - 1)) / "deeper").mkdir()
    assert not workspace.entries().complete


def test_the_number_of_names_looked_at_is_bounded_and_the_top_comes_first(workspace, settings):
    settings.WORKSPACE_SCAN_FILES = 5
    for number in range(20):
        workspace.write_file(f"deep/er/{number}", [b"x"])
    workspace.write_file("report.md", [b"x"])
    listing = workspace.entries()
    assert not listing.complete
    assert "report.md" in [entry.path for entry in listing.entries]
    assert len(listing.entries) <= 5


def test_a_workspace_at_exactly_the_bound_is_complete(workspace, settings):
    settings.WORKSPACE_SCAN_FILES = 3
    for name in "abc":
        workspace.write_file(name, [b""])
    assert workspace.entries().complete


def test_a_tree_deeper_than_any_path_is_listed_and_removed(workspace):
    nest(workspace.path, 3000)
    workspace.write_file("top", [b"x"])
    assert paths(workspace) == ["top"]
    workspace.remove_all()
    assert not workspace.path.exists()


def test_files_dated_to_any_year_are_listed(workspace):
    for name, ns in (("past", -(10**18)), ("future", 9 * 10**18)):
        (workspace.path / name).touch()
        os.utime(workspace.path / name, ns=(ns, ns))
    assert paths(workspace) == ["future", "past"]


def test_a_workspace_that_is_not_there_is_no_empty_one(workspace):
    """It is lost, or on a disk that is not mounted."""
    (workspace.path / "a").touch()
    workspace.path.rename(workspace.path.with_name("away"))
    known = {"a": {"size": 0, "sha256": hashlib.sha256().hexdigest()}}
    for ask in (
        workspace.entries,
        workspace.prepare,
        workspace.check,
        lambda: workspace.scan(known),
        lambda: workspace.open_file("a"),
        lambda: workspace.write_file("a", [b""]),
        lambda: workspace.delete("a"),
        lambda: workspace.used_bytes(1),
    ):
        with pytest.raises(WorkspaceMissing):
            ask()
    assert not workspace.path.exists()
    workspace.remove_all()
    workspace.path.with_name("away").rename(workspace.path)
    assert workspace.scan(known) == []


# Opening -----------------------------------------------------------------------------------------------------------

STRANGE = [
    "",
    ".",
    "..",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a//b",
    "a/",
    "./a",
    "a\0b",
    "a\nb",
    "\x7f",
    "\udcff",
    "a\x9b",
]
TOO_LONG = ["n" * 256, "ä" * 128, "/".join(["d" * 200] * 30), "/".join(["d"] * 65)]


@pytest.mark.parametrize("path", STRANGE + TOO_LONG)
def test_a_path_that_could_mean_something_else_is_refused_by_every_call(workspace, path):
    with pytest.raises(PathInvalid):
        workspace.open_file(path)
    with pytest.raises(PathInvalid):
        workspace.write_file(path, [b"x"])
    with pytest.raises(PathInvalid):
        workspace.delete(path)
    assert list(workspace.path.iterdir()) == []


def test_links_are_not_followed_at_any_component(workspace, secret):
    (workspace.path / "link").symlink_to(secret)
    (workspace.path / "up").symlink_to(secret.parent)
    (workspace.path / "here").symlink_to(".")
    workspace.write_file("file", [b"x"])
    for path in ("link", "up/secret", "here/file"):
        with pytest.raises(NotFound):
            workspace.open_file(path)


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_blocks_nobody(workspace):
    os.mkfifo(workspace.path / "pipe")
    with pytest.raises(NotFound):
        workspace.open_file("pipe")


@pytest.mark.skipif(not is_root, reason="only root makes devices")
def test_a_device_is_refused(workspace):
    os.mknod(workspace.path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with pytest.raises(NotFound):
        workspace.open_file("device")


def test_a_directory_is_no_file(workspace):
    (workspace.path / "d").mkdir()
    with pytest.raises(NotFound):
        workspace.open_file("d")


def test_a_directory_swapped_for_a_link_while_we_read_never_leads_out(workspace, tmp_path):
    """A race, run for real: the name is a directory, then a link to a directory with a file of the same name."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("not for agents")
    inside, name = workspace.path / "real", workspace.path / "d"
    inside.mkdir()
    (inside / "f").write_text("ours")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):  # the other side makes the directory when it writes in between
                inside.rename(name)
                name.rename(inside)
                name.symlink_to(outside)
                name.unlink()
            if name.is_dir() and not name.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
                name.rename(inside)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(1500):
            with contextlib.suppress(NotFound):
                assert read(workspace, "d/f") == b"ours"
            with contextlib.suppress(NotFound, PathTaken):
                workspace.write_file("d/f", [b"ours"])
            workspace.entries()
    finally:
        stop.set()
        swapping.join()
    assert (outside / "f").read_text() == "not for agents"


# Writing -----------------------------------------------------------------------------------------------------------


def test_a_written_file_is_read_back_whole(workspace):
    entry = workspace.write_file("a/b/c.bin", [b"12", b"", b"345"])
    assert (entry.path, entry.size) == ("a/b/c.bin", 5)
    assert read(workspace, "a/b/c.bin") == b"12345"


def test_a_file_too_large_leaves_the_old_one_and_nothing_else(workspace):
    workspace.write_file("f", [b"old"])
    with pytest.raises(FileTooLarge):
        workspace.write_file("f", [b"12", b"345"], max_bytes=4)
    assert read(workspace, "f") == b"old"
    assert [path.name for path in workspace.path.iterdir()] == ["f"]


def test_an_upload_that_breaks_off_leaves_the_old_one_and_nothing_else(workspace):
    def breaks_off() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    workspace.write_file("f", [b"old"])
    with pytest.raises(ConnectionResetError):
        workspace.write_file("f", breaks_off())
    assert read(workspace, "f") == b"old"
    assert [path.name for path in workspace.path.iterdir()] == ["f"]


def test_nobody_sees_a_file_before_it_is_whole(workspace):
    def chunks() -> Iterator[bytes]:
        yield b"half"
        assert paths(workspace) == []
        yield b"whole"

    workspace.write_file("f", chunks())
    assert paths(workspace) == ["f"]


def test_writing_replaces_a_link_and_not_what_it_leads_to(workspace, secret):
    (workspace.path / "link").symlink_to(secret)
    workspace.write_file("link", [b"ours"])
    assert secret.read_text() == "not for agents"
    assert read(workspace, "link") == b"ours"


def test_writing_through_a_linked_directory_is_refused(workspace, tmp_path):
    (workspace.path / "out").symlink_to(tmp_path)
    with pytest.raises(PathTaken):
        workspace.write_file("out/f", [b"x"])
    assert not (tmp_path / "f").exists()


def test_writing_over_a_directory_or_beneath_a_file_is_refused(workspace):
    workspace.write_file("d/f", [b"x"])
    for path in ("d", "d/f/g"):
        with pytest.raises(PathTaken):
            workspace.write_file(path, [b"x"])


def test_a_full_disk_is_said(workspace, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(DiskFull):
        workspace.write_file("f", [b"x"])


def test_delete_removes_a_file_or_a_link_but_no_directory(workspace, secret):
    workspace.write_file("d/f", [b"x"])
    (workspace.path / "link").symlink_to(secret)
    workspace.delete("link")
    assert secret.exists()
    with pytest.raises(PathTaken):
        workspace.delete("d")
    workspace.delete("d/f")
    with pytest.raises(NotFound):
        workspace.delete("d/f")


def test_remove_all_removes_links_and_not_what_they_lead_to(workspace, secret):
    workspace.write_file("a/b/c", [b"x"])
    (workspace.path / "a/out").symlink_to(secret.parent)
    os.mkfifo(workspace.path / "a/pipe")
    workspace.remove_all()
    assert not workspace.path.exists()
    assert secret.exists()


def test_remove_all_leaves_what_it_may_not_remove(workspace, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    workspace.write_file("f", [b"x"])
    monkeypatch.setattr(os, "unlink", refused)
    workspace.remove_all()
    assert workspace.path.exists()


def nest(top: Path, depth: int) -> None:
    """Directories in directories, deeper than a path can say."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
