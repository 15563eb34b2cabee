"""`up` builds the bundled images: what the demo needs before it is ready, the rest beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentsite.cli import images
from containers.images.base import BuildFailed
from containers.images.build import Image
from containers.images.wheels import WheelsMissing

Ensure = Callable[[str, Callable[[str], None]], Awaitable[str | None]]


def ensured(
    monkeypatch: pytest.MonkeyPatch, ensure: Ensure, failures: dict[str, Exception]
) -> tuple[str | None, list[str], list[str]]:
    """What it answers and says, and what it built, where the images of `failures` fail."""
    built: list[str] = []
    said: list[str] = []

    async def is_current(api: object, image: Image, base_image: object) -> bool:
        return False

    async def build(api: object, image: Image, **options: Any) -> bool:
        if image.name in failures:
            raise failures[image.name]
        built.append(image.name)
        return True

    monkeypatch.setattr(images, "is_current", is_current)
    monkeypatch.setattr(images, "build", build)

    async def do() -> str | None:
        return await ensure("unix:///nowhere", said.append)

    return asyncio.run(do()), said, built


def test_a_site_is_ready_with_what_needs_nothing_from_elsewhere(monkeypatch: pytest.MonkeyPatch):
    assert ensured(monkeypatch, images.ensure_images, {})[2] == ["demo"]


def test_the_rest_is_built_beside_it(monkeypatch: pytest.MonkeyPatch):
    _, said, built = ensured(monkeypatch, images.ensure_rest, {})
    assert built == ["agent"]
    assert said[-1] == "agentsite/agent:latest is built"


def test_an_image_without_its_packages_says_how_it_is_built_later(monkeypatch: pytest.MonkeyPatch):
    missing = WheelsMissing("its Python packages cannot be fetched: no index")
    _, said, _ = ensured(monkeypatch, images.ensure_rest, {"agent": missing})
    (line,) = [line for line in said if "not built" in line]
    assert "agentsite/agent:latest" in line
    assert "no index" in line
    assert line.endswith("agentsite images build agent")


def test_any_other_failure_is_one(monkeypatch: pytest.MonkeyPatch):
    answer, _, _ = ensured(monkeypatch, images.ensure_images, {"demo": BuildFailed("no base")})
    assert answer == "no base"


def test_any_other_failure_of_the_rest_is_said(monkeypatch: pytest.MonkeyPatch):
    _, said, _ = ensured(monkeypatch, images.ensure_rest, {"agent": BuildFailed("no base")})
    assert said[-1] == "not all images could be built: no base"
