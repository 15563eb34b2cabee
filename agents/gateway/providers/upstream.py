"""The way to the providers, one a worker: connections that are kept alive, and the keys in use.

Redirects are not followed, cookies not kept, and the machine's proxy settings not asked: what is reached is what the
settings say.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from agents.gateway.providers.keys import Keyring

CONNECT_TIMEOUT_S = 15.0
SILENCE_TIMEOUT_S = 600.0
"""How long a provider may say nothing: models that think take minutes to their first word."""
KEEPALIVE_S = 30.0
CONNECTIONS = 1000
"""Of one worker to all providers at once; more calls wait."""


class Upstream:
    def __init__(self) -> None:
        self.keys = Keyring()
        self.without_stream_options: set[str] = set()
        """Base URLs of servers that refuse them."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
        )

    async def ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """The head of the answer. Raises aiohttp.ClientError or TimeoutError."""
        data = io.BytesIO(body) if isinstance(body, bytes) else body  # a file is sent in pieces, bytes in one
        return await self._session.request(
            method, URL(url, encoded=True), headers=headers, data=data, allow_redirects=False
        )

    async def close(self) -> None:
        await self._session.close()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Upstream] = WeakKeyDictionary()


def upstream() -> Upstream:
    """This worker's: that of the loop that runs, made when first asked for."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = Upstream()
    return found


async def close_upstream() -> None:
    found = _of_loop.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
