"""python -m containers.images build|list|check [NAME...] [--base-image IMAGE] [--ca-bundle FILE] [--force]"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from aiodocker.exceptions import DockerError

from containers.docker_api import DEFAULT_URL, DockerApi
from containers.errors import EngineError
from containers.images.build import build, find_image, find_images, is_current


def main() -> int:
    """0: done, or (check) all current. 1: an error, or (check) something has to be built."""
    options = _options()
    try:
        return asyncio.run(_run(options))
    except (EngineError, DockerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


async def _run(options: argparse.Namespace) -> int:
    images = [find_image(name) for name in options.names] or find_images()
    if options.action == "list":
        print(*(f"{image.name}\t{image.tag}" for image in images), sep="\n")
        return 0
    api = DockerApi(options.docker_url)
    stale = 0
    try:
        for image in images:
            if options.action == "build":
                await build(
                    api,
                    image,
                    base_image=options.base_image,
                    ca_bundle=options.ca_bundle,
                    force=options.force,
                    say=lambda line: print(line, flush=True),
                )
            else:
                current = await is_current(api, image, options.base_image)
                stale += not current
                print(f"{image.tag}\t{'current' if current else 'has to be built'}")
    finally:
        await api.close()
    return 1 if stale else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m containers.images", description="The images of the bundled agents."
    )
    parser.add_argument("action", choices=("build", "list", "check"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--base-image", help="default: python:3.12-slim; where it cannot be pulled, one made here")
    parser.add_argument(
        "--ca-bundle",
        type=Path,
        default=os.environ.get("SSL_CERT_FILE") or None,
        help="certificates to install packages through a private network (default: SSL_CERT_FILE)",
    )
    parser.add_argument("--force", action="store_true", help="build also what is current")
    parser.add_argument("--docker-url", default=os.environ.get("DOCKER_HOST") or DEFAULT_URL)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
