"""The data directory is its owner's alone, whatever it was before; what can't be made so is refused in one line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsite.data_directory import DataDirectoryNotPrivate, open_data_directory
from tests.journeys.site import environment

SOMEBODY = 65531
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of an earlier version: everybody may look into it."""
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def python(data: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(AGENTSITE_DATA_DIR=str(data), **settings),
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_new_directory_is_private(tmp_path: Path):
    open_data_directory(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") == 0o700


@pytest.mark.parametrize("was", [0o755, 0o777, 0o750, 0o2775, 0o711])
def test_directory_that_exists_is_made_private(data: Path, was: int):
    data.chmod(was)
    open_data_directory(data)
    assert mode(data) == 0o700


@pytest.mark.parametrize(
    "name", ["agentsite.sqlite3", "agentsite.sqlite3-wal", "agentsite.sqlite3-shm", "secret-key", "admin-token"]
)
def test_secrets_that_exist_are_made_private(data: Path, name: str):
    (data / name).write_text("secret")
    (data / name).chmod(0o644)
    (data / "notes").write_text("the operator's own")
    open_data_directory(data)
    assert mode(data / name) == 0o600
    assert mode(data / "notes") == 0o644
    assert mode(data) == 0o700


def test_every_process_that_reads_the_settings_makes_it_private(data: Path):
    (data / "agentsite.sqlite3").touch(mode=0o644)
    done = python(data, "-c", "import agentsite.settings")
    assert (done.returncode, done.stderr) == (0, "")
    assert mode(data) == 0o700
    assert {path.name: mode(path) for path in data.iterdir()} == {"agentsite.sqlite3": 0o600, "secret-key": 0o600}


def test_new_database_is_private_wherever_it_is(data: Path, tmp_path: Path):
    done = python(data, "-c", "import agentsite.settings", DATABASE_URL=f"sqlite:///{tmp_path}/site.sqlite3")
    assert done.returncode == 0, done
    assert mode(tmp_path / "site.sqlite3") == 0o600


@needs_root
@pytest.mark.parametrize("words", [("worker",), ("up",)])
def test_directory_of_somebody_else_is_refused_in_one_line(data: Path, words: tuple[str, ...]):
    os.chown(data, SOMEBODY, SOMEBODY)
    done = python(data, "-m", "agentsite", *words)
    assert done.returncode == 2
    assert done.stderr == (
        f"agentsite: the data directory {data} belongs to user {SOMEBODY} and this runs as root; give it to that user "
        "(chown), or name another with AGENTSITE_DATA_DIR\n"
    )
    assert list(data.iterdir()) == []


@pytest.mark.parametrize(("was", "holds"), [(0o755, "photos"), (0o1777, None), (0o1777, "secret-key")])
def test_directory_of_something_else_is_refused_and_stays_as_it_is(data: Path, was: int, holds: str | None):
    data.chmod(was)
    if holds:
        (data / holds).touch()
    with pytest.raises(DataDirectoryNotPrivate, match=f"chmod 700 {data}"):
        open_data_directory(data)
    assert mode(data) == was


def test_private_directory_may_hold_anything(data: Path):
    (data / "photos").mkdir()
    data.chmod(0o700)
    open_data_directory(data)


def test_directory_that_can_not_be_made_private_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch):
    """As on FAT and CIFS, where a change of permissions does nothing."""
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    with pytest.raises(DataDirectoryNotPrivate, match="keeps no permissions"):
        open_data_directory(data)


def test_links_to_secrets_elsewhere_are_left_alone(data: Path, tmp_path: Path):
    elsewhere = tmp_path / "key"
    elsewhere.touch(mode=0o644)
    (data / "secret-key").symlink_to(elsewhere)
    open_data_directory(data)
    assert mode(elsewhere) == 0o644
