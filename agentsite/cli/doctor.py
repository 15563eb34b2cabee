"""`agentsite doctor`: what this machine offers, and what is missing. Exit code 0 if a run could work."""

from __future__ import annotations

import asyncio

from agentsite.cli import checks, embedded_redis
from agentsite.cli.problem import CliProblem
from containers.registry import Place, survey


def doctor() -> int:
    environment = checks.environment()
    lines: list[tuple[bool, str, str]] = [(True, "data dir", str(environment.directory()))]
    lines.append(_redis(environment.redis_url))
    lines.append((True, "database", "PostgreSQL" if environment.database_url else "SQLite in the data dir"))
    place = Place(environment.directory() / "process", environment.docker_host, environment.directory())
    candidates = asyncio.run(_engines(place))
    lines += [(found.usable, f"engine {name}", found.reason) for name, found in candidates]
    for good, name, said in lines:
        print(f"{'ok ' if good else 'no '} {name:<16} {said}")
    usable = [name for name, found in candidates if found.usable]
    print(f"\nauto would choose: {usable[0] if usable else 'nothing: no run can start'}")
    return 0 if usable else 2


async def _engines(place: Place) -> list:  # type: ignore[type-arg]
    found = await survey(place)
    for one in found:
        await one.engine.close()
    return [(one.engine.name, one.availability) for one in found]


def _redis(url: str) -> tuple[bool, str, str]:
    try:
        if url:
            asyncio.run(checks.redis(url))
            return True, "Redis", "answers at REDIS_URL"
        return True, "Redis", f"embedded: {embedded_redis.executable()}"
    except CliProblem as problem:
        return False, "Redis", str(problem)
