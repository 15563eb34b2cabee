"""Which engines there are, and which of them this machine can use. One file an engine, one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from containers.docker_api import DEFAULT_URL
from containers.engines import podman
from containers.engines.bwrap import BwrapEngine
from containers.engines.docker import DockerEngine
from containers.engines.podman import PodmanEngine
from containers.engines.process import ProcessEngine
from containers.errors import EngineError, EngineUnavailable
from containers.interface import Availability, Engine

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Place:
    """Where engines find what they need. `state_dir` keeps the journals of `process`; beside it is what others keep.

    `data_volume`: only if this process itself runs in a container, see DockerEngine. No sandbox shows `data_dir` or
    the directory of `state_dir`.
    """

    state_dir: Path
    docker_url: str = DEFAULT_URL
    data_dir: Path | None = None
    data_volume: str | None = None
    podman_url: str = podman.DEFAULT_URL

    @property
    def hidden(self) -> tuple[Path, ...]:
        """From programs that see parts of this machine: where a worker keeps what is its own."""
        found = [self.state_dir.parent, *([self.data_dir] if self.data_dir else [])]
        for look in (Path.home, Path.cwd):
            with suppress(RuntimeError, OSError):  # a user without a home, a directory that was removed
                found.append(look())
        return tuple(found)


class Candidate(NamedTuple):
    engine: Engine
    availability: Availability


class Choice(NamedTuple):
    """`considered` holds every engine that was asked, with its reason; the chosen one is the last."""

    engine: Engine
    considered: tuple[Candidate, ...]


ENGINES: dict[str, Callable[[Place], Engine]] = {
    "docker": lambda place: DockerEngine(place.docker_url, data_dir=place.data_dir, data_volume=place.data_volume),
    "podman": lambda place: PodmanEngine(
        place.podman_url,
        state_dir=place.state_dir.with_name("podman"),
        data_dir=place.data_dir,
        data_volume=place.data_volume,
    ),
    "bwrap": lambda place: BwrapEngine(place.state_dir.with_name("bwrap"), place.hidden, place.data_dir),
    "process": lambda place: ProcessEngine(place.state_dir),
}
"""In the order in which "auto" prefers them."""


async def survey(place: Place, names: tuple[str, ...] = tuple(ENGINES)) -> list[Candidate]:
    """Every engine with whether it can be used here. The caller closes them."""
    engines = [ENGINES[name](place) for name in names]
    return [Candidate(engine, await engine.check()) for engine in engines]


async def choose(name: str, place: Place, without: Sequence[str] = ()) -> Choice:
    """The engine of that name, or the first usable one for "auto", but for those named in `without`; the others are
    closed. For "auto" the ones behind the first usable one are not asked.

    Raises EngineUnavailable, with every reason, if there is none; EngineError for an unknown name.
    """
    if name != AUTO and name not in ENGINES:
        raise EngineError(f"no engine {name!r}; there are: {', '.join((AUTO, *ENGINES))}")
    considered: list[Candidate] = []
    for wanted in [one for one in ENGINES if one not in without] if name == AUTO else [name]:
        engine = ENGINES[wanted](place)
        considered.append(Candidate(engine, await engine.check()))
        if considered[-1].availability.usable:
            return Choice(engine, tuple(considered))
        await engine.close()
    reasons = "; ".join(f"{engine.name}: {availability.reason}" for engine, availability in considered)
    raise EngineUnavailable(f"no engine can be used here ({reasons})")
