"""What `files` events are made of."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.workspace import Change, Workspace, changes, digests


@pytest.fixture
def workspace(settings, tmp_path: Path, monkeypatch) -> Workspace:
    settings.WORKSPACES_DIR = tmp_path
    monkeypatch.setattr("agents.workspace.directory.DIGESTS", digests.Digests())
    workspace = Workspace(uuid.uuid4())
    workspace.create()
    return workspace


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def known_after(found: Sequence[Change], known: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """As the fold does it."""
    files = dict(known or {})
    for change in found:
        if change.change == "deleted":
            files.pop(change.path, None)
        else:
            files[change.path] = {"size": change.size, "sha256": change.sha256}
    return files


def test_added_modified_and_deleted_files_are_found(workspace):
    for name in ("kept", "changed", "gone"):
        workspace.write_file(name, [b"old"])
    first = workspace.scan({})
    assert [(change.path, change.change) for change in first] == [
        ("changed", "added"),
        ("gone", "added"),
        ("kept", "added"),
    ]
    known = known_after(first)
    workspace.write_file("changed", [b"new"])
    workspace.write_file("sub/new", [b"12345"])
    workspace.delete("gone")
    assert workspace.scan(known) == [
        Change("changed", "modified", 3, sha256(b"new")),
        Change("gone", "deleted"),
        Change("sub/new", "added", 5, sha256(b"12345")),
    ]


def test_a_scan_of_what_is_known_finds_nothing(workspace):
    workspace.write_file("f", [b"x"])
    known = known_after(workspace.scan({}))
    assert workspace.scan(known) == []
    assert Workspace(workspace.path.name).scan(known) == []


def test_a_file_rewritten_with_the_same_content_is_no_change(workspace):
    workspace.write_file("f", [b"x"])
    known = known_after(workspace.scan({}))
    workspace.write_file("f", [b"x"])
    assert workspace.scan(known) == []


def test_a_change_that_keeps_size_and_modification_time_is_found(workspace):
    path = workspace.path / "f"
    path.write_bytes(b"aaaa")
    known = known_after(workspace.scan({}))
    stamp = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"bbbb")
    os.utime(path, ns=(stamp, stamp))
    assert [change.change for change in workspace.scan(known)] == ["modified"]


def test_unchanged_files_are_not_read_again(workspace, monkeypatch):
    (workspace.path / "f").write_bytes(b"x")
    settle()
    known = known_after(workspace.scan({}))
    monkeypatch.setattr(digests.Digests, "read", lambda *_: pytest.fail("read again"))
    assert workspace.scan(known) == []
    assert Workspace(workspace.path.name).scan(known) == []


def test_a_large_file_has_no_hash_and_its_changes_are_found(workspace, settings):
    settings.HASH_MAX_BYTES = 10
    path = workspace.path / "large"
    path.write_bytes(b"a" * 20)
    first = workspace.scan({})
    assert first == [Change("large", "added", 20, None)]
    known = known_after(first)
    assert workspace.scan(known) == []
    path.write_bytes(b"b" * 20)
    assert workspace.scan(known) == [Change("large", "modified", 20, None)]
    assert workspace.scan(known) == []


def test_a_file_that_shrinks_below_the_limit_gets_its_hash(workspace, settings):
    settings.HASH_MAX_BYTES = 10
    workspace.write_file("f", [b"a" * 20])
    known = known_after(workspace.scan({}))
    workspace.write_file("f", [b"b"])
    assert workspace.scan(known) == [Change("f", "modified", 1, sha256(b"b"))]


def test_what_one_scan_reads_is_bounded_and_the_next_goes_on(workspace, settings, monkeypatch):
    settings.HASH_MAX_BYTES = 10
    monkeypatch.setattr(changes, "HASHED_FILES_WORTH", 2)
    for number in range(5):
        workspace.write_file(f"f{number}", [b"0123456789"])
    settle()
    known: dict[str, dict[str, Any]] = {}
    found = []
    for _ in range(3):
        found.append(workspace.scan(known))
        known = known_after(found[-1], known)
    assert [len(changes) for changes in found] == [2, 2, 1]
    assert workspace.scan(known) == []


def test_a_cut_off_listing_declares_nothing_deleted_that_is_still_there(workspace, settings):
    for number in range(10):
        workspace.write_file(f"f{number}", [b"x"])
    known = known_after(workspace.scan({}))
    workspace.delete("f3")
    settings.WORKSPACE_SCAN_FILES = 2
    assert workspace.scan(known) == [Change("f3", "deleted")]


def test_a_file_replaced_by_a_link_is_deleted(workspace, tmp_path):
    workspace.write_file("f", [b"x"])
    known = known_after(workspace.scan({}))
    (workspace.path / "f").unlink()
    (workspace.path / "f").symlink_to("/etc/passwd")
    assert workspace.scan(known) == [Change("f", "deleted")]


def test_a_file_that_vanishes_while_we_look_is_left_for_the_next_scan(workspace, monkeypatch):
    workspace.write_file("f", [b"x"])
    entries = workspace.entries()
    workspace.delete("f")
    monkeypatch.setattr(workspace, "entries", lambda: entries)
    assert workspace.scan({}) == []


def test_known_paths_that_are_no_paths_here_are_deleted(workspace, settings):
    settings.WORKSPACE_SCAN_FILES = 1
    workspace.write_file("f", [b"x"])
    workspace.write_file("g", [b"x"])
    found = workspace.scan({"../up": {"size": 1, "sha256": None}})
    assert Change("../up", "deleted") in found


def settle() -> None:
    """Past the time in which a file may change without looking different."""
    time.sleep(2 * digests.RACY_NS / 1e9)
