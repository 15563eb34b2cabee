"""Builds `agentsite/<name>:latest` from every folder here and in acp/ that has a Dockerfile, and
`agentsite/example-<name>:latest` from those of containers/examples.

Through the engine's API, so no command line client is needed. An image carries a label with a digest of its folder:
`is_current` compares it, so that nothing is sent or built when nothing has changed.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from aiodocker.exceptions import DockerError

from containers.docker_api import DockerApi
from containers.images import packages, wheels
from containers.images.base import BuildFailed, Say, is_local, resolve_base

FOLDER = Path(__file__).parent
ACP = FOLDER / "acp"
"""Agents of others, which speak the Agent Client Protocol."""
EXAMPLES = FOLDER.parent / "examples"
CONTENT_LABEL = "agentsite.content"
BASE_LABEL = "agentsite.base"
CA_ARGUMENT = "CA_BUNDLE"
CA_FILE = ".ca-bundle.pem"
NEVER_SENT = ("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Image:
    """A folder with a Dockerfile and what it is built to."""

    folder: Path

    @property
    def name(self) -> str:
        return f"example-{self.folder.name}" if self.folder.parent == EXAMPLES else self.folder.name

    @property
    def tag(self) -> str:
        return f"agentsite/{self.name}:latest"

    def files(self) -> list[Path]:
        """What is sent to the builder, sorted: all but what .dockerignore names (shell patterns; no `!`, no `**`)."""
        ignored = (*NEVER_SENT, *self._ignore_patterns())
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path for path in found if not _matches(path.relative_to(self.folder), ignored))

    def digest(self) -> str:
        """Changes with any name, content or executable bit of what is sent."""
        total = hashlib.sha256()
        for path in self.files():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(self.folder)}\0{_mode(path):o}\0{content}\n".encode())
        return total.hexdigest()

    def installs(self) -> bool:
        """Whether its Dockerfile asks for a CA bundle, to install things through a private network."""
        return f"ARG {CA_ARGUMENT}" in (self.folder / "Dockerfile").read_text(encoding="utf-8")

    def lock(self, name: str) -> Path | None:
        """Of the packages that it needs: see wheels.py and packages.py."""
        path = self.folder / name
        return path if path.is_file() else None

    @property
    def fetches(self) -> bool:
        """Whether building it needs packages from elsewhere."""
        return any(self.lock(kind.LOCK) for kind in (wheels, packages))

    def context(self, ca_bundle: Path | None, more: Sequence[tuple[str, bytes]] = ()) -> io.BytesIO:
        """A tar that is the same for the same content, so that the builder's cache finds it. `more`: files beside the
        folder's."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in self.files():
                _add(archive, str(path.relative_to(self.folder)), path.read_bytes(), _mode(path))
            for name, content in more:
                _add(archive, name, content, 0o644)
            if self.installs():
                _add(archive, CA_FILE, ca_bundle.read_bytes() if ca_bundle else b"", 0o644)
        packed.seek(0)
        return packed

    def _ignore_patterns(self) -> list[str]:
        try:
            lines = (self.folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        # These two the builder needs, and removes by itself.
        needed = ("", "Dockerfile", ".dockerignore")
        return [line.strip() for line in lines if line.strip() not in needed and not line.startswith("#")]


def find_images() -> list[Image]:
    """The bundled ones: what a site needs."""
    return _images(FOLDER)


def find_acp() -> list[Image]:
    """Built by name only."""
    return _images(ACP)


def find_examples() -> list[Image]:
    """Built by name only."""
    return _images(EXAMPLES)


def find_image(name: str) -> Image:
    known = [*find_images(), *find_acp(), *find_examples()]
    for image in known:
        if image.name == name:
            return image
    raise BuildFailed(f"no image {name!r}; there are: {', '.join(image.name for image in known)}")


def find_by_tag(reference: str) -> Image | None:
    """The one of ours that a definition means by that; None if it is somebody else's."""
    wanted = with_tag(reference)
    return next((image for image in (*find_images(), *find_acp(), *find_examples()) if image.tag == wanted), None)


def with_tag(reference: str) -> str:
    """As the engine reads it: without a tag or digest, the newest is meant."""
    return reference if "@" in reference or ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def remedy(reference: str, engine: str = "docker") -> str:
    """The command that brings an image here."""
    ours = find_by_tag(reference)
    return f"agentsite images build {ours.name}" if ours else f"{engine} pull {reference}"


def _images(folder: Path) -> list[Image]:
    return [Image(path.parent) for path in sorted(folder.glob("*/Dockerfile"))]


async def is_current(api: DockerApi, image: Image, base_image: str | None = None) -> bool:
    """Whether it was built from the folder as it is now (and from `base_image`, if that is given)."""
    try:
        labels = (await api.image(image.tag))["Config"].get("Labels") or {}
    except DockerError as error:
        if error.status == 404:
            return False
        raise
    return labels.get(CONTENT_LABEL) == image.digest() and base_image in (None, labels.get(BASE_LABEL))


async def build(
    api: DockerApi,
    image: Image,
    *,
    base_image: str | None = None,
    ca_bundle: Path | None = None,
    force: bool = False,
    say: Say = lambda line: None,
) -> bool:
    """False if it was current already. Raises BuildFailed, WheelsMissing, PackagesMissing, EngineUnavailable."""
    if not force and await is_current(api, image, base_image):
        say(f"{image.tag} is current")
        return False
    base = await resolve_base(api, base_image, say)
    arguments = {"BASE_IMAGE": base} | ({CA_ARGUMENT: CA_FILE} if image.installs() else {})
    labels = {CONTENT_LABEL: image.digest(), BASE_LABEL: base}
    say(f"building {image.tag} from {base} ...")
    before = await _id(api, image.tag)
    more = await _fetched(api, base, image)
    try:
        await api.build(
            image.context(ca_bundle, more), image.tag, arguments, labels, None if image.installs() else "none"
        )
    except DockerError as error:
        raise BuildFailed(f"{image.tag}: {' '.join(error.message.split())}") from error
    if before and before != await _id(api, image.tag):
        with suppress(DockerError):  # a container still uses it
            await api.delete_image(before)
    say(f"{image.tag} is built")
    return True


async def _fetched(api: DockerApi, base: str, image: Image) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for kind in (wheels, packages):
        if (lock := image.lock(kind.LOCK)) is not None:
            found += await kind.fetch(api, base, lock)
    return found


async def _id(api: DockerApi, tag: str) -> str | None:
    return str((await api.image(tag))["Id"]) if await is_local(api, tag) else None


def _matches(path: Path, patterns: tuple[str, ...]) -> bool:
    names = (str(path), *path.parts)
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
