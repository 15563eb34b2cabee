"""What every engine promises of what a program prints: every byte, to everybody, from wherever."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.interface import BEGINNING, Offset
from containers.spec import MIB, Limits
from tests.containers.bench import DEADLINE_S, Bench
from tests.contract.programs import ECHO

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


async def test_output_resumes_at_any_byte(bench: Bench) -> None:
    code = """
import sys
for number in range(400):
    sys.stdout.write(f"out {number} " + "x" * (number % 37) + "\\n")
    sys.stderr.write(f"err {number}" + "\\n" * (number % 3))
sys.stdout.write("y" * 40000 + "no newline at the end")
"""
    ref = await bench.start(code)
    stdout, stderr = await bench.read(ref)
    assert stdout.endswith(b"yno newline at the end")
    assert stderr.decode() == "".join(f"err {number}" + "\n" * (number % 3) for number in range(400))
    loop = asyncio.get_running_loop()

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, len(stdout)), st.integers(0, len(stderr)))
    def exactly_the_rest_comes(out_at: int, err_at: int) -> None:
        reading = bench.read(ref, Offset(out_at, err_at))
        rest = asyncio.run_coroutine_threadsafe(reading, loop).result(DEADLINE_S)
        assert rest == (stdout[out_at:], stderr[err_at:])

    await asyncio.to_thread(exactly_the_rest_comes)


async def test_any_bytes_pass(bench: Bench) -> None:
    """Except that an engine may store text: what is not UTF-8 may then come out as U+FFFD, byte by byte."""
    code = r"""
import sys
sys.stdout.buffer.write(b"nul \x00 bell \x07 high \xff\xfe \xc3\xa4\r\n\n\n tail")
"""
    stdout, _, _ = await bench.run(code)
    assert stdout.decode("utf-8", "replace") == "nul \x00 bell \x07 high \ufffd\ufffd ä\r\n\n\n tail"


async def test_a_line_of_megabytes_passes(bench: Bench) -> None:
    code = f"""
import os
line = memoryview(b"ab" * {2 * MIB} + b"\\n")
while line:
    line = line[os.write(1, line):]  # gVisor writes a part of it, and Python's unbuffered print forgets the rest
"""
    stdout, _, _ = await bench.run(code)
    assert stdout == b"ab" * 2 * MIB + b"\n"


@pytest.mark.slow
async def test_much_output_passes_exactly(bench: Bench) -> None:
    code = """
import hashlib, sys
total = hashlib.sha256()
for number in range(100_000):
    line = f"{number} ".encode() * 20 + b"\\n"
    total.update(line)
    sys.stdout.buffer.write(line)
print(total.hexdigest(), file=sys.stderr)
"""
    stdout, stderr, _ = await bench.run(code)
    assert hashlib.sha256(stdout).hexdigest().encode() == stderr.strip()


async def test_the_last_lines_before_the_end_are_never_lost(bench: Bench) -> None:
    for _ in range(8):
        ref = await bench.start("import sys; sys.stdin.readline(); print('x' * 50000); print('last')")
        follower = bench.follow(ref)
        await bench.engine.send(ref, b"now")
        assert await follower.end() == b"x" * 50000 + b"\nlast\n"


async def test_output_cap_does_not_block_the_program(bench: Bench) -> None:
    code = """
for number in range(40_000):
    print(f"{number:099d}")
open("finished", "w").close()
"""
    cap = 256 * 1024
    ref = await bench.start(code, limits=Limits(output_bytes=cap))
    async with asyncio.timeout(DEADLINE_S):
        assert (await bench.engine.wait(ref)).code == 0
    assert (bench.workspace / "finished").exists()
    stdout, _ = await bench.read(ref)
    assert len(stdout) > cap
    whole = "".join(f"{number:099d}\n" for number in range(40_000)).encode()
    assert whole.startswith(stdout)


async def test_slow_reader_delays_only_itself(bench: Bench) -> None:
    line = "x" * 1000
    ref = await bench.start(f"for _ in range(10_000): print({line!r})")
    reading = bench.engine.output(ref, BEGINNING)
    read = bytearray((await anext(reading)).data)
    async with asyncio.timeout(DEADLINE_S):
        assert (await bench.engine.wait(ref)).code == 0
        async for piece in reading:
            read += piece.data
    assert len(read) == 10_000 * 1001


async def test_output_comes_as_it_is_printed(bench: Bench) -> None:
    ref = await bench.start(ECHO)
    follower = bench.follow(ref)
    for number in range(5):
        await bench.engine.send(ref, b"%d" % number)
        await follower.until(b"got %d\n" % number)
