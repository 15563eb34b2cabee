"""The providers' own clients, by the way of a container: forward.py, the run's socket, the worker. When that dies in a
call, the call that is made again is answered by the next one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from pydantic import SecretStr

from containers.gateway import GatewayPlace, place
from tests.agents.provider_way import KEY, Way
from tests.provider import MockProvider, turn
from tests.servers.ports import ReservedPort

WORDS = "Hello from a mock, in several pieces."
ASKED: Any = [{"role": "user", "content": "hi"}]
BROKEN = (openai.APIConnectionError, anthropic.APIConnectionError, httpx.TransportError, httpx2.TransportError,
          aiohttp.ClientError, ConnectionError)  # fmt: skip
FORWARD = Path(place.__file__).with_name("forward.py")
IDLES = "print('on', flush=True); import time; time.sleep(3600)"
PATIENCE_S = 60.0
Heard = Callable[[str], None]


async def ask_openai(url: str, heard: Heard) -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/openai/v1", api_key="agentsite", max_retries=5) as client:
        async for chunk in await client.chat.completions.create(model="gpt-5-mini", messages=ASKED, stream=True):
            heard("".join(choice.delta.content or "" for choice in chunk.choices))


async def ask_anthropic(url: str, heard: Heard) -> None:
    client = anthropic.AsyncAnthropic(base_url=f"{url}/anthropic", api_key="agentsite", max_retries=5)
    async with client, client.messages.stream(model="claude-haiku-5-5", max_tokens=99, messages=ASKED) as stream:
        async for text in stream.text_stream:
            heard(text)


async def ask_gemini(url: str, heard: Heard) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as http:
        options: Any = {"base_url": f"{url}/gemini", "httpx_async_client": http}
        client = genai.Client(api_key="agentsite", http_options=options)
        async for chunk in await client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="hi"):
            heard(chunk.text or "")


CLIENTS: dict[str, Callable[[str, Heard], Awaitable[None]]] = {
    "openai": ask_openai,
    "anthropic": ask_anthropic,
    "gemini": ask_gemini,
}
every_client = pytest.mark.parametrize("name", CLIENTS)


@pytest.fixture
def provider(settings: Any) -> Any:
    with MockProvider() as running:
        settings.OPENAI_BASE_URL = running.base("openai")
        settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = settings.OLLAMA_BASE_URL = running.url
        settings.PROVIDER_KEYS = {name: SecretStr(KEY) for name in ("openai", "anthropic", "gemini")}
        yield running


@pytest.fixture
async def way(tmp_path: Path, provider: MockProvider) -> AsyncIterator[Way]:
    made = Way(GatewayPlace(tmp_path / "gateway").prepare("r1"), None)  # type: ignore[arg-type]
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def url(way: Way) -> AsyncIterator[str]:
    """Where programs find the providers."""
    port = ReservedPort()
    port.release()
    socket = str(way.directory / place.SOCKET)
    forwarder = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FORWARD), "--port", str(port.number), "--", sys.executable, "-c", IDLES),
        env={place.GATEWAY_VARIABLE: socket, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert forwarder.stdout is not None
    await forwarder.stdout.readline()
    yield f"http://127.0.0.1:{port.number}/providers"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(forwarder.pid, signal.SIGKILL)  # what forwards is no child of its command, but of its session
    await forwarder.wait()


async def requests(provider: MockProvider, count: int) -> None:
    await asyncio.to_thread(provider.wait_for_requests, count)


@every_client
async def test_it_understands_what_is_streamed_and_it_is_counted(
    way: Way, provider: MockProvider, url: str, name: str
) -> None:
    provider.say(turn(WORDS, input_tokens=12, output_tokens=7))
    heard: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        await CLIENTS[name](url, heard.append)
    assert "".join(heard) == WORDS
    assert len([piece for piece in heard if piece]) > 1, "as it comes"
    ((entered_for, counted, estimated),) = way.books.entered
    assert (entered_for, counted.input_tokens, counted.output_tokens, estimated) == (name, 12, 7, False)
    (asked,) = provider.requests
    assert KEY in f"{asked.headers}"
    assert "agentsite" not in f"{asked.headers.values()}{asked.path}"


@every_client
async def test_a_call_whose_worker_died_in_the_middle_is_made_again_and_meets_the_next(
    way: Way, provider: MockProvider, url: str, name: str
) -> None:
    never = threading.Event()
    provider.say(turn(WORDS, hold_last=never), turn(WORDS))
    heard: list[str] = []
    begun = asyncio.Event()

    def hear(text: str) -> None:
        heard.append(text)
        begun.set()

    async def program() -> None:
        while True:
            heard.clear()
            try:
                await CLIENTS[name](url, hear)
                return
            except BROKEN:
                assert not "".join(heard).endswith(WORDS[-4:]), "it broke off"

    running = asyncio.create_task(program())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
        await way.die()  # its program asks again, while nobody is there
        await way.open()
        await running
    assert "".join(heard) == WORDS
    assert len(provider.requests) == 2


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_clients_that_try_again_by_themselves_meet_the_next_worker_unseen(
    way: Way, provider: MockProvider, url: str, name: str
) -> None:
    """Before the first byte of an answer."""
    provider.say(turn(WORDS, hold=threading.Event()), turn(WORDS))
    heard: list[str] = []
    running = asyncio.ensure_future(CLIENTS[name](url, heard.append))
    async with asyncio.timeout(PATIENCE_S):
        await requests(provider, 1)
        await way.die()
        await way.open()
        await running
    assert "".join(heard) == WORDS
    assert len(provider.requests) == 2
