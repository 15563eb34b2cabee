"""What a definition mounts: a virtual environment and directories of this machine, read-only; nothing of the site."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from containers.engines.bwrap import BwrapEngine
from containers.errors import SpecRefused
from containers.spec import Spec
from tests.containers.bench import Bench

pytestmark = pytest.mark.bwrap
LOOK = """
import json, pathlib, sys, thing
def attempt(path):
    try:
        pathlib.Path(path).write_text("x")
        return "written"
    except OSError as error:
        return error.strerror
own = pathlib.Path(sys.argv[1])
print(json.dumps([thing.WORD, (own / "own.txt").read_text(), attempt(own / "own.txt"), attempt(thing.__file__)]))
"""


@pytest.fixture
def venv(bench: Bench) -> Path:
    """With a package of its own, and as everybody may read it."""
    made = bench.directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (package,) = made.glob("lib/python*/site-packages")
    (package / "thing.py").write_text("WORD = 'of the venv'\n")
    return made


async def run(bench: Bench, spec: Spec) -> tuple[bytes, bytes, int]:
    ref = await bench.engine.start(spec, uuid.uuid4().hex)
    stdout, stderr = await bench.read(ref)
    return stdout, stderr, (await bench.engine.wait(ref)).code


async def test_a_program_runs_on_a_virtual_environment_and_reads_what_is_mounted(bench: Bench, venv: Path):
    own = bench.directory / "own"
    own.mkdir()
    (own / "own.txt").write_text("mine")
    spec = bench.command("{venv}/bin/python", "-c", LOOK, str(own), venv=venv, mounts=(own,))
    stdout, stderr, code = await run(bench, spec)
    assert code == 0, stderr.decode()
    readonly = "Read-only file system"
    assert json.loads(stdout) == ["of the venv", "mine", readonly, readonly]


async def test_what_is_not_mounted_is_not_there(bench: Bench, venv: Path):
    spec = bench.command("sh", "-c", f"ls {venv}")
    _, stderr, code = await run(bench, spec)
    assert code != 0
    assert b"No such file" in stderr


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("/", "own"),
        ("/proc/self", "own"),
        ("/nowhere/at/all", "not there"),
        ("{data}", "a directory of the worker's"),
        ("{data}/process", "the site's own"),
        ("{data}/..", "a directory of the worker's"),
        ("{home}", "a home"),
    ],
)
async def test_nothing_of_the_site_can_be_mounted(bench: Bench, tmp_path: Path, mount: str, why: str):
    data, home = tmp_path / "site" / "data", tmp_path / "home"
    (data / "process").mkdir(parents=True)
    home.mkdir()
    engine = BwrapEngine(data / "bwrap", (data, home), data)
    path = Path(mount.format(data=data, home=home))
    with pytest.raises(SpecRefused, match=why):
        await engine.check_image(bench.command("true", mounts=(path,)))
    await engine.check_image(bench.command("true", mounts=()))


async def test_a_program_that_needs_packages_says_what_is_missing(bench: Bench):
    with pytest.raises(SpecRefused, match="has to name a virtual environment"):
        await bench.engine.check_image(bench.command("{venv}/bin/python"))
