"""The bundled agent in its image, in a container without a network: its model is asked through the run's socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from containers.gateway.place import GatewayPlace, listen
from containers.protocols import jsonl
from tests.containers.bench import Bench, built_image
from tests.images.agent_driving import GOLDEN, settled
from tests.images.test_agent_conversation import FIVE_STEPS
from tests.provider import MockProvider

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]
"""Whoever is first builds the image."""
PATIENCE_S = 120.0
"""It imports for seconds before it says anything."""
INSIDE = "http://127.0.0.1:3128/providers"
ENVIRONMENT = {
    "OPENAI_BASE_URL": f"{INSIDE}/openai/v1",
    "OPENAI_API_KEY": "agentsite",
    "AGENTSITE_GATEWAY": "/run/agentsite/gateway.sock",
}


@pytest_asyncio.fixture
async def way_out(docker_bench: Bench) -> AsyncIterator[tuple[Path, MockProvider]]:
    """A run's directory with a socket that leads to a mock provider, word for word."""
    directory = GatewayPlace(docker_bench.directory / "gateway").prepare("r1")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    with MockProvider() as provider:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(provider.host, provider.port)
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

        server = await asyncio.start_unix_server(serve, sock=listen(directory))
        yield directory, provider
        server.close()


async def test_it_works_in_its_image_without_a_network(docker_bench: Bench, way_out: tuple[Path, MockProvider]) -> None:
    bench, (directory, provider) = docker_bench, way_out
    image = await built_image("agent")
    notes = bench.workspace / "notes.txt"
    notes.write_text("one\ntwo\n")
    notes.chmod(0o666)
    provider.say(*FIVE_STEPS)
    spec = bench.command(image=image, gateway=directory, env=ENVIRONMENT)
    ref = await bench.engine.start(spec, bench.key())
    follower = bench.follow(ref)
    await bench.engine.send(ref, jsonl.start("r1", "Work.", [], {"model": "openai:gpt-5-mini"}))
    await follower.end(PATIENCE_S)
    assert (await bench.engine.wait(ref)).code == 0, bytes(follower.stderr).decode()
    events = [json.loads(line) for line in bytes(follower.stdout).splitlines() if line]
    golden = (GOLDEN / "five-steps.jsonl").read_text().splitlines()
    assert settled(events) == [json.loads(line) for line in golden]
    assert bytes(follower.stderr) == b""
    assert notes.read_text() == "one\ntwo\nthree\n"
    assert {request.path for request in provider.requests} == {"/providers/openai/v1/responses"}


async def test_it_says_so_when_there_is_no_way_out(docker_bench: Bench) -> None:
    bench = docker_bench
    image = await built_image("agent")
    spec = bench.command(image=image, env={"AGENT_RETRY_WAIT_S": "0.01"})
    ref = await bench.engine.start(spec, bench.key())
    follower = bench.follow(ref)
    await bench.engine.send(ref, jsonl.start("r1", "Work.", [], {"model": "anthropic:claude-haiku-5-5"}))
    await follower.end(PATIENCE_S)
    events = [json.loads(line) for line in bytes(follower.stdout).splitlines() if line]
    assert [event["type"] for event in events] == ["error", "done"]
    assert events[0]["code"] == "provider-unreachable"
