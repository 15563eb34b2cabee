from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from containers.engines.names import name_of
from containers.errors import EngineError, EngineUnavailable
from containers.registry import ENGINES, Place, choose, survey
from tests.containers.bench import Bench
from tests.servers.needs import docker_url

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def bench(docker_bench: Bench) -> AsyncIterator[Bench]:
    yield docker_bench


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Of a machine without a daemon."""
    nobody = f"unix://{tmp_path}/no.sock"
    return Place(state_dir=tmp_path / "state", docker_url=nobody, podman_url=nobody)


@pytest.fixture
def without_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.engines.bwrap._bwrap", lambda: None)


@pytest.mark.usefixtures("without_bwrap")
async def test_auto_takes_the_first_that_can_be_used_and_says_why_not_the_others(place: Place) -> None:
    choice = await choose("auto", place)
    assert choice.engine.name == "process"
    reasons = {engine.name: availability.reason for engine, availability in choice.considered}
    assert list(reasons) == ["docker", "podman", "bwrap", "process"]
    assert "no Docker at" in reasons["docker"]
    assert "no Podman at" in reasons["podman"]
    assert "no such socket" in reasons["podman"]
    assert "not installed" in reasons["bwrap"]
    await choice.engine.close()


@pytest.mark.bwrap
async def test_auto_prefers_a_sandbox_to_nothing(place: Place) -> None:
    choice = await choose("auto", place)
    assert (choice.engine.name, choice.engine.isolation) == ("bwrap", "sandbox")
    assert [engine.name for engine, _ in choice.considered] == ["docker", "podman", "bwrap"]
    await choice.engine.close()


async def test_auto_goes_past_what_it_is_told_to(place: Place) -> None:
    choice = await choose("auto", place, without=("docker", "podman", "bwrap"))
    assert [engine.name for engine, _ in choice.considered] == ["process"]
    await choice.engine.close()


@pytest.mark.docker
async def test_auto_prefers_containers(place: Place) -> None:
    choice = await choose("auto", replace(place, docker_url=docker_url()))
    assert (choice.engine.name, choice.engine.isolation) == ("docker", "container")
    await choice.engine.close()


async def test_engine_that_was_asked_for_is_not_replaced_by_another(place: Place) -> None:
    with pytest.raises(EngineUnavailable, match="docker: no Docker at"):
        await choose("docker", place)


async def test_unknown_engine_is_an_error_that_names_the_known(place: Place) -> None:
    with pytest.raises(EngineError, match="auto, docker, podman, bwrap, process"):
        await choose("kubernetes", place)


@pytest.mark.usefixtures("without_bwrap")
async def test_survey_asks_every_engine(place: Place) -> None:
    found = await survey(place)
    usable = {engine.name: availability.usable for engine, availability in found}
    assert usable == {"docker": False, "podman": False, "bwrap": False, "process": True}
    for engine, _ in found:
        await engine.close()
    assert [engine.name for engine, _ in found] == list(ENGINES)


async def test_names_are_safe_and_do_not_collide() -> None:
    assert name_of("0199-abc_D.e") == "agentsite-0199-abc_D.e"
    strange = ["", "../x", "a b", "ä", "x" * 200, "-x", ".x", "a/b", "a\x00b", "\ud800"]
    names = {name_of(key) for key in strange}
    assert len(names) == len(strange)
    assert all(name.replace("agentsite.", "").isalnum() for name in names)
