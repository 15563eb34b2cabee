"""npm packages for an image: archives that its `package-lock.json` names, fetched here and sent to the builder.

As with wheels.py: a builder may have neither network nor registry, this machine's npm has what its owner configured.
Archives are only fetched, neither run nor unpacked: each must have the hash of the lock, and be made for the base
image's processor.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aiodocker.exceptions import DockerError

from containers.docker_api import DockerApi
from containers.images import child
from containers.images.base import BuildFailed

LOCK = "package-lock.json"
FOLDER = "packages"
"""Of the context: `packages/node_modules/NAME.tgz` belongs into `node_modules/NAME`."""
PROCESSORS = {"amd64": "x64", "arm64": "arm64"}
"""Docker's names, and Node's."""
TIMEOUT_MS, RETRIES = 30_000, 2
"""Of npm, for one request."""


class PackagesMissing(BuildFailed):
    code = "packages-missing"


class Package(NamedTuple):
    place: str
    """Below which it is unpacked: node_modules/NAME."""
    name: str
    version: str
    integrity: str


async def fetch(api: DockerApi, base: str, lock: Path) -> list[tuple[str, bytes]]:
    """Names and contents, sorted. Raises PackagesMissing."""
    try:
        processor = (await api.image(base)).get("Architecture", "")
    except DockerError as error:
        raise PackagesMissing(f"base image {base}: {error.message}") from error
    packages = wanted(await asyncio.to_thread(_load, lock), PROCESSORS.get(processor, processor))
    if shutil.which("npm") is None:
        raise PackagesMissing("its npm packages cannot be fetched: there is no npm here (Debian's package npm)")
    with tempfile.TemporaryDirectory() as folder:
        await _download(packages, Path(folder))
        return _read(packages, Path(folder))


def wanted(lock: Mapping[str, Any], processor: str) -> list[Package]:
    """Those that Linux on this processor can use. Raises PackagesMissing if it can't use one that is no option."""
    found: list[Package] = []
    for place, about in sorted(lock["packages"].items()):
        if not place:
            continue  # the image itself
        name = place.rpartition("node_modules/")[2]
        if "linux" in _listed(about, "os", "linux") and processor in _listed(about, "cpu", processor):
            found.append(Package(place, name, about["version"], about["integrity"]))
        elif not about.get("optional"):
            raise PackagesMissing(f"{name} is not made for Linux on {processor}")
    return found


def _load(lock: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
    return loaded


def _listed(about: Mapping[str, Any], field: str, otherwise: str) -> list[str]:
    given = about.get(field, otherwise)
    return [given] if isinstance(given, str) else list(given)


def _read(packages: list[Package], folder: Path) -> list[tuple[str, bytes]]:
    """By their hashes: what npm calls a file is its own matter, and differs between its versions."""
    contents = {_integrity(content): content for path in folder.iterdir() if (content := path.read_bytes())}
    for package in packages:
        if package.integrity not in contents:
            raise PackagesMissing(f"{package.name} {package.version} is not the one of {LOCK}")
    return [(f"{FOLDER}/{package.place}.tgz", contents[package.integrity]) for package in packages]


def _integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


async def _download(packages: list[Package], folder: Path) -> None:
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--no-update-notifier", "--pack-destination", str(folder)]
    command += [f"--fetch-timeout={TIMEOUT_MS}", f"--fetch-retries={RETRIES}"]
    command += sorted({f"{package.name}@{package.version}" for package in packages})
    code, said = await child.run(command, cwd=folder, env={**os.environ, "npm_config_loglevel": "error"})
    if code:
        words = [" ".join(line.split()[2:]) for line in said if line.startswith(("npm error", "npm ERR!"))]
        why = next((line for line in words if line and not line.startswith("code ")), None)
        raise PackagesMissing(f"its npm packages cannot be fetched: {why or f'npm ended with {code}'}")
