"""`agentsite doctor`: what this machine offers, and what is missing. Exit code 0 if a run could work, else 2."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from agentsite.cli import checks, embedded_redis
from agentsite.environment import Environment, load_environment
from agentsite.problem import SiteProblem
from containers.registry import AUTO, Place, survey


class Finding(NamedTuple):
    good: bool
    name: str
    said: str


def doctor() -> int:
    environment = load_environment()
    directory = _directory(environment)
    with TemporaryDirectory(prefix="agentsite-doctor-") as scratch:
        place = checks.engine_place(environment, environment.directory())
        if not directory.good:  # it was refused, so nothing is written there: no engine's directory, no key
            place = replace(place, state_dir=Path(scratch, "process"), data_dir=Path(scratch))
            os.environ.setdefault("AGENTSITE_SECRET_KEY", secrets.token_urlsafe())
        needed = [directory, _redis(environment.redis_url), _database(environment.database_url)]
        engines = asyncio.run(_engines(place))
    definitions = _definitions(environment)
    for good, name, said in [
        *needed,
        *definitions,
        *(engine._replace(name=f"engine {engine.name}") for engine in engines),
    ]:
        print(f"{'ok ' if good else 'no '} {name:<16} {said}")
    choice = _choice(environment.engine, engines)
    print(f"\n{choice.said}")
    can_start = any(line.good for line in definitions)
    return 0 if choice.good and can_start and all(line.good for line in needed) else 2


def _choice(setting: str, engines: list[Finding]) -> Finding:
    """Return which engine would be used. The other engines' own lines say why they are not."""
    usable = [engine.name for engine in engines if engine.good]
    if setting != AUTO:
        good = setting in usable
        return Finding(good, setting, f"AGENTSITE_ENGINE says {setting}{'' if good else ': no run can start'}")
    if not usable:
        return Finding(False, "nothing", "auto would choose: nothing: no run can start")
    only_trusted = " (only definitions marked trusted can run)" if usable[0] == "process" else ""
    return Finding(True, usable[0], f"auto would choose: {usable[0]}{only_trusted}")


async def _engines(place: Place) -> list[Finding]:
    found = await survey(place)
    for one in found:
        await one.engine.close()
    return [Finding(one.availability.usable, one.engine.name, one.availability.reason) for one in found]


def _directory(environment: Environment) -> Finding:
    directory = environment.directory()
    return _run_check("data dir", lambda: checks.make_directory(directory), str(directory))


def _redis(url: str) -> Finding:
    if url:
        return _run_check("Redis", lambda: asyncio.run(checks.check_redis(url)), "answers at REDIS_URL")
    try:
        return Finding(True, "Redis", f"embedded: {embedded_redis.find_redis_server()}")
    except SiteProblem as problem:
        return Finding(False, "Redis", str(problem))


def _database(url: str) -> Finding:
    if url:
        return _run_check("database", checks.check_database, "answers at DATABASE_URL")
    return Finding(True, "database", "SQLite in the data dir")


def _definitions(environment: Environment) -> list[Finding]:
    """Return one line for all definitions that can be started, and one for each that has a mistake."""
    path = environment.definitions_file.expanduser().absolute()
    said: list[str] = []
    try:
        catalog = checks.load_definitions(environment, said.append)
    except SiteProblem as problem:
        return [Finding(False, "definitions", str(problem))]
    names = ", ".join(catalog.definitions) or f"none in {path}"
    invalid = [Finding(False, "definitions", mistake) for mistake in catalog.invalid.values()]
    return [Finding(bool(catalog.definitions) or not catalog.invalid, "definitions", names), *invalid]


def _run_check(name: str, check: Callable[[], None], good: str) -> Finding:
    try:
        check()
    except SiteProblem as problem:
        return Finding(False, name, str(problem))
    return Finding(True, name, good)
