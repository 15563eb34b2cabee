"""Whether bwrap can be used here, and by whom: what `check` says of it."""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path

import pytest

from containers.engines import bwrap
from containers.engines.bwrap_command import counts_processes
from containers.spec import MIB
from tests.containers.bench import Bench
from tests.containers.bwrap.sandbox import MISSING, ROOT
from tests.containers.probe import PROBE
from tests.containers.somebody import SOMEBODY, as_somebody

pytestmark = [pytest.mark.asyncio, pytest.mark.bwrap, pytest.mark.timeout(120)]


async def test_check_names_what_is_not_limited(bench: Bench) -> None:
    found = await bench.engine.check()
    assert found.usable
    for name in ("memory", "CPUs"):
        assert (name in found.reason) is (name in MISSING)
    assert ("processes" in found.reason) is ("processes" in MISSING and not counts_processes(platform.release()))
    assert [path.name for path in (bench.directory / "bwrap").iterdir()] == []


async def test_without_bubblewrap_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bwrap, "_bwrap", lambda: None)
    found = await bench.engine.check()
    assert not found.usable
    assert "not installed" in found.reason


async def test_a_sandbox_that_can_not_be_made_is_said_in_bubblewraps_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, for_everybody: Path
) -> None:
    """As where the kernel has no user namespaces for ordinary users."""
    program = for_everybody / "bwrap"
    program.write_text(
        "#!/bin/sh\n[ $1 = --version ] && exec echo bubblewrap 9.8.7\necho 'No permissions' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(bwrap, "_bwrap", lambda: str(program))
    found = await bench.engine.check()
    assert not found.usable
    assert found.reason == "bubblewrap 9.8.7: No permissions"


async def test_unknown_machine_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    found = await bench.engine.check()
    assert not found.usable
    assert "vax" in found.reason


@pytest.mark.skipif(not ROOT, reason="the tests above are an ordinary user's already")
async def test_an_ordinary_user_has_it_too(for_everybody: Path) -> None:
    """Limits that need root, or groups delegated to him, are missing and named; the isolation is whole."""
    code = f"""
import asyncio, json
from pathlib import Path
from containers.engines.bwrap import BwrapEngine
from containers.spec import Limits, Spec
from containers.workspace import program_user
place = Path({str(for_everybody)!r})
async def main():
    engine = BwrapEngine(place / "state")
    found = await engine.check()
    (place / "workspace").mkdir()
    command = ("{{python}}", "-u", "-c", {PROBE!r})
    limits = Limits(tmp_bytes={3 * MIB}, shm_bytes={2 * MIB})
    spec = Spec("none", place / "workspace", process_command=command, user=program_user(), limits=limits)
    ref = await engine.start(spec, "k1")
    said = b"".join([piece.data async for piece in engine.output(ref)])
    code = (await engine.wait(ref)).code
    await engine.remove(ref)
    await engine.close()
    print(json.dumps([found.usable, found.reason, code, said.decode()]))
asyncio.run(main())
"""
    done = await asyncio.to_thread(as_somebody, code)
    usable, reason, exit_code, said = json.loads(done.stdout)
    assert usable, reason
    processes = "" if counts_processes(platform.release()) else "processes, "
    assert reason.endswith(f"not limited here: memory, {processes}CPUs, number of files in /tmp")
    assert exit_code == 0, said
    inside = json.loads(said)
    assert inside["uid"] == [SOMEBODY] * 3
    assert set(inside["capabilities"]) == {"0000000000000000"}
    assert (inside["no_new_privs"], inside["seccomp"], inside["interfaces"]) == ("1", "2", ["lo"])
    assert {path for path, outcome in inside["write"].items() if outcome == "ok"} == {
        "/tmp/x",
        "/workspace/x",
        "/dev/shm/x",
    }
    assert (inside["tmp_bytes"], inside["shm_bytes"]) == (3 * MIB, 2 * MIB)
    assert (inside["unshare"]["user"], inside["mount"], inside["vsock"]) == ("EPERM", "EPERM", "EPERM")
    assert (for_everybody / "workspace" / "x").stat().st_uid == SOMEBODY
