"""Python packages of an image: fetched here, by hash, for the base image's Python and processor."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from containers.docker_api import DockerApi
from containers.images import wheels
from containers.images.base import BuildFailed
from containers.images.build import Image, build, find_image
from containers.images.wheels import WheelsMissing, fetch
from tests.containers.bench import docker_image
from tests.servers.needs import docker_url

NOBODYS = "no-such-package-of-agentsite==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"


class Images(DockerApi):
    """Knows one image."""

    def __init__(self, **about: Any) -> None:
        super().__init__("unix:///nowhere")
        self._about = {"Architecture": "amd64", "Config": {"Env": ["PATH=/bin"]}, **about}

    async def image(self, name: str) -> dict[str, Any]:
        return self._about


async def asked_of_pip(monkeypatch: pytest.MonkeyPatch, api: DockerApi) -> tuple[str, list[str]]:
    asked: list[tuple[str, list[str]]] = []

    async def download(lock: Path, folder: Path, python: str, platforms: list[str]) -> None:
        asked.append((python, platforms))
        (folder / "b-1-py3-none-any.whl").write_bytes(b"b")
        (folder / "a-1-py3-none-any.whl").write_bytes(b"a")

    monkeypatch.setattr(wheels, "_download", download)
    found = await fetch(api, "base", Path("requirements.lock"))
    assert found == [("wheels/a-1-py3-none-any.whl", b"a"), ("wheels/b-1-py3-none-any.whl", b"b")]
    return asked[0]


async def test_wheels_are_for_the_python_and_processor_of_the_base_image(monkeypatch: pytest.MonkeyPatch) -> None:
    python, platforms = await asked_of_pip(monkeypatch, Images())
    assert python == "3.11"
    assert "manylinux_2_28_x86_64" in platforms
    official = Images(Architecture="arm64", Config={"Env": ["PATH=/bin", "PYTHON_VERSION=3.12.7"]})
    python, platforms = await asked_of_pip(monkeypatch, official)
    assert python == "3.12"
    assert "manylinux2014_aarch64" in platforms


async def test_packages_that_can_not_be_had_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lock = tmp_path / "requirements.lock"
    lock.write_text(NOBODYS)
    with pytest.raises(WheelsMissing, match="cannot be fetched: No matching distribution") as raised:
        await fetch(Images(), "base", lock)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, BuildFailed)


def test_wheels_are_in_the_context() -> None:
    with tarfile.open(fileobj=find_image("agent").context(None, [("wheels/a.whl", b"a")])) as archive:
        assert {"wheels/a.whl", "unpack.py", "requirements.lock"} < set(archive.getnames())
    assert find_image("demo").lock(wheels.LOCK) is None


@pytest.mark.docker
async def test_the_steps_of_a_build_have_no_network(tmp_path: Path) -> None:
    folder = tmp_path / "agentsite-test-network"
    folder.mkdir()
    lonely = '[ "$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " ")" = lo ]'
    (folder / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN {lonely}\n")
    image, api = Image(folder), DockerApi(docker_url())
    try:
        assert await build(api, image, base_image=await docker_image())
        await api.delete_image(image.tag)
    finally:
        await api.close()
