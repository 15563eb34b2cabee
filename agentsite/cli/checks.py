"""Checks that `up` makes before it starts anything. Each raises CliProblem: one line that says what to do."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentsite.cli import images
from agentsite.cli.problem import CliProblem
from agentsite.data_directory import open_data_directory
from agentsite.environment import Environment
from containers.errors import EngineError
from containers.registry import AUTO, Choice, Place, choose

if TYPE_CHECKING:
    from agents.definitions import Catalog


def make_directory(directory: Path) -> None:
    """Make the data directory if it is missing, and check that it is private and can be written to."""
    try:
        open_data_directory(directory)
        (directory / ".writable").touch()
        (directory / ".writable").unlink()
    except OSError as error:
        raise CliProblem(f"can't write to the data directory {directory}: {error.strerror}") from None


def find_free_port(host: str, port: int) -> int:
    """Return `port` if it can be listened on, or a free one for 0."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise CliProblem(f"can't listen on {host}: {error.strerror or error}") from None
    with socket.socket(found[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(found[4])
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CliProblem(
                    f"port {port} on {host} is taken; choose another with AGENTSITE_PORT or --port"
                ) from None
            raise CliProblem(f"can't listen on {host}:{port}: {error.strerror}") from None
        return int(probe.getsockname()[1])


async def check_redis(url: str, patience_s: float = 0.0) -> None:
    """Wait at most `patience_s` for Redis to answer."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            async with open_redis(url) as client:
                await client.ping()
            return
        except (RedisError, OSError, ValueError) as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise CliProblem(f"Redis at {_without_password(url)} does not answer: {error}") from None
        await asyncio.sleep(0.05)


def check_database() -> None:
    """Load Django's settings and connect to the database. The environment must be complete by now."""
    import django
    from dj_database_url import ParseError, UnknownSchemeError

    try:
        django.setup()
    except (ParseError, UnknownSchemeError):
        raise CliProblem("DATABASE_URL is no address of a database; it looks like postgres://user@host/name") from None
    from django.db import DatabaseError, connection

    try:
        connection.ensure_connection()
        connection.close()
    except DatabaseError as error:
        reason = " ".join(str(error).split())[:300]
        raise CliProblem(f"the database does not answer: {reason}") from None


def check_data_directory() -> None:
    """Check that the data directory belongs to the database, which must be migrated by now."""
    from agents.fleet.data_directory import WrongDataDirectory, verify

    try:
        verify()
    except WrongDataDirectory as problem:
        raise CliProblem(str(problem)) from None


def open_redis(url: str) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3)


def check_broker(url: str) -> None:
    """Check that the broker answers. Celery itself would retry for ever."""
    from kombu import Connection
    from kombu.exceptions import OperationalError

    try:
        with Connection(url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CliProblem(f"the broker at {_without_password(url)} does not answer: {reason}") from None


def load_definitions(environment: Environment, say: Callable[[str], None]) -> Catalog:
    """Load the site's definitions; there may be none yet.

    Raises CliProblem if the file exists and can't be read: a site that started without it would end its open runs.
    """
    path = environment.definitions_file.expanduser().absolute()
    from agents.definitions.catalog import Catalog, Mistake, read
    from agents.definitions.ceilings import Ceilings

    try:
        return read(path.read_text(encoding="utf-8-sig"), Ceilings(**environment.ceilings()))
    except FileNotFoundError:
        say(f"nothing can be run until there are definitions in {path}")
        return Catalog()
    except OSError as error:
        raise CliProblem(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CliProblem(f"{path}: is not UTF-8") from None
    except Mistake as mistake:
        raise CliProblem(f"{path}: {mistake}") from None


async def choose_engine(environment: Environment, directory: Path, say: Callable[[str], None]) -> str:
    """Choose the engine, build our images if it needs them, and return a line for the user.

    If the images can't be built, "auto" falls back to an engine without images. The choice is put into
    AGENTSITE_ENGINE, so that the worker uses the same engine.
    """
    choice = await _choose(environment.engine, engine_place(environment, directory))
    if (url := image_api_url(choice.engine.name, environment)) and (problem := await images.ensure_images(url, say)):
        if environment.engine == AUTO:
            say(f"{choice.engine.name} is there, but its images could not be built: {problem}")
            choice = await _choose(AUTO, engine_place(environment, directory), without=("docker", "podman"))
        else:
            say(f"images not built, runs that need them will fail: {problem}")
    os.environ["AGENTSITE_ENGINE"] = choice.engine.name
    return _describe_choice(choice)


def engine_place(environment: Environment, directory: Path) -> Place:
    """Return the paths and addresses that engines need, from the settings."""
    return Place(
        state_dir=environment.local_directory() / "process",
        docker_url=environment.docker_host,
        podman_url=environment.podman_address(),
        data_dir=directory,
        data_volume=environment.data_volume,
    )


def image_api_url(engine_name: str, environment: Environment) -> str | None:
    """Return the address of the API that builds images, or None for an engine without images."""
    return {"docker": environment.docker_host, "podman": environment.podman_address()}.get(engine_name)


async def _choose(name: str, where: Place, without: Sequence[str] = ()) -> Choice:
    try:
        choice = await choose(name, where, without)
    except EngineError as error:
        raise CliProblem(str(error)) from None
    await choice.engine.close()
    return choice


def _describe_choice(choice: Choice) -> str:
    chosen = choice.considered[-1].availability.reason
    others = [f"; not {one.engine.name}: {one.availability.reason}" for one in choice.considered[:-1]]
    return f"engine: {choice.engine.name}, isolation: {choice.engine.isolation} ({chosen}{''.join(others)})"


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.split('://')[0]}://…@{tail}" if at else url
