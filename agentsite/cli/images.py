"""Building the bundled images when they are not there, or not those of this version."""

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


async def ensure(url: str, say: Callable[[str], None]) -> str | None:
    """With the engine at `url`: those that are made of what is here. None if they are there now; else one line that
    says why not."""
    return await _ensure(url, say, [image for image in find_images() if not image.fetches])


async def ensure_rest(url: str, say: Callable[[str], None]) -> None:
    """Those whose packages have to be fetched, beside a site that runs already: that takes up to some minutes."""
    problem = await _ensure(url, say, [image for image in find_images() if image.fetches])
    if problem:
        say(f"not all images could be built: {problem}")


async def _ensure(url: str, say: Callable[[str], None], wanted: Sequence[Image]) -> str | None:
    """An image whose packages cannot be fetched (no network, no index) only says so: the others work without."""
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
    """Behind a private certificate authority, packages are fetched with the certificates that this machine trusts."""
    given = os.environ.get("SSL_CERT_FILE")
    return Path(given) if given else None
