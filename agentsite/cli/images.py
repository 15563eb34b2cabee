"""Build the bundled images that are missing or of another version."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from aiodocker.exceptions import DockerError

from agentsite.cli.invocation import command_line
from containers.docker_api import DockerApi
from containers.errors import EngineError
from containers.images.build import Image, build, find_images, is_current
from containers.images.wheels import WheelsMissing


async def ensure_images(url: str, say: Callable[[str], None]) -> str | None:
    """Build the images that need nothing from the network, with the engine at `url`. Return None, or why it failed."""
    return await _ensure(url, say, [image for image in find_images() if not image.fetches])


async def ensure_rest(url: str, say: Callable[[str], None]) -> None:
    """Build the images whose packages have to be fetched. That takes minutes, so the site runs already."""
    problem = await _ensure(url, say, [image for image in find_images() if image.fetches])
    if problem:
        say(f"not all images could be built: {problem}")


async def _ensure(url: str, say: Callable[[str], None], wanted: Sequence[Image]) -> str | None:
    """Build images. One whose packages can't be fetched (no network, no index) is skipped with a message."""
    api = DockerApi(url)
    try:
        for image in wanted:
            if not await is_current(api, image, None):
                say(f"building {image.tag} (once; until then nothing can run in it)")
                await _build(api, image, say)
    except (EngineError, DockerError, OSError) as error:
        return " ".join(str(error).split())
    finally:
        await api.close()
    return None


async def _build(api: DockerApi, image: Image, say: Callable[[str], None]) -> None:
    try:
        await build(api, image, base_image=None, ca_bundle=ca_bundle(), force=False, say=lambda _: None)
    except WheelsMissing as error:
        say(f"{image.tag} is not built, {error}; later: {command_line(['images', 'build', image.name])}")
    else:
        say(f"{image.tag} is built")


def ca_bundle() -> Path | None:
    """Return the certificates to fetch packages with, for machines behind a private certificate authority."""
    given = os.environ.get("SSL_CERT_FILE")
    return Path(given) if given else None
