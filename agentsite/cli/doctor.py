"""`agentsite doctor`: what this machine offers, and what is missing. Exit code 0 if a run could work, else 2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from agentsite.cli import checks, embedded_redis
from agentsite.cli.problem import CliProblem
from agentsite.environment import Environment
from containers.registry import Place, survey


class Line(NamedTuple):
    good: bool
    name: str
    said: str


def doctor() -> int:
    environment = checks.environment()
    needed = [_directory(environment), _redis(environment.redis_url), _database(environment.database_url)]
    engines = asyncio.run(_engines(environment))
    for good, name, said in [*needed, *(engine._replace(name=f"engine {engine.name}") for engine in engines)]:
        print(f"{'ok ' if good else 'no '} {name:<16} {said}")
    usable = [engine.name for engine in engines if engine.good]
    print(f"\nauto would choose: {usable[0] if usable else 'nothing: no run can start'}")
    return 0 if usable and all(line.good for line in needed) else 2


async def _engines(environment: Environment) -> list[Line]:
    directory = environment.directory()
    found = await survey(Place(directory / "process", environment.docker_host, directory))
    for one in found:
        await one.engine.close()
    return [Line(one.availability.usable, one.engine.name, one.availability.reason) for one in found]


def _directory(environment: Environment) -> Line:
    directory = environment.directory()
    return _checked("data dir", lambda: checks.make_directory(directory), str(directory))


def _redis(url: str) -> Line:
    if url:
        return _checked("Redis", lambda: asyncio.run(checks.redis(url)), "answers at REDIS_URL")
    try:
        return Line(True, "Redis", f"embedded: {embedded_redis.executable()}")
    except CliProblem as problem:
        return Line(False, "Redis", str(problem))


def _database(url: str) -> Line:
    if url:
        return _checked("database", checks.database, "answers at DATABASE_URL")
    return Line(True, "database", "SQLite in the data dir")


def _checked(name: str, check: Callable[[], None], good: str) -> Line:
    try:
        check()
    except CliProblem as problem:
        return Line(False, name, str(problem))
    return Line(True, name, good)
