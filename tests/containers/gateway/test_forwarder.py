"""The forwarder: the gateway's socket as a proxy that any program knows to use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from tests.containers.gateway.site import Site

ASKS = """
import os, socket, sys
host, port = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
with socket.create_connection((host, int(port))) as proxy:
    proxy.sendall(b"CONNECT a.example:443 HTTP/1.1\\r\\n\\r\\nhello")
    proxy.shutdown(socket.SHUT_WR)
    answer = b"".join(iter(lambda: proxy.recv(65536), b""))
sys.stdout.write(answer.decode())
sys.stdout.write(sys.stdin.read())
sys.exit(7)
"""


@contextlib.asynccontextmanager
async def forwarded(site: Site, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(site.directory / "forward.py"),
        *arguments,
        env={"AGENTSITE_GATEWAY": str(site.directory / "gateway.sock"), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # as the end of a container does
    await process.wait()


async def test_the_forwarder_is_a_proxy_for_a_program_that_knows_only_proxies(site: Site):
    """The program's own stdin, stdout and exit code are untouched."""
    await site.gateway("a.example:443")
    async with forwarded(site, "--port", "0", "--", sys.executable, "-c", ASKS) as program:
        out, err = await asyncio.wait_for(program.communicate(b"to stdin"), 20)
        assert (program.returncode, err.decode()) == (7, "")
    assert out.endswith(b"\r\n\r\nHELLOto stdin")


async def test_the_forwarder_waits_for_a_gateway_that_is_being_taken_over(site: Site):
    gateway = await site.gateway()
    await gateway.close()
    program = f"print('asks', flush=True){ASKS}"
    async with forwarded(site, "--port", "0", "--", sys.executable, "-c", program) as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"asks\n"
        done, _ = await asyncio.wait([asyncio.create_task(process.wait())], timeout=1)
        assert not done, "it has given up, or was not refused"
        await site.gateway()
        out, _ = await asyncio.wait_for(process.communicate(b""), 20)
    assert b"HELLO" in out


async def test_a_command_that_is_not_there(site: Site):
    async with forwarded(site, "--port", "0", "--", "no-such-command") as program:
        _, err = await asyncio.wait_for(program.communicate(), 20)
    assert program.returncode == 1
    assert err.startswith(b"forward.py: cannot run 'no-such-command'")


@pytest.mark.parametrize("arguments", [[], ["--"], ["true"], ["--port", "--", "true"], ["--port", "x", "--", "true"]])
async def test_how_the_forwarder_is_called(site: Site, arguments: list[str]):
    async with forwarded(site, *arguments) as program:
        _, err = await asyncio.wait_for(program.communicate(), 20)
    assert program.returncode == 1
    assert err.startswith(b"usage: forward.py")
