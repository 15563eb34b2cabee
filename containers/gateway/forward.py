"""Gives a program in a container without network an HTTP proxy on 127.0.0.1, which is the run's gateway.

    python3 /run/agentsite/forward.py [--port 3128] -- COMMAND [ARGUMENT…]

COMMAND takes this process's place, with HTTPS_PROXY and its kin set; the forwarder goes on beside it. Standard
 library only, and nothing of this package: it is copied into containers. While a worker dies and another takes
over nobody listens on the gateway's socket: a connection waits for that one.
"""

# ruff: noqa: PTH119, PTH120

from __future__ import annotations

import os
import socket
import sys

GATEWAY = os.environ.get("AGENTSITE_GATEWAY", "/run/agentsite/gateway.sock")
PORT = 3128
PATIENCE_S, PAUSE_S = 90.0, 0.2
"""For a takeover: how long a connection waits for the gateway, and how often it looks."""
COPY_BYTES = 64 * 1024
USAGE = "usage: forward.py [--port PORT] -- COMMAND [ARGUMENT…]"


def main(arguments: list[str]) -> None:
    port, command = _parse(arguments)
    listening = socket.create_server(("127.0.0.1", port))
    address = "http://127.0.0.1:%d" % listening.getsockname()[1]  # noqa: UP031 - runs on any Python 3
    if forked := os.fork():
        os.waitpid(forked, 0)
        listening.close()
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            os.environ[name] = os.environ[name.lower()] = address
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"
        os.environ["NODE_USE_ENV_PROXY"] = "1"
        try:
            os.execvp(command[0], command)
        except OSError as error:
            sys.exit(f"forward.py: cannot run {command[0]!r}: {error.strerror}")
    if os.fork():  # not a child of COMMAND, which may wait for all that it has
        os._exit(0)
    _leave_stdio()
    _forward(listening)


def _parse(arguments: list[str]) -> tuple[int, list[str]]:
    port = PORT
    if arguments[:1] == ["--port"] and len(arguments) > 1 and arguments[1].isdigit():
        port, arguments = int(arguments[1]), arguments[2:]
    if arguments[:1] != ["--"] or len(arguments) < 2:
        sys.exit(USAGE)
    return port, arguments[1:]


def _leave_stdio() -> None:
    """Stdin and stdout are the program's alone."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _forward(listening: socket.socket) -> None:
    import asyncio  # here: COMMAND need not wait for it

    os.chdir(
        os.path.dirname(GATEWAY)
    )  # a socket's path has at most 107 bytes, and that of a data directory may be longer

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                return await asyncio.open_unix_connection(os.path.basename(GATEWAY))
            except OSError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(COPY_BYTES):
                target.write(data)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()
        except OSError:
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            gateway_reader, gateway_writer = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, gateway_writer), copy(gateway_reader, writer))
        gateway_writer.close()
        writer.close()

    async def forever() -> None:
        server = await asyncio.start_server(serve, sock=listening)
        await server.serve_forever()

    asyncio.run(forever())


if __name__ == "__main__":
    main(sys.argv[1:])
