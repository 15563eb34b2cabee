"""Every lock can be installed with the oldest pip of a supported system, on a day when everything has a newer release.

pip before 23.3 takes `name[extra]` and `name` for two requirements. Where a lock pins only one of them, it looks for
the newest release of the other and then refuses that release, because the lock has no hash for it. Such a lock works
until the day of the next release.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.packaging.stub_index import PIN, build_index
from tests.packaging.test_locks import LOCKS, ROOT

pytestmark = pytest.mark.long

OLDEST_PIP = Path(__file__).with_name("oldest-pip.txt")
UV = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--no-config"]
"""What scripts/venv installs with."""


@pytest.fixture(scope="session")
def oldest_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oldest pip that this Python came with, unpacked: a folder that Python can run."""
    folder = tmp_path_factory.mktemp("pip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(folder), "--requirement", str(OLDEST_PIP)], check=True)
    with zipfile.ZipFile(next(folder.glob("pip-*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder / "pip"


@pytest.mark.parametrize("lock", LOCKS)
def test_the_oldest_pip_installs_exactly_the_lock_while_newer_releases_exist(lock, oldest_pip, tmp_path):
    text = (ROOT / lock).read_text()
    result = install(pip(oldest_pip), text, tmp_path)
    assert result.returncode == 0, result.stderr
    assert installed(tmp_path) == pinned(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_uv_installs_exactly_the_lock_for_the_oldest_python(lock, tmp_path):
    """Some packages need others below a patch release only: redis does below 3.11.3, and Debian 12 has 3.11.2."""
    text = (ROOT / lock).read_text()
    result = install([*UV, "--python-version", "3.11.0"], text, tmp_path)
    assert result.returncode == 0, result.stderr
    assert installed(tmp_path) == pinned(text)


WITH_EXTRAS = r"^[A-Za-z0-9._-]+\[[^\]]+\]==[^\n]*\n(?: [^\n]*\n)+"
WITHOUT_BUT_FOLLOWED_BY_IT = r"^([A-Za-z0-9._-]+)==[^\n]*\n(?: [^\n]*\n)+(?=\1\[)"


@pytest.mark.parametrize("line", [WITH_EXTRAS, WITHOUT_BUT_FOLLOWED_BY_IT], ids=["name[extra]", "name"])
def test_a_lock_that_pins_only_one_of_the_two_is_refused(line, oldest_pip, tmp_path):
    """The test above can fail: without `name[extra]` this is the lock as it was when it broke."""
    without = re.sub(line, "", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    result = install(pip(oldest_pip), without, tmp_path)
    assert result.returncode != 0
    assert "must have their versions pinned" in result.stderr


def pip(path: Path) -> list[str]:
    return [sys.executable, str(path), "--isolated", "--disable-pip-version-check", "install", "--no-compile"]


def install(installer: list[str], lock_text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Install a lock into the empty folder `target` of `directory`, from an index of stubs and from nowhere else."""
    index = directory / "index"
    index.mkdir()
    lock = directory / "lock.txt"
    lock.write_text(build_index(index, lock_text))
    command = [*installer, "--quiet", "--no-index", "--find-links", str(index), "--no-cache-dir"]
    command += ["--require-hashes", "--requirement", str(lock), "--target", str(directory / "target")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def installed(directory: Path) -> set[str]:
    """What is in `target`, as name==version: its dist-info folders are named so."""
    folders = [folder.name.removesuffix(".dist-info") for folder in (directory / "target").glob("*.dist-info")]
    return {"{}=={}".format(*folder.rsplit("-", 1)) for folder in folders}


def pinned(lock_text: str) -> set[str]:
    names = {(canonicalize_name(name).replace("-", "_"), version) for name, _, version, _ in PIN.findall(lock_text)}
    return {f"{name}=={version}" for name, version in names}
