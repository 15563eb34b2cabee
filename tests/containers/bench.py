"""One engine under test, with everything a test starts on it removed afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from containers.docker_api import DockerApi
from containers.images.base import resolve_base
from containers.images.build import build, find_image
from containers.interface import BEGINNING, Engine, Offset
from containers.registry import ENGINES, Place
from containers.spec import Spec
from containers.workspace import program_user
from tests.servers.needs import GVISOR, docker_url, podman_url

TEST_LABEL = "agentsite.test"
DEADLINE_S = 30.0
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Bench:
    name: str
    directory: Path
    image: str
    runtime: str | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    engines: list[Engine] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = self.directory / "workspace"
        self.workspace.mkdir()
        self.engine = self.another_engine()

    def place(self) -> Place:
        return Place(state_dir=self.directory / "state", docker_url=docker_url(), podman_url=podman_url())

    def inside(self, name: str) -> str:
        """A file of the workspace, as the program sees it."""
        return str(self.workspace / name) if self.name == "process" else f"/workspace/{name}"

    def another_engine(self) -> Engine:
        """As another worker would have it."""
        engine = ENGINES[self.name](self.place())
        self.engines.append(engine)
        return engine

    def spec(self, code: str, *arguments: str, labels: Mapping[str, str] | None = None, **fields: Any) -> Spec:
        """A Python program."""
        return self.command("python3", "-u", "-c", code, *arguments, labels=labels, **fields)

    def command(self, *command: str, labels: Mapping[str, str] | None = None, **fields: Any) -> Spec:
        standard: dict[str, Any] = {
            "image": self.image,
            "workspace": self.workspace,
            "user": program_user(),
            "runtime": self.runtime,
            "trusted": True,
        }
        return Spec(
            command=command,
            process_command=command,
            labels={TEST_LABEL: self.mark, **(labels or {})},
            **{**standard, **fields},
        )

    def key(self) -> str:
        return f"test-{uuid.uuid4().hex}"

    async def start(self, code: str, *arguments: str, **fields: Any) -> str:
        return await self.engine.start(self.spec(code, *arguments, **fields), self.key())

    async def read(self, ref: str, after: Offset = BEGINNING) -> tuple[bytes, bytes]:
        """Stdout and stderr, to the end of the program."""
        found = {"stdout": bytearray(), "stderr": bytearray()}
        async with asyncio.timeout(DEADLINE_S):
            async for stream, data in self.engine.output(ref, after):
                found[stream] += data
        return bytes(found["stdout"]), bytes(found["stderr"])

    async def run(self, code: str, *arguments: str, **fields: Any) -> tuple[bytes, bytes, int]:
        ref = await self.start(code, *arguments, **fields)
        stdout, stderr = await self.read(ref)
        return stdout, stderr, (await self.engine.wait(ref)).code

    def follow(self, ref: str) -> Follower:
        self.followers.append(Follower(self.engine, ref))
        return self.followers[-1]

    def is_held(self, ref: str, name: str) -> bool:
        """Whether a process of the program is left that has locked this file of the workspace. gVisor's locks are its
        own; there every process is one of the sandbox's, so it is asked whether that is left."""
        return runs(b"runsc-sandbox", ref.encode()) if self.runtime == GVISOR else is_locked(self.workspace / name)

    async def other_process(self, action: str, **what: Any) -> asyncio.subprocess.Process:
        """`python -m tests.containers.other`: the same engine in a process that can be killed."""
        place = self.place()
        urls = {"state_dir": str(place.state_dir), "docker_url": place.docker_url, "podman_url": place.podman_url}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.containers.other",
            json.dumps({"engine": self.name, "place": urls, "action": action, **what}),
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
        )

    async def close(self) -> None:
        for follower in self.followers:
            await follower.close()
        for found in await self.engine.list({TEST_LABEL: self.mark}):
            await self.engine.remove(found.ref)
        for engine in self.engines:
            await engine.close()


class Follower:
    """Reads a program's output beside the test."""

    def __init__(self, engine: Engine, ref: str) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._read(engine, ref))

    async def until(self, wanted: bytes) -> None:
        """Until stdout contains `wanted`."""
        async with asyncio.timeout(DEADLINE_S):
            while wanted not in self.stdout:
                if self._task.done():
                    self._task.result()
                    raise AssertionError(f"{wanted!r} never came, but {bytes(self.stdout[-500:])!r}")
                self._more.clear()
                await asyncio.wait(
                    {self._task, asyncio.ensure_future(self._more.wait())}, return_when="FIRST_COMPLETED"
                )

    async def end(self, patience_s: float = DEADLINE_S) -> bytes:
        """All of stdout."""
        async with asyncio.timeout(patience_s):
            await self._task
        return bytes(self.stdout)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, engine: Engine, ref: str) -> None:
        try:
            async for stream, data in engine.output(ref):
                (self.stdout if stream == "stdout" else self.stderr).extend(data)
                self._more.set()
        finally:
            self._more.set()


async def eventually(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


def is_locked(path: Path) -> bool:
    """Whether some process holds a flock on it: seen through a bind mount too, and gone with the process."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def runs(*words: bytes) -> bool:
    """Whether a process of this machine has all of these in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes()
            if all(word in line for word in words):
                return True
    return False


_images: dict[str, str] = {}
"""By the daemon they are on."""


async def docker_image() -> str:
    """The base that the bundled images have."""
    return await _base_image(docker_url())


async def _base_image(url: str) -> str:
    """Made once a machine, by one of the test processes."""
    if url not in _images:
        with Path("/tmp/agentsite-test-image.lock").open("wb") as file:
            await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
            api = DockerApi(url)
            try:
                _images[url] = await resolve_base(api, None, lambda line: None)
            finally:
                await api.close()
    return _images[url]


async def built_image(name: str) -> str:
    """The tag of one of our images, built if need be; by one of the test processes."""
    base = await docker_image()
    image = find_image(name)
    with Path("/tmp/agentsite-test-image.lock").open("wb") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        api = DockerApi(docker_url())
        try:
            await build(api, image, base_image=base)
        finally:
            await api.close()
    return image.tag


@dataclass(frozen=True)
class Kind:
    """An engine, and what of it is asked for."""

    engine: str
    url: str | None = None
    runtime: str | None = None


KINDS = {
    "process": Kind("process"),
    "bwrap": Kind("bwrap"),
    "docker": Kind("docker", docker_url()),
    "gvisor": Kind("docker", docker_url(), GVISOR),
    "podman": Kind("podman", podman_url()),
}


async def open_bench(name: str, directory: Path) -> AsyncIterator[Bench]:
    kind = KINDS[name]
    image = await _base_image(kind.url) if kind.url else "none"
    bench = Bench(kind.engine, directory, image, kind.runtime)
    yield bench
    await bench.close()


ENGINE_PARAMS = [name if name == "process" else pytest.param(name, marks=getattr(pytest.mark, name)) for name in KINDS]


@pytest_asyncio.fixture(params=ENGINE_PARAMS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Every engine there is."""
    async for bench in open_bench(request.param, tmp_path):
        yield bench


@pytest_asyncio.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async for bench in open_bench("docker", tmp_path):
        yield bench


@pytest_asyncio.fixture
async def bwrap_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async for bench in open_bench("bwrap", tmp_path):
        yield bench


@pytest_asyncio.fixture
async def process_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async for bench in open_bench("process", tmp_path):
        yield bench
