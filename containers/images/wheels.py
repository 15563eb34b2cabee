"""Python packages for an image: wheels that its `requirements.lock` names, fetched here and sent to the builder.

A builder may have neither network nor index; this machine's pip has whatever its owner configured. Wheels are only
fetched, never run: each must have a hash of the lock, and be made for the base image's Python and processor.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from aiodocker.exceptions import DockerError

from containers.docker_api import DockerApi
from containers.images import child
from containers.images.base import BuildFailed

LOCK = "requirements.lock"
FOLDER = "wheels"
"""Of the context."""
DEBIANS_PYTHON = "3.11"
"""Of bookworm, where an image does not say which it has (python:* do: PYTHON_VERSION)."""
OLDEST_GLIBC, NEWEST_GLIBC = 5, 36
"""2.N. bookworm, which both base images are of or newer than, has 2.36."""
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
TIMEOUT_S, RETRIES = 15, 2
"""Of pip, for one connection."""


class WheelsMissing(BuildFailed):
    code = "wheels-missing"


async def fetch(api: DockerApi, base: str, lock: Path) -> list[tuple[str, bytes]]:
    """Names and contents, sorted. Raises WheelsMissing."""
    try:
        about = await api.image(base)
    except DockerError as error:
        raise WheelsMissing(f"base image {base}: {error.message}") from error
    with tempfile.TemporaryDirectory() as folder:
        await _download(lock, Path(folder), _python_of(about), _platforms(about))
        return _read(Path(folder))


def _read(folder: Path) -> list[tuple[str, bytes]]:
    return [(f"{FOLDER}/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]


def _python_of(image: dict[str, Any]) -> str:
    for line in image["Config"].get("Env") or []:
        name, _, value = line.partition("=")
        if name == "PYTHON_VERSION":
            return ".".join(value.split(".")[:2])
    return DEBIANS_PYTHON


def _platforms(image: dict[str, Any]) -> list[str]:
    """All that its glibc runs: pip takes a platform word for word."""
    processor = PROCESSORS.get(image.get("Architecture", ""), "x86_64")
    glibcs = [f"manylinux_2_{minor}_{processor}" for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1)]
    return [*glibcs, *(f"{older}_{processor}" for older in ("manylinux1", "manylinux2010", "manylinux2014"))]


async def _download(lock: Path, folder: Path, python: str, platforms: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--timeout", str(TIMEOUT_S), "--retries", str(RETRIES)]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", python, *(word for one in platforms for word in ("--platform", one))]
    command += ["--dest", str(folder), "--requirement", str(lock)]
    code, said = await child.run(command)
    if code:
        lines = [line for line in said if line.startswith("ERROR")]
        why = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with exit code {code}"
        raise WheelsMissing(f"its Python packages cannot be fetched: {why}")
