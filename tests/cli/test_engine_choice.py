"""The engine that `up` takes, and the line that says why."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentsite.cli import checks
from agentsite.cli.problem import CliProblem
from agentsite.environment import Environment
from tests.servers import needs

WITHOUT_DOCKER = "process" if needs.bwrap_problem() else "bwrap"


@pytest.fixture(autouse=True)
def settings_of_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Podman. `up` puts its choice into the environment: that is put back, too."""
    monkeypatch.setenv("AGENTSITE_ENGINE", "auto")
    monkeypatch.setenv("AGENTSITE_PODMAN_HOST", f"unix://{tmp_path}/podman.sock")


def chosen(directory: Path) -> tuple[str, list[str]]:
    said: list[str] = []
    return asyncio.run(checks.choose_engine(Environment(), directory, said.append)), said


def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ensure(url: str, say: Callable[[str], None]) -> str:
        return "no base"

    monkeypatch.setattr("agentsite.cli.images.ensure_images", ensure)


def test_without_a_daemon_it_says_why_and_what_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTSITE_DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    line, said = chosen(tmp_path)
    assert said == []
    isolation = {"bwrap": "sandbox", "process": "none"}[WITHOUT_DOCKER]
    assert line.startswith(f"engine: {WITHOUT_DOCKER}, isolation: {isolation} (")
    assert f"; not docker: no Docker at unix://{tmp_path}/docker.sock: no such socket" in line
    assert f"; not podman: no Podman at unix://{tmp_path}/podman.sock: no such socket" in line
    assert os.environ["AGENTSITE_ENGINE"] == WITHOUT_DOCKER


@pytest.mark.docker
def test_without_images_it_goes_on_to_an_engine_that_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_images(monkeypatch)
    line, said = chosen(tmp_path)
    assert said == ["docker is there, but its images could not be built: no base"]
    assert line.startswith(f"engine: {WITHOUT_DOCKER}, ")
    assert os.environ["AGENTSITE_ENGINE"] == WITHOUT_DOCKER


@pytest.mark.docker
def test_an_engine_that_was_asked_for_is_kept_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_images(monkeypatch)
    monkeypatch.setenv("AGENTSITE_ENGINE", "docker")
    line, said = chosen(tmp_path)
    assert said == ["images not built, runs that need them will fail: no base"]
    assert line.startswith("engine: docker, isolation: container (version ")


def test_an_engine_that_was_asked_for_and_is_not_there_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTSITE_ENGINE", "podman")
    with pytest.raises(CliProblem, match="podman: no Podman at"):
        chosen(tmp_path)


def test_the_users_own_podman_comes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AGENTSITE_PODMAN_HOST")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Environment().podman_address() == "unix:///run/podman/podman.sock"
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    assert Environment().podman_address() == f"unix://{tmp_path}/podman/podman.sock"
    monkeypatch.setenv("AGENTSITE_PODMAN_HOST", "tcp://elsewhere:1")
    assert Environment().podman_address() == "tcp://elsewhere:1"
