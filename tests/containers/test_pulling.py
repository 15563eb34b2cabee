"""Pulling through the docker engine, from a registry of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from containers.engines import docker as docker_engine
from containers.engines.docker import DockerEngine
from containers.engines.process import ProcessEngine
from containers.engines.pulling import Layers
from containers.errors import ImageMissing, PullFailed
from containers.images.base import is_local
from containers.interface import Puller, PullProgress
from tests.containers.bench import Bench
from tests.containers.image_registry import ImageRegistry, image_registry


@pytest_asyncio.fixture
async def registry(docker_bench: Bench) -> AsyncIterator[ImageRegistry]:
    with image_registry(8 * 2**20) as registry:
        yield registry
        engine = docker_bench.engine
        assert isinstance(engine, DockerEngine)
        if await is_local(engine._api, registry.reference):
            await engine._api.delete_image(registry.reference)


@pytest.fixture
def engine(docker_bench: Bench) -> DockerEngine:
    assert isinstance(docker_bench.engine, DockerEngine)
    return docker_bench.engine


@pytest.mark.docker
async def test_a_missing_image_is_there_afterwards(docker_bench: Bench, engine: DockerEngine, registry) -> None:
    spec = docker_bench.spec("", image=registry.reference)
    with pytest.raises(ImageMissing):
        await engine.check_image(spec)
    registry.let_all()
    steps = [step async for step in engine.pull(registry.reference)]
    assert steps[-1].done_bytes == steps[-1].total_bytes == len(registry.blobs[registry.layer])
    assert steps == sorted(steps), "progress went back"
    await engine.check_image(spec)


@pytest.mark.docker
async def test_progress_comes_while_the_layer_does(engine: DockerEngine, registry) -> None:
    async with asyncio.timeout(30), aclosing(engine.pull(registry.reference)) as steps:
        registry.let(10)
        async for step in steps:
            if step.done_bytes:
                break
    assert 0 < step.done_bytes <= 10 * 64 * 1024
    assert step.total_bytes == len(registry.blobs[registry.layer])


@pytest.mark.docker
async def test_who_gives_up_makes_the_daemon_give_up(engine: DockerEngine, registry) -> None:
    async with asyncio.timeout(30), aclosing(engine.pull(registry.reference)) as steps:
        registry.let(10)
        async for step in steps:
            if step.done_bytes:
                break
    assert await asyncio.to_thread(registry.is_broken_off)
    assert not await is_local(engine._api, registry.reference)


@pytest.mark.docker
async def test_a_registry_that_falls_silent_is_given_up(engine: DockerEngine, registry, monkeypatch) -> None:
    monkeypatch.setattr(docker_engine, "PULL_SILENCE_S", 0.5)
    with pytest.raises(PullFailed, match="nothing heard for") as failed:
        async for _ in engine.pull(registry.reference):
            pass
    assert failed.value.retryable


@pytest.mark.docker
async def test_what_the_registry_has_not_is_refused_for_good(engine: DockerEngine, registry) -> None:
    with pytest.raises(PullFailed, match="no-such") as failed:
        async for _ in engine.pull(registry.reference.replace(registry.name, "no-such")):
            pass
    assert "\n" not in str(failed.value)


@pytest.mark.docker
async def test_a_registry_that_is_not_there_may_be_later(engine: DockerEngine) -> None:
    with pytest.raises(PullFailed, match="connection refused") as failed:
        async for _ in engine.pull("127.0.0.1:1/nothing:1"):
            pass
    assert failed.value.retryable


def test_only_engines_with_images_pull() -> None:
    assert issubclass(DockerEngine, Puller)
    assert not issubclass(ProcessEngine, Puller)


def test_layers_add_up_and_never_go_back() -> None:
    layers = Layers()
    said: list[dict[str, Any]] = [
        {"status": "Pulling from library/x", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
        {"status": "Already exists", "progressDetail": {}, "id": "b"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 50}, "id": "c"},
        {"status": "Downloading", "progressDetail": {"current": 3, "total": 100}, "id": "a"},  # it began again
        {"status": "Downloading", "progressDetail": {"current": 999}, "id": "d"},  # of unknown length
        {"status": "Download complete", "progressDetail": {}, "id": "a"},
        {"status": "Extracting", "progressDetail": {"current": 1, "total": 100}, "id": "a"},
        {"status": "Digest: sha256:0"},
    ]
    assert [layers.take(step) for step in said] == [
        *[PullProgress(0, 0)] * 3,
        PullProgress(10, 100),
        *[PullProgress(15, 150)] * 3,
        *[PullProgress(105, 150)] * 3,
    ]
