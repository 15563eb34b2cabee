"""The one interface every engine implements; tests/contract/ runs over all of them.

An engine starts programs and keeps everything they print. Its output is the journal: it outlives the process that
called `start`, and can be read again from any offset by another one. That is what lets a worker die and another go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from containers.spec import Spec

Stream = Literal["stdout", "stderr"]


class Offset(NamedTuple):
    """Bytes of each stream already consumed. `BEGINNING` is (0, 0)."""

    stdout: int = 0
    stderr: int = 0


BEGINNING = Offset()

SEND_TIMEOUT_S = 10.0


class Output(NamedTuple):
    """Some bytes a program printed. Cut anywhere, not at lines. In the order in which the engine recorded them."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. `code` is 128+N after signal N; 127 if its command was not found, 126 if not executable.

    `oom_killed` may be true with code 0: a child was killed.
    """

    code: int
    oom_killed: bool = False
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the engine says of a container now. `exit` is None while it runs (or has not started)."""

    ref: str
    running: bool
    exit: Exit | None
    started_at: datetime | None
    labels: Mapping[str, str]
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can be used here; `reason` is one line for people, also when it can."""

    usable: bool
    reason: str
    version: str = ""


class PullProgress(NamedTuple):
    """Bytes of layers that have come, of those that the registry has announced so far: both only grow. Layers that are
    here already do not count."""

    done_bytes: int
    total_bytes: int


@runtime_checkable
class Puller(Protocol):
    """An engine that can get images from a registry."""

    def pull(self, image: str) -> AsyncGenerator[PullProgress, None]:
        """Get it; progress as it comes, as often as it comes. Closing the iterator gives up. Harmless to repeat: what
        has come stays. Raises PullFailed, EngineUnavailable."""


class Engine(Protocol):
    """Runs programs. All methods may raise `EngineUnavailable`; those that take a ref, `ContainerGone`.

    Instances are cheap, and bound to the event loop that first uses them; `close` releases their connections.
    """

    name: str
    isolation: str
    """One word for run, page and log: "container", "sandbox", or "none"."""

    async def check(self) -> Availability:
        """Never raises: an engine that does not answer is `usable=False` with the reason."""

    async def check_image(self, spec: Spec) -> None:
        """Raises ImageMissing / SpecRefused before anything is started."""

    async def start(self, spec: Spec, key: str) -> str:
        """Start `spec` and return its ref. Idempotent by `key`: a second call with the same key starts nothing and
        returns the first one's ref (running or not), whoever made it. Raises ImageMissing, SpecRefused, StartFailed.

        A command that does not exist is not an error here: it ends at once with code 127 (in Podman, by whose
        init it is started: 1) and the reason on stderr.
        """

    def output(self, ref: str, after: Offset = BEGINNING) -> AsyncIterator[Output]:
        """Everything printed after `after`, then live, until the program has ended and all of it was read.

        Never blocks the program: a slow reader delays only itself. Survives a restart of the engine's daemon by
        reconnecting at the bytes already given. Bytes beyond `limits.output_bytes` may be missing, but at least one of
        them is given, so that a reader that counts sees that there were more.
        """

    async def send(self, ref: str, line: bytes) -> None:
        """Write one line (without its newline) to stdin, which stays open. Atomic towards other senders. A program
        that does not read never blocks the caller for more than `SEND_TIMEOUT_S`: raises EngineError then, and the
        line may still arrive later. Raises EngineError if the program has ended. A line may be preceded by an empty
        one, which ends what a sender that died has left unfinished."""

    async def inspect(self, ref: str) -> Inspection: ...

    async def wait(self, ref: str) -> Exit:
        """Returns when the program has ended; at once if it already has."""

    async def stop(self, ref: str, grace_s: float) -> None:
        """SIGTERM to the program, and after `grace_s` SIGKILL to everything inside. Returns when nothing runs any
        more. Idempotent: nothing happens if it has ended or was removed."""

    async def remove(self, ref: str) -> None:
        """Delete the (stopped) container and its journal. Idempotent; kills it if it still runs."""

    async def list(self, labels: Mapping[str, str]) -> list[Inspection]:
        """All containers, running or not, that carry every given label; "" as a value matches any value."""

    async def tidy(self, older_than_s: float) -> int:
        """Remove what starts and removals that died half way have left, and `list` does not show, once it has been left
        alone for so long. Answers how many."""

    async def close(self) -> None: ...
