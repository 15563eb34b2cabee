"""What is kept of workspaces before and after runs: what, how much of it, and for how long."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest

from agents.models.ids import new_id
from agents.workspace import Workspace
from agents.workspace.history import History, rundiff, store, taking
from agents.workspace.history.manifest import Manifest
from agents.workspace.history.objects import Objects, sha256_of


@pytest.fixture(autouse=True)
def limits(settings) -> Any:
    settings.HISTORY_FILE_KIB, settings.HISTORY_FILES, settings.HISTORY_MIB = 4, 100, 1
    return settings


@pytest.fixture
def workspace() -> Workspace:
    workspace = Workspace(uuid.uuid4())
    workspace.create()
    return workspace


@pytest.fixture
def history(workspace: Workspace) -> History:
    return History(workspace.path.name)


def compared(history: History, run_id: str) -> rundiff.RunDiff:
    before, after = history.manifest(run_id, "before"), history.manifest(run_id, "after")
    assert before
    assert after
    return rundiff.compare(before, after, history.objects.get)


def run(history: History, workspace: Workspace, **files: str | bytes | None) -> str:
    """A run that leaves those files; None deletes one."""
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    for name, content in files.items():
        if content is None:
            workspace.delete(name)
        else:
            workspace.write_file(name, [content.encode() if isinstance(content, str) else content])
    history.keep(run_id, "after", workspace)
    return run_id


def said(diff: rundiff.RunDiff) -> list[tuple[str, str, str | None]]:
    return [(file.path, file.status, file.reason) for file in diff.files]


def used_bytes(history: History) -> int:
    return sum(path.stat().st_size for path in history.path.rglob("*") if path.is_file())


def unreadable(*_: object) -> Any:
    pytest.fail("read again")


def test_what_a_run_changed_is_shown_and_later_runs_change_nothing_in_it(history, workspace):
    first = run(history, workspace, kept="same\n", gone="1\n2\n", changed="a\nb\n")
    second = run(history, workspace, gone=None, changed="a\nc\n", new="x\n")
    files = compared(history, second).files
    assert [(file.path, file.status, file.additions, file.deletions) for file in files] == [
        ("changed", "modified", 1, 1),
        ("gone", "deleted", 0, 2),
        ("new", "added", 1, 0),
    ]
    assert files[0].diff == "--- a/changed\n+++ b/changed\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    before = compared(history, first)
    run(history, workspace, kept=None, changed="z\n", new=None)
    assert compared(history, second).files == files
    assert compared(history, first) == before
    assert before.complete


def test_what_has_no_diff_says_why(history, workspace, limits):
    run(history, workspace, large="x" * 5000, binary=b"\x7fELF\0\0old")
    second = run(history, workspace, large="y" * 5000, binary=b"\x7fELF\0\0new", fine="text\n")
    diff = compared(history, second)
    assert said(diff) == [
        ("binary", "modified", "binary"),
        ("fine", "added", None),
        ("large", "modified", "too-large"),
    ]
    assert [file.diff is None for file in diff.files] == [True, False, True]
    assert diff.complete


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("latin-1", "Windows-1252 (guessed)"),
        ("cp1252", "Windows-1252 (guessed)"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
    ],
)
def test_a_text_that_is_not_utf_8_has_a_diff_of_its_text(history, workspace, codec, name):
    run(history, workspace, f="Müller\nThé\nrest\n".encode(codec))
    (file,) = compared(history, run(history, workspace, f="Müller\nCafé\nrest\n".encode(codec))).files
    assert file.diff == "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n Müller\n-Thé\n+Café\n rest\n"
    assert (file.additions, file.deletions, file.reason, file.encoding) == (1, 1, None, name)


def test_a_text_that_is_written_in_another_encoding_says_so(history, workspace):
    run(history, workspace, f="Müller\n".encode("cp1252"))
    (file,) = compared(history, run(history, workspace, f="Müller\n")).files
    assert (file.diff, file.encoding, file.reason) == ("", "Windows-1252 (guessed) → UTF-8", None)
    (file,) = compared(history, run(history, workspace, f="\ufeffMüller\n")).files
    assert (file.diff, file.encoding) == ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-Müller\n+\ufeffMüller\n", None)
    (file,) = compared(history, run(history, workspace, f=None)).files
    assert (file.status, file.deletions, file.encoding) == ("deleted", 1, None)


def test_a_file_that_becomes_another_kind_is_modified(history, workspace):
    run(history, workspace, f="text\n", g=b"\0")
    second = run(history, workspace, f=b"\0", g="text\n")
    assert said(compared(history, second)) == [("f", "modified", "binary"), ("g", "modified", "binary")]


def test_what_is_rewritten_with_the_same_content_is_no_change(history, workspace):
    run(history, workspace, text="a\n", binary=b"\0")
    assert compared(history, run(history, workspace, text="a\n", binary=b"\0")).files == []


def test_a_large_file_that_nobody_touched_is_no_change(history, workspace):
    run(history, workspace, large="x" * 5000)
    assert compared(history, run(history, workspace, other="")).files == [
        rundiff.FileDiff("other", "added", 0, 0, "", None)
    ]


def test_a_large_file_is_not_even_opened(history, workspace, monkeypatch):
    run(history, workspace, large="x" * 5000)
    monkeypatch.setattr(Workspace, "open_file", unreadable)
    run(history, workspace)


def test_the_first_manifest_stays(history, workspace):
    """The run is taken over, and a worker that stood still comes back."""
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    workspace.write_file("f", [b"1\n"])
    History(workspace.path.name).keep(run_id, "before", workspace)
    history.keep(run_id, "after", workspace)
    workspace.write_file("f", [b"of a later run\n"])
    History(workspace.path.name).keep(run_id, "after", workspace)
    assert [file.diff for file in compared(history, run_id).files] == ["--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+1\n"]


def test_two_that_keep_at_once_keep_one(history, workspace, monkeypatch):
    run_id = str(new_id())
    take = taking.take

    def overtaken(*arguments: Any) -> Manifest:
        with monkeypatch.context() as patch:
            patch.setattr(store, "take", take)
            History(workspace.path.name).keep(run_id, "before", workspace)
        workspace.write_file("f", [b"x"])
        return take(*arguments)

    monkeypatch.setattr(store, "take", overtaken)
    history.keep(run_id, "before", workspace)
    kept = history.manifest(run_id, "before")
    assert kept is not None
    assert kept.records == {}


def test_nothing_is_kept_after_a_run_of_which_nothing_was_kept_before(history, workspace):
    run_id = str(new_id())
    history.keep(run_id, "after", workspace)
    assert not history.path.exists()


def test_links_pipes_and_sockets_are_neither_followed_nor_opened(history, workspace, tmp_path: Path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("SECRET\n")
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    (workspace.path / "file").symlink_to(tmp_path / "secret" / "key")
    (workspace.path / "directory").symlink_to(tmp_path / "secret")
    os.mkfifo(workspace.path / "pipe")
    os.mknod(workspace.path / "socket", stat.S_IFSOCK | 0o600)
    (workspace.path / "real").write_text("real\n")
    history.keep(run_id, "after", workspace)
    assert said(compared(history, run_id)) == [("real", "added", None)]
    assert not [path for path in history.path.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]


def test_a_file_swapped_for_a_link_while_we_look_is_not_there(history, workspace, tmp_path, monkeypatch):
    (tmp_path / "key").write_text("SECRET\n")
    workspace.write_file("f", [b"x"])
    entries = Workspace.entries

    def swapped(self: Workspace) -> Any:
        found = entries(self)
        (self.path / "f").unlink()
        (self.path / "f").symlink_to(tmp_path / "key")
        return found

    monkeypatch.setattr(Workspace, "entries", swapped)
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    kept = history.manifest(run_id, "before")
    assert kept is not None
    assert kept.records == {}


def test_it_is_outside_of_every_workspace_and_nobody_elses_to_read(history, workspace, settings):
    run(history, workspace, f="x")
    assert not history.path.is_relative_to(settings.WORKSPACES_DIR)
    for path in (history.path.parent, history.path, history.path / "objects", history.path / "runs"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in (history.path / "objects").iterdir()} == {0}


# How much ----------------------------------------------------------------------------------------------------------


def test_what_was_not_touched_is_not_read_again(history, workspace, monkeypatch):
    workspace.write_file("f", [b"text"])
    workspace.write_file("b", [b"\0"])
    monkeypatch.setattr(taking, "RACY_NS", -1)
    run(history, workspace)
    monkeypatch.setattr(taking._Taking, "_read", unreadable)
    assert compared(history, run(history, workspace)).files == []


def test_what_was_written_just_before_is_read_again(history, workspace):
    """It may be written once more within the same tick of the kernel's clock, and look the same."""
    workspace.write_file("f", [b"old"])
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    status = (workspace.path / "f").stat()
    with pytest.MonkeyPatch.context() as patch:
        # As if that clock stood still.
        patch.setattr(taking, "is_untouched", lambda one, other: True)
        (workspace.path / "f").write_bytes(b"new")
        os.utime(workspace.path / "f", ns=(status.st_atime_ns, status.st_mtime_ns))
        history.keep(run_id, "after", workspace)
    assert said(compared(history, run_id)) == [("f", "modified", None)]


def test_a_start_does_not_wait_for_a_slow_disk(history, workspace, monkeypatch):
    """Reading ends after TAKE_S. What changed is known all the same, and the next time goes on."""
    run(history, workspace, a="1\n", b="1\n")
    with monkeypatch.context() as patch:
        patch.setattr(taking, "TAKE_S", -1.0)
        second = run(history, workspace, a="2\n")
    assert said(compared(history, second)) == [("a", "modified", "not-kept")]
    assert said(compared(history, run(history, workspace, a="3\n"))) == [("a", "modified", None)]


def test_only_so_many_files_are_kept_the_small_ones_first(history, workspace, limits):
    limits.HISTORY_FILES = 2
    diff = compared(history, run(history, workspace, a="123456\n", b="1\n", c="12\n"))
    assert said(diff) == [("a", "added", "not-kept"), ("b", "added", None), ("c", "added", None)]
    assert diff.complete


def test_a_workspace_with_too_many_files_says_that_it_was_not_seen_whole(history, workspace, settings):
    for name in ("a", "b", "c"):
        workspace.write_file(name, [b"1"])
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    settings.WORKSPACE_SCAN_FILES = 2
    history.keep(run_id, "after", workspace)
    assert compared(history, run_id) == rundiff.RunDiff([], complete=False), "one was not looked at, not deleted"


def test_the_store_is_bounded_and_the_oldest_runs_go_first(history, workspace):
    """1 MiB; each run writes 190 kB in files of 2 kB."""
    runs = []
    for number in range(8):
        runs.append(run(history, workspace, **{f"f{at}": f"{number} {at}\n" * 400 for at in range(100)}))
        assert used_bytes(history) <= 2**20 + 64 * 2 * len(history.runs())
    assert history.manifest(runs[0], "before") is None
    last = compared(history, runs[-1])
    assert len(last.files) == 100
    assert {file.reason for file in last.files} == {None}
    assert set(history.runs()) == set(runs[-len(history.runs()) :])


def test_what_has_no_room_even_so_is_not_kept(history, workspace, limits):
    limits.HISTORY_FILE_KIB = 1024
    diff = compared(history, run(history, workspace, a="a" * 700_000, b="b" * 800_000, c="c\n"))
    assert said(diff) == [("a", "added", None), ("b", "added", "not-kept"), ("c", "added", None)]


def test_only_so_many_runs_are_kept(history, workspace, monkeypatch):
    monkeypatch.setattr(store, "RUNS_MOST", 4)
    runs = []
    for _ in range(12):
        runs.append(run(history, workspace))
        assert len(history.runs()) <= 4
    assert history.runs() == runs[-len(history.runs()) :]


def test_zero_keeps_nothing(history, workspace, limits):
    limits.HISTORY_MIB = 0
    history.keep(str(new_id()), "before", workspace)
    assert not history.path.exists()


def test_the_same_content_is_kept_once(history, workspace):
    run(history, workspace, **{f"f{number}": "same\n" * 500 for number in range(50)})
    contents = [path for path in (history.path / "objects").iterdir() if path.read_bytes() == b"same\n" * 500]
    assert len(contents) == 1


def test_a_full_disk_costs_contents_and_no_run(history, workspace, monkeypatch):
    run_id = str(new_id())
    history.keep(run_id, "before", workspace)
    workspace.write_file("f", [b"text"])
    put = Objects.put

    def full(self: Objects, content: bytes) -> str:
        if content == b"text":
            raise OSError(28, "No space left on device")
        return put(self, content)

    monkeypatch.setattr(Objects, "put", full)
    history.keep(run_id, "after", workspace)
    assert said(compared(history, run_id)) == [("f", "added", "not-kept")]


# For how long ------------------------------------------------------------------------------------------------------


def test_what_is_forgotten_takes_its_contents_with_it_and_no_others(history, workspace):
    first = run(history, workspace, a="only the first\n")
    second = run(history, workspace, a="second\n")
    third = run(history, workspace, b="third\n")
    expected = compared(history, third)
    history.forget({first, second})
    assert history.runs() == [third]
    assert compared(history, third) == expected
    assert sha256_of(b"only the first\n") not in history.objects
    assert sha256_of(b"third\n") in history.objects


def test_what_somebody_who_died_left_half_written_is_dropped(history, workspace):
    first = run(history, workspace, a="x")
    (history.path / "objects" / ".half.1234").write_text("x" * 100)
    history.forget({first})
    assert list((history.path / "objects").iterdir()) == []


def test_damaged_content_is_not_kept(history, workspace):
    """The machine lost power while it was written."""
    run_id = run(history, workspace, a="text\n")
    (history.path / "objects" / sha256_of(b"text\n")).write_text("")
    assert said(compared(history, run_id)) == [("a", "added", "not-kept")]


def test_a_damaged_manifest_is_none(history, workspace):
    run_id = run(history, workspace, a="text\n")
    (history.path / "runs" / f"{run_id}.before").write_text("../../../etc/passwd")
    assert history.manifest(run_id, "before") is None
    history.keep(str(new_id()), "before", workspace)


# The answer --------------------------------------------------------------------------------------------------------


def test_an_answer_is_bounded_in_bytes_files_and_time(history, workspace, monkeypatch):
    run_id = run(history, workspace, a="a\n" * 100, b="b\n" * 100, c="c\n")
    with monkeypatch.context() as patch:
        patch.setattr(rundiff, "DIFF_BYTES", 500)
        assert said(compared(history, run_id)) == [
            ("a", "added", None),
            ("b", "added", "too-large"),
            ("c", "added", None),
        ]
    with monkeypatch.context() as patch:
        patch.setattr(rundiff, "DIFF_S", -1.0)
        assert {file.reason for file in compared(history, run_id).files} == {"too-large"}
    with monkeypatch.context() as patch:
        patch.setattr(rundiff, "DIFF_FILES", 2)
        diff = compared(history, run_id)
        assert ([file.path for file in diff.files], diff.complete) == (["a", "b"], False)
