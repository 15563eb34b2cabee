"""Building the bundled images when they are not there, or not those of this version."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from aiodocker.exceptions import DockerError

from containers.engines.docker_api import DockerApi
from containers.errors import EngineError
from containers.images.build import Image, build, find_images, is_current
from containers.images.wheels import WheelsMissing


async def ensure(url: str, say: Callable[[str], None]) -> str | None:
    """With the engine at `url`. None if images are there now; else one line that says why not.

    An image whose Python packages cannot be fetched (no network, no index) only says so: the others work without.
    """
    api = DockerApi(url)
    try:
        for image in find_images():
            if not await is_current(api, image, None):
                say(f"building {image.tag} (once, some seconds to a minute)")
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
        say(f"{image.tag} is not built, {error}; later: agentsite images build {image.name}")


def ca_bundle() -> Path | None:
    """Behind a private certificate authority, packages are fetched with the certificates that this machine trusts."""
    given = os.environ.get("SSL_CERT_FILE")
    return Path(given) if given else None
