"""`up` builds the bundled images; one whose packages cannot be had keeps nobody from the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentsite.cli import images
from containers.images.base import BuildFailed
from containers.images.build import Image
from containers.images.wheels import WheelsMissing


def ensured(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> tuple[str | None, list[str], list[str]]:
    """What `ensure` answers and says, and what it built, where the image `agent` fails."""
    built: list[str] = []
    said: list[str] = []

    async def is_current(api: object, image: Image, base_image: object) -> bool:
        return False

    async def build(api: object, image: Image, **options: Any) -> bool:
        if image.name == "agent":
            raise failure
        built.append(image.name)
        return True

    monkeypatch.setattr(images, "is_current", is_current)
    monkeypatch.setattr(images, "build", build)
    return asyncio.run(images.ensure("unix:///nowhere", said.append)), said, built


def test_an_image_without_its_packages_is_said_and_the_others_are_built(monkeypatch: pytest.MonkeyPatch):
    answer, said, built = ensured(monkeypatch, WheelsMissing("its Python packages cannot be fetched: no index"))
    assert answer is None
    assert "demo" in built
    (line,) = [line for line in said if "not built" in line]
    assert "agentsite/agent:latest" in line
    assert "no index" in line
    assert line.endswith("agentsite images build agent")


def test_any_other_failure_is_one(monkeypatch: pytest.MonkeyPatch):
    answer, _, _ = ensured(monkeypatch, BuildFailed("no base"))
    assert answer == "no base"
