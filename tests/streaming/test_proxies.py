"""Event streams through proxies: each frame comes when it was sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import pytest
import pytest_asyncio

from tests.servers import PostgresServer
from tests.servers.proxies import Proxy
from tests.streaming.server import WebServer
from tests.streaming.world import HandWriter, World

pytestmark = pytest.mark.proxies
FRAMES = 3
BUFFER_FRAMES = 40
"""Two of nginx's buffers of 4 KiB full of them."""
AT_ONCE_S, PATIENCE_S = 5.0, 14.0
"""On a busy machine. What a proxy holds back comes with a heartbeat, after 15 s, or never."""
EAGER = """
    gzip on;
    gzip_types text/event-stream;
    gzip_min_length 0;
    gzip_proxied any;
    server { listen 127.0.0.1:PORT; location / { proxy_pass http://UPSTREAM; } }
"""
"""As there are many: it compresses all it may, and knows nothing of streams."""


@pytest_asyncio.fixture
async def web(world: World, postgres_server: PostgresServer, settings) -> AsyncIterator[WebServer]:
    settings.LEASE_S = 300.0  # our writer has nobody who renews it
    web = WebServer(world, postgres_server, {})
    await web.start()
    yield web
    await web.close()


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Starts one: its name, what is behind it, and a configuration if it is not the documented one."""
    started: list[Proxy] = []

    def start(name: str, upstream: str, config: str | None = None) -> Proxy:
        started.append(Proxy(name))
        return started[-1].start(upstream, config)

    yield start
    for one in reversed(started):
        one.close()


@contextlib.asynccontextmanager
async def following(web: WebServer, agent_id: str, url: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Gives a function that waits for a frame by its cursor, as long as nothing holds it back."""
    async with (
        aiohttp.ClientSession(url, headers={**web.authorization, "Accept-Encoding": "gzip"}) as client,
        client.get(f"/api/agents/{agent_id}/stream?after=0-0", ssl=False) as answer,
    ):
        assert answer.status == 200

        async def sees(cursor: str) -> None:
            while await answer.content.readline() != f"id: {cursor}\n".encode():
                pass

        yield sees


async def writer_of(web: WebServer, world: World) -> HandWriter:
    writer = HandWriter(world.bus, await web.agent())
    await writer.take_over()
    return writer


async def assert_each_comes_at_once(web: WebServer, world: World, url: str) -> None:
    writer = await writer_of(web, world)
    async with asyncio.timeout(PATIENCE_S), following(web, writer.agent_id, url) as sees:
        for number in range(1, FRAMES + 1):
            await writer.publish()
            await asyncio.wait_for(sees(f"1-{number}"), AT_ONCE_S)


async def test_frames_come_at_once_through_the_documented_proxies(
    web: WebServer, world: World, proxy: Callable[..., Proxy]
):
    """Also through another nginx in front of that one."""
    caddy, nginx = proxy("caddy", web.address), proxy("nginx", web.address)
    outer = proxy("nginx", nginx.address, EAGER.replace("http://UPSTREAM", "https://UPSTREAM"))
    for url in (f"https://{caddy.address}", f"https://{nginx.address}", f"http://{outer.address}"):
        await assert_each_comes_at_once(web, world, url)


async def test_two_proxies_that_buffer_and_compress_hold_back_no_more_than_a_buffer(
    web: WebServer, world: World, proxy: Callable[..., Proxy]
):
    """The first follows `X-Accel-Buffering` and takes it away, so the second fills its buffer of 4 KiB first.
    Compressed, a hundred KiB of frames would go into it."""
    inner = proxy("nginx", web.address, EAGER)
    outer = proxy("nginx", inner.address, EAGER)
    writer = await writer_of(web, world)
    await writer.publish(BUFFER_FRAMES)
    async with asyncio.timeout(PATIENCE_S), following(web, writer.agent_id, f"http://{outer.address}") as sees:
        for _ in range(FRAMES):
            await writer.publish(BUFFER_FRAMES)
            await asyncio.wait_for(sees(f"1-{writer.seq - BUFFER_FRAMES}"), AT_ONCE_S)
