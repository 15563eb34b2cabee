"""Which engines there are, and which of them this machine can use. One file an engine, one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from containers.engine import Availability, Engine
from containers.engines.docker import DEFAULT_URL, DockerEngine
from containers.engines.process import ProcessEngine
from containers.errors import EngineError, EngineUnavailable

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Place:
    """Where engines find what they need. `state_dir` keeps the journals of engines that have no daemon.

    `data_dir` and `data_volume`: only if this process itself runs in a container, see DockerEngine.
    """

    state_dir: Path
    docker_url: str = DEFAULT_URL
    data_dir: Path | None = None
    data_volume: str | None = None


class Candidate(NamedTuple):
    engine: Engine
    availability: Availability


class Choice(NamedTuple):
    """`considered` holds every engine that was asked, with its reason, the chosen one included."""

    engine: Engine
    considered: tuple[Candidate, ...]


ENGINES: dict[str, Callable[[Place], Engine]] = {
    "docker": lambda place: DockerEngine(place.docker_url, data_dir=place.data_dir, data_volume=place.data_volume),
    "process": lambda place: ProcessEngine(place.state_dir),
}
"""In the order in which "auto" prefers them."""


async def survey(place: Place, names: tuple[str, ...] = tuple(ENGINES)) -> list[Candidate]:
    """Every engine with whether it can be used here. The caller closes them."""
    engines = [ENGINES[name](place) for name in names]
    return [Candidate(engine, await engine.check()) for engine in engines]


async def choose(name: str, place: Place) -> Choice:
    """The engine of that name, or the first usable one for "auto"; the others are closed.

    Raises EngineUnavailable, with every reason, if there is none; EngineError for an unknown name.
    """
    if name != AUTO and name not in ENGINES:
        raise EngineError(f"no engine {name!r}; there are: {', '.join((AUTO, *ENGINES))}")
    considered = await survey(place, tuple(ENGINES) if name == AUTO else (name,))
    chosen = next((engine for engine, availability in considered if availability.usable), None)
    for engine, _ in considered:
        if engine is not chosen:
            await engine.close()
    if chosen is None:
        reasons = "; ".join(f"{engine.name}: {availability.reason}" for engine, availability in considered)
        raise EngineUnavailable(f"no engine can be used here ({reasons})")
    return Choice(chosen, tuple(considered))
