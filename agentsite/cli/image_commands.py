"""`agentsite images`: list and check the images that definitions name, and build the bundled ones."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from aiodocker.exceptions import DockerError

from agentsite.cli import checks
from agentsite.cli.images import ca_bundle
from agentsite.cli.invocation import NAME, command_line
from agentsite.cli.problem import CliProblem
from agentsite.cli.tables import print_images
from agentsite.environment import load_environment
from containers.docker_api import DockerApi
from containers.errors import EngineError
from containers.images.base import BuildFailed
from containers.images.build import build, find_image, find_images, remedy
from containers.images.state import Found, look

T = TypeVar("T")
FAILED = 1
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def show_list() -> None:
    named = _named()
    rows = [
        (one.reference, one.state, size(one.size_bytes), age(one.created_at), ", ".join(named[one.reference]))
        for one in _look(named)
    ]
    print_images(rows)


def check_images() -> int:
    """Print a line for each image that is missing or stale. Return the exit code."""
    named = _named()
    wrong = [one for one in _look(named) if one.state != "present"]
    for one in wrong:
        what = "is missing" if one.state == "missing" else "is stale: its folder has changed since it was built"
        print(
            f"{one.reference} {what} (for {', '.join(named[one.reference])}); run `{_as_called(remedy(one.reference))}`"
        )
    if not wrong:
        print(f"all images are there: {', '.join(named) or 'no definition names one'}")
    return FAILED if wrong else 0


def build_images(names: Sequence[str], base_image: str | None, *, force: bool) -> None:
    try:
        images = [find_image(name) for name in names] or find_images()
    except BuildFailed as error:
        raise CliProblem(str(error)) from None

    async def build_all(api: DockerApi) -> None:
        for image in images:
            await build(api, image, base_image=base_image, ca_bundle=ca_bundle(), force=force, say=_say)

    _with_engine(build_all)


def size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"


def age(created_at: datetime | None) -> str:
    """Return the age in its largest unit. The two clocks may differ, so it is at least 0."""
    if created_at is None:
        return ""
    elapsed_s = max(0, int((datetime.now(UTC) - created_at).total_seconds()))
    unit_s, unit = next((one for one in _UNITS if elapsed_s >= one[0]), _UNITS[-1])
    return f"{elapsed_s // unit_s} {unit}"


def _named() -> dict[str, list[str]]:
    """Return image → names of the definitions that use it, in the order of the file."""
    named: dict[str, list[str]] = {}
    environment = load_environment()
    catalog = checks.load_definitions(environment, _say)
    if catalog.problem is not None:
        raise CliProblem(f"{environment.definitions_file}: {catalog.problem}")
    for definition in catalog.definitions.values():
        named.setdefault(definition.image, []).append(definition.name)
    return named


def _look(named: Mapping[str, Sequence[str]]) -> list[Found]:
    async def look_at_all(api: DockerApi) -> list[Found]:
        await api.version()  # says at once that nobody answers, also when there is nothing to look at
        return [await look(api, reference) for reference in named]

    return _with_engine(look_at_all)


def _with_engine(work: Callable[[DockerApi], Awaitable[T]]) -> T:
    async def connected() -> T:
        environment = load_environment()
        api = DockerApi(checks.image_api_url(environment.engine, environment) or environment.docker_host)
        try:
            return await work(api)
        finally:
            await api.close()

    try:
        return asyncio.run(connected())
    except BuildFailed as error:
        raise CliProblem(str(error), FAILED) from None
    except (EngineError, DockerError, OSError) as error:
        raise CliProblem(" ".join(str(error).split())) from None


def _as_called(command: str) -> str:
    program, *words = shlex.split(command)
    return command_line(words) if program == NAME else command


def _say(line: str) -> None:
    print(line, flush=True)
