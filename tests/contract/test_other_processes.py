"""What one process starts, reads and writes, another goes on with: each of them may be killed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from containers.interface import Offset
from containers.spec import Spec
from tests.containers.bench import DEADLINE_S, Bench
from tests.contract.programs import COUNT_RUNS, ECHO

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


async def test_same_key_starts_once_whoever_asks(bench: Bench) -> None:
    spec, key = bench.spec(COUNT_RUNS), bench.key()
    elsewhere = await bench.other_process("start", spec=_plain(spec), key=key)
    other = bench.another_engine()
    refs = await asyncio.gather(*(engine.start(spec, key) for engine in (bench.engine, bench.engine, other, other)))
    refs.append(json.loads(await _line(elsewhere)))
    elsewhere.kill()
    await elsewhere.wait()
    assert len(set(refs)) == 1
    assert await bench.read(refs[0]) == (b"ran\n", b"")
    assert (bench.workspace / "runs").read_text() == "x"


async def test_another_reader_goes_on_where_a_killed_one_was(bench: Bench) -> None:
    code = """
import os, sys, time
for number in range(3000):
    print(number)
    if number % 500 == 0:
        print(-number, file=sys.stderr)
        time.sleep(0.05)
    while number == 2000 and not os.path.exists("go"):
        time.sleep(0.01)
"""
    killed = await bench.other_process("read", spec=_plain(bench.spec(code)), key=bench.key())
    ref, stdout, stderr = json.loads(await _line(killed))
    killed.kill()
    await killed.wait()
    assert (await bench.engine.inspect(ref)).exit is None
    (bench.workspace / "go").touch()
    rest = await bench.read(ref, Offset(len(stdout), len(stderr)))
    assert (stdout.encode() + rest[0]).split() == [b"%d" % number for number in range(3000)]
    assert (stderr.encode() + rest[1]).split() == [b"%d" % -number for number in range(0, 3000, 500)]


async def test_stdin_stays_open_when_its_sender_dies(bench: Bench) -> None:
    ref = await bench.start(ECHO)
    follower = bench.follow(ref)
    sender = await bench.other_process("send", ref=ref, line="one")
    assert json.loads(await _line(sender)) == "sent"
    await follower.until(b"got one\n")
    sender.kill()
    await sender.wait()
    await bench.engine.send(ref, b"two")
    await follower.until(b"got two\n")
    assert b"end of stdin" not in follower.stdout


async def test_program_outlives_whoever_started_it(bench: Bench) -> None:
    worker = await bench.other_process("start", spec=_plain(bench.spec(ECHO)), key=bench.key())
    ref = json.loads(await _line(worker))
    worker.kill()
    await worker.wait()
    follower = bench.follow(ref)
    await bench.engine.send(ref, b"still there?")
    await follower.until(b"got still there?\n")


def _plain(spec: Spec) -> dict[str, Any]:
    return {
        "image": spec.image,
        "workspace": str(spec.workspace),
        "command": list(spec.command),
        "labels": dict(spec.labels),
        "runtime": spec.runtime,
    }


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        line = await process.stdout.readline()
    assert line, "the other process has ended"
    return line
