"""A site with workers in this process: real Redis, real database, real containers or processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from tests.servers import RedisServer

if TYPE_CHECKING:
    from tests.agents.provider_way import Way
    from tests.agents.site import Site
    from tests.provider import MockProvider


@pytest.fixture(scope="session")
def database_threads(django_db_setup: None) -> Iterator[None]:
    """The log's own connections, closed before the test database is dropped."""
    yield
    from streaming.store.database import close_threads

    close_threads()


@dataclass
class Parts:
    """What a site is made of."""

    directory: Path
    settings: Any
    monkeypatch: pytest.MonkeyPatch

    def site(self, engine: str) -> Iterator[Site]:
        from tests.agents.site import Site

        image = "none"
        if engine == "docker":
            from tests.containers.bench import docker_image

            image = asyncio.run(docker_image())
        site = Site(engine, image, self.directory, self.settings, self.monkeypatch)
        yield site
        site.close()


@pytest.fixture
def parts(
    database_threads: None,
    transactional_db: None,
    healthy_redis: RedisServer,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Parts:
    return Parts(tmp_path, settings, monkeypatch)


@pytest.fixture
def site(parts: Parts) -> Iterator[Site]:
    """With the engine that every machine has."""
    yield from parts.site("process")


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def any_site(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Site]:
    """With every engine there is."""
    yield from parts.site(request.param)


@pytest.fixture
def provider(settings: Any) -> Iterator[MockProvider]:
    """Takes that one key; Ollama takes none."""
    from tests.agents.bundled import KEY
    from tests.provider import MockProvider

    with MockProvider() as running:
        settings.OPENAI_BASE_URL = f"{running.url}/v1"
        settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = settings.OLLAMA_BASE_URL = running.url
        settings.PROVIDER_KEYS = {name: SecretStr(KEY) for name in ("openai", "anthropic", "gemini")}
        yield running


@pytest.fixture
async def way(tmp_path: Path, settings: Any) -> AsyncIterator[Way]:
    """To a provider that says what a test has scripted."""
    from containers.gateway import GatewayPlace
    from tests.agents.mock_upstream import MockUpstream
    from tests.agents.provider_way import KEY, Way

    mock = MockUpstream()
    settings.OPENAI_BASE_URL = f"{mock.url}/v1"
    settings.ANTHROPIC_BASE_URL = settings.GEMINI_BASE_URL = settings.OLLAMA_BASE_URL = mock.url
    settings.PROVIDER_KEYS = {name: SecretStr(KEY) for name in ("openai", "anthropic", "gemini")}
    made = Way(GatewayPlace(tmp_path / "gateway").prepare("r1"), mock)
    await made.open()
    yield made
    await made.close()
    mock.close()


@pytest.fixture(scope="session")
def agent_image() -> str:
    from tests.containers.bench import built_image

    return asyncio.run(built_image("agent"))


@pytest.fixture
def docker_site(parts: Parts) -> Iterator[Site]:
    yield from parts.site("docker")
