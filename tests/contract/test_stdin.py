"""What every engine promises of the lines that it is given for a program."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import suppress

import pytest

from containers.errors import EngineError
from containers.spec import MIB
from tests.containers.bench import Bench, eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


async def test_lines_arrive_whole_and_in_order(bench: Bench) -> None:
    code = """
import hashlib, sys
for line in sys.stdin:
    print(hashlib.sha256(line.rstrip("\\n").encode()).hexdigest())
    if line == "quit\\n":
        break
"""
    ref = await bench.start(code)
    lines = [b'{"type":"start"}', "häß 😀".encode(), b"x" * 3 * MIB, *(b"%d" % n for n in range(20)), b"quit"]
    for line in lines:
        await bench.engine.send(ref, line)
    stdout, _ = await bench.read(ref)
    assert stdout.split() == [hashlib.sha256(line).hexdigest().encode() for line in lines]


async def test_concurrent_senders_do_not_mix_their_lines(bench: Bench) -> None:
    code = """
import sys
seen = 0
for line in sys.stdin:
    assert len(set(line.strip())) <= 1, line[:50]
    seen += bool(line.strip())
    if seen == 12:
        break
print(seen)
"""
    ref = await bench.start(code)
    await asyncio.gather(*(bench.engine.send(ref, letter.encode() * 100_000) for letter in "abcdefghijkl"))
    assert await bench.read(ref) == (b"12\n", b"")


async def test_program_that_does_not_read_does_not_block_the_sender(bench: Bench) -> None:
    code = """
import os, sys, time
print("ready")
while not os.path.exists("go"):
    time.sleep(0.01)
print([len(line) for line in (sys.stdin.readline(), sys.stdin.readline())])
"""
    bench.engine._sender._timeout_s = 1.0  # type: ignore[attr-defined]
    ref = await bench.start(code)
    began = time.monotonic()
    with pytest.raises(EngineError, match="does not read"):
        await bench.engine.send(ref, b"x" * 8 * MIB)
    with pytest.raises(EngineError, match="does not read"):
        await bench.engine.send(ref, b"refused")
    assert time.monotonic() - began < 5
    (bench.workspace / "go").touch()
    await eventually(lambda: _sends(bench, ref, b"small"))
    stdout, _ = await bench.read(ref)
    assert stdout == b"ready\n[%d, 6]\n" % (8 * MIB + 1)


async def test_sending_to_a_program_that_has_ended_is_an_error(bench: Bench) -> None:
    ref = await bench.start("pass")
    await bench.engine.wait(ref)
    with pytest.raises(EngineError):
        await bench.engine.send(ref, b"hello?")


async def _sends(bench: Bench, ref: str, line: bytes) -> bool:
    with suppress(EngineError):
        await bench.engine.send(ref, line)
        return True
    return False
