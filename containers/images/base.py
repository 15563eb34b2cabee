"""The image that the bundled ones start from: python:3.12-slim, or one made here where there is no registry."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from typing import IO

from aiodocker.exceptions import DockerError

from containers.docker_api import DockerApi
from containers.errors import EngineError, PullFailed

DEFAULT_BASE = "python:3.12-slim"
LOCAL_BASE = "agentsite/base:bookworm"
SUITE = "bookworm"
PACKAGES = "python3,ca-certificates"
PULL_SILENCE_S = 20.0
"""A registry that cannot be reached may also just not answer."""
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "mmdebstrap")

Say = Callable[[str], None]


class BuildFailed(EngineError):
    code = "build-failed"


async def resolve_base(api: DockerApi, wanted: str | None, say: Say) -> str:
    """The name of a base image that is on this machine, got or made if need be. Raises BuildFailed.

    `wanted` is used or pulled, and nothing else is tried. What was made here before goes before asking a registry.
    """
    if wanted:
        if await is_local(api, wanted) or (problem := await _pull(api, wanted, say)) is None:
            return wanted
        raise BuildFailed(f"base image {wanted} is not here and cannot be pulled: {problem}")
    for name in (DEFAULT_BASE, LOCAL_BASE):
        if await is_local(api, name):
            return name
    if (problem := await _pull(api, DEFAULT_BASE, say)) is None:
        return DEFAULT_BASE
    say(f"{DEFAULT_BASE} cannot be pulled ({problem}); making {LOCAL_BASE} from Debian packages instead")
    await make_base(api, say)
    return LOCAL_BASE


async def is_local(api: DockerApi, image: str) -> bool:
    try:
        await api.image(image)
    except DockerError as error:
        if error.status == 404:
            return False
        raise
    return True


async def make_base(api: DockerApi, say: Say) -> None:
    """Debian with Python, about 200 MB in about 25 s. Raises BuildFailed."""
    if not shutil.which("mmdebstrap"):
        await _install(say)
    with tempfile.TemporaryFile() as archive:
        say(f"mmdebstrap {SUITE} with {PACKAGES} ...")
        await _run(("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, "-"), archive)
        archive.seek(0)
        repository, _, tag = LOCAL_BASE.partition(":")
        try:
            await api.import_root(archive, repository, tag, ['CMD ["python3"]', "ENV LANG=C.UTF-8"])
        except DockerError as error:
            raise BuildFailed(f"{LOCAL_BASE} cannot be imported: {error.message}") from error


async def _pull(api: DockerApi, image: str, say: Say) -> str | None:
    """None, or why it could not be pulled."""
    say(f"pulling {image} ...")
    try:
        async with aclosing(api.pull(image, silence_s=PULL_SILENCE_S)) as steps:
            async for _ in steps:
                pass
    except DockerError as error:
        return " ".join(error.message.split())
    except PullFailed as error:
        return str(error)
    return None


async def _install(say: Say) -> None:
    command = " ".join(INSTALL)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BuildFailed(
            f"no base image: {DEFAULT_BASE} cannot be pulled and mmdebstrap is missing "
            f"(`{command}` as root, or name an image that is here with --base-image)"
        )
    say(command)
    with tempfile.TemporaryFile() as ignored:
        await _run(("apt-get", "update"), ignored)
        await _run(INSTALL, ignored)


async def _run(command: tuple[str, ...], stdout: IO[bytes]) -> None:
    """Raises BuildFailed with the last line of stderr."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE
    )
    _, stderr = await process.communicate()
    if process.returncode:
        lines = stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise BuildFailed(f"{command[0]} failed: {lines[-1]}")
