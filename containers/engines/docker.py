"""Containers of a Docker (20.10 or newer) or Podman daemon. Its json-file log is the journal."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from aiodocker.exceptions import DockerError

from containers.docker_api import DEFAULT_URL, DockerApi
from containers.engines.docker_config import create_config
from containers.engines.frames import FrameReader
from containers.engines.names import name_of
from containers.engines.pulling import Layers
from containers.engines.sender import Sender
from containers.errors import (
    ContainerGone,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    PullFailed,
    SpecRefused,
    StartFailed,
)
from containers.images.build import remedy, with_tag
from containers.interface import BEGINNING, Availability, Exit, Inspection, Offset, Output, PullProgress
from containers.spec import Spec
from containers.workspace import give_to

PATIENCE_S = 120.0
"""How long a daemon may be away before `output` and `wait` give up."""
ADOPT_AFTER_S = 15.0
"""A container that was created but not started for this long has lost its creator. Not sooner: if that one starts it
and it ends at once, starting it here would run the program a second time."""
KILLED_WITHIN_S = 30.0
ENDING_S = 5.0
"""What could not be killed has this long to have ended by itself."""
PULL_SILENCE_S = 60.0
"""How long a registry may send nothing."""
LIST_CONCURRENCY = 8
_REFUSED = (400, 401, 403, 404)
_POLL_S = 0.05
_RETRY_MAX_S = 2.0


class DockerEngine:
    """`data_dir` and `data_volume` are for a worker that itself runs in a container: its data directory is then a
    volume, and a workspace in it has another path for the daemon."""

    name = "docker"
    isolation = "container"
    product = "Docker"

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        data_dir: Path | None = None,
        data_volume: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._api = DockerApi(url, self.product)
        self._data_dir = data_dir
        self._data_volume = data_volume
        self._patience_s = patience_s
        self._volume_path: Path | None = None
        self._info: dict[str, Any] | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sender = Sender(self._write_line)
        self._whole_lines: set[str] = set()
        """Refs whose stdin is known to end in a whole line."""

    async def check(self) -> Availability:
        try:
            found = await self._api.version()
        except EngineError as error:
            return Availability(False, str(error))
        except DockerError as error:
            return Availability(False, f"{self._api.url} refused: {error.message}")
        version = str(found.get("Version", "?"))
        return Availability(True, f"version {version} at {self._api.url}", version)

    async def check_image(self, spec: Spec) -> None:
        if spec.runtime and spec.runtime not in (runtimes := (await self._daemon()).get("Runtimes") or {}):
            known = ", ".join(sorted(runtimes)) or "none"
            raise SpecRefused(f"runtime {spec.runtime!r} is not installed (there are: {known})")
        try:
            await self._api.image(spec.image)
        except DockerError as error:
            raise self._refusal(error, spec) from error

    async def pull(self, image: str) -> AsyncGenerator[PullProgress, None]:
        layers = Layers()
        try:
            # Without a tag the daemon would get all that there are.
            async with aclosing(self._api.pull(with_tag(image), silence_s=PULL_SILENCE_S)) as steps:
                async for step in steps:
                    yield layers.take(step)
        except DockerError as error:
            raise PullFailed(image, _one_line(error.message), retryable=error.status not in _REFUSED) from error

    async def start(self, spec: Spec, key: str) -> str:
        name = name_of(key)
        async with self._locks.setdefault(name, asyncio.Lock()):
            give_to(spec.workspace, spec.user)
            config = await self._config(spec, key)
            deadline = time.monotonic() + self._patience_s
            while time.monotonic() < deadline:
                try:
                    ref = await self._api.create(config, name)
                except DockerError as error:
                    if error.status != 409 and "already in use" not in error.message:  # Podman says 500
                        raise self._refusal(error, spec) from error
                    if (adopted := await self._adopt(name)) is not None:
                        return adopted
                    continue
                await self._start_created(ref)
                self._whole_lines.add(ref)
                return ref
            raise StartFailed(f"the name {name} stays taken by a container that is being removed")

    async def output(self, ref: str, after: Offset = BEGINNING) -> AsyncIterator[Output]:
        reader = FrameReader(after)
        retry, ended = _Retry(self._patience_s), False
        while True:
            try:
                # A followed log also ends when the daemon goes, and 20.10 may end it before the last lines; so the end
                # is believed only of a reading that began after it, when all that the program printed is there to be
                # read. That costs a second reading.
                async with aclosing(self._api.logs(ref, follow=not ended)) as chunks:
                    async for chunk in chunks:
                        retry.reset()
                        for piece in reader.feed(chunk):
                            yield piece
                if ended:
                    return
            except DockerError as error:
                raise _gone(error, ref) from error
            except EngineUnavailable as error:
                await retry.pause(error)
            else:
                ended = await self._has_ended(ref)
                await asyncio.sleep(0 if ended else _POLL_S)
            reader = FrameReader(reader.given)

    async def send(self, ref: str, line: bytes) -> None:
        await self._sender.send(ref, line)

    async def inspect(self, ref: str) -> Inspection:
        return _inspection(await self._inspected(ref))

    async def wait(self, ref: str) -> Exit:
        retry = _Retry(self._patience_s)
        while True:
            try:
                await self._api.wait(ref)
                if (found := await self.inspect(ref)).exit is not None:
                    return found.exit
                await asyncio.sleep(_POLL_S)  # created, and about to be started
            except DockerError as error:
                raise _gone(error, ref) from error
            except EngineUnavailable as error:
                await retry.pause(error)

    async def stop(self, ref: str, grace_s: float) -> None:
        with suppress(ContainerGone):
            if grace_s > 0 and await self._signal_and_wait(ref, "SIGTERM", grace_s):
                return
            if not await self._signal_and_wait(ref, "SIGKILL", KILLED_WITHIN_S):
                raise EngineError(f"container {ref[:12]} still runs {KILLED_WITHIN_S:.0f} s after SIGKILL")

    async def remove(self, ref: str) -> None:
        self._whole_lines.discard(ref)
        self._sender.forget(ref)
        deadline = time.monotonic() + KILLED_WITHIN_S
        while True:
            try:
                return await self._api.delete(ref)
            except DockerError as error:
                if error.status == 404:
                    return
                # 409: somebody else is removing it. 500: Podman, right after the program ended.
                if time.monotonic() > deadline:
                    raise EngineError(f"container {ref[:12]} cannot be removed: {error.message}") from error
            await asyncio.sleep(_POLL_S)

    async def list(self, labels: Mapping[str, str]) -> list[Inspection]:
        wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
        try:
            refs = await self._api.refs(wanted)
        except DockerError as error:
            raise EngineError(error.message) from error
        gate = asyncio.Semaphore(LIST_CONCURRENCY)
        found = await asyncio.gather(*(self._inspect_or_none(ref, gate) for ref in refs))
        return [inspection for inspection in found if inspection is not None]

    async def tidy(self, older_than_s: float) -> int:
        return 0  # the daemon does: what was created and never started is in its list

    async def close(self) -> None:
        await self._sender.close()
        await self._api.close()

    async def _config(self, spec: Spec, key: str) -> dict[str, Any]:
        cpus = float((await self._daemon()).get("NCPU") or spec.limits.cpus)
        source = await self._source(spec.workspace)
        gateway = await self._source(spec.gateway) if spec.gateway else None
        return create_config(spec, key, source=source, gateway=gateway, cpus_available=cpus)

    async def _daemon(self) -> dict[str, Any]:
        if self._info is None:
            self._info = await self._api.info()
        return self._info

    async def _source(self, workspace: Path) -> Path:
        """The workspace's path on the daemon's machine."""
        if self._data_dir is None or self._data_volume is None:
            return workspace
        if self._volume_path is None:
            try:
                self._volume_path = Path((await self._api.volume(self._data_volume))["Mountpoint"])
            except DockerError as error:
                raise StartFailed(f"volume {self._data_volume!r}: {error.message}") from error
        try:
            return self._volume_path / workspace.relative_to(self._data_dir)
        except ValueError:
            message = f"workspace {workspace} is not in {self._data_dir}, which is all that containers can see"
            raise SpecRefused(message) from None

    async def _inspected(self, ref: str) -> dict[str, Any]:
        try:
            return await self._api.inspect(ref)
        except DockerError as error:
            raise _gone(error, ref) from error

    async def _adopt(self, name: str) -> str | None:
        """The ref of the container of that name once it was started; None if there is none any more."""
        noticed = time.monotonic()
        while True:
            try:
                found = await self._api.inspect(name)
            except DockerError as error:
                if error.status == 404:
                    return None
                raise EngineError(error.message) from error
            ref, status = str(found["Id"]), found["State"]["Status"]
            if status == "created" and time.monotonic() - noticed > ADOPT_AFTER_S:
                await self._start_created(ref)
            elif status not in ("created", "removing"):
                return ref
            elif time.monotonic() - noticed > self._patience_s:
                return None
            await asyncio.sleep(_POLL_S)

    async def _start_created(self, ref: str) -> None:
        try:
            await self._api.start(ref)
        except DockerError as error:
            # Otherwise the key would be taken by something that never ran.
            await self.remove(ref)
            raise StartFailed(_one_line(error.message)) from error

    async def _write_line(self, ref: str, line: bytes) -> None:
        if not (await self.inspect(ref)).running:
            raise EngineError(f"container {ref[:12]} has ended: nobody reads its stdin")
        data = line + b"\n" if ref in self._whole_lines else b"\n" + line + b"\n"
        self._whole_lines.discard(ref)
        try:
            await self._put(ref, data)
        except DockerError as error:
            raise _gone(error, ref) from error
        self._whole_lines.add(ref)

    async def _put(self, ref: str, data: bytes) -> None:
        """All of it into the program's stdin, which stays open."""
        await self._api.write_stdin(ref, data)

    async def _has_ended(self, ref: str) -> bool:
        with suppress(EngineUnavailable):
            return (await self.inspect(ref)).exit is not None
        return False

    async def _ends(self, ref: str) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S):
                await self.wait(ref)
                return True
        return False

    async def _signal_and_wait(self, ref: str, signal: str, timeout_s: float) -> bool:
        try:
            await self._api.kill(ref, signal)
        except DockerError as error:
            # It does not run (409), or is on its way out: gVisor and Podman then answer 500.
            if error.status == 409 or (error.status == 500 and await self._ends(ref)):
                return True
            raise _gone(error, ref) from error
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.wait(ref)
                return True
        return False

    def _refusal(self, error: DockerError, spec: Spec) -> EngineError:
        if error.status == 404 and "image" in error.message.lower():
            return ImageMissing(spec.image, f"run `{remedy(spec.image, self.name)}`")
        return StartFailed(_one_line(error.message))

    async def _inspect_or_none(self, ref: str, gate: asyncio.Semaphore) -> Inspection | None:
        async with gate:
            with suppress(ContainerGone):
                return await self.inspect(ref)
        return None


class _Retry:
    """Pauses between attempts to reach the daemon, until it was away for `patience_s`."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        self._since: float | None = None
        self._pause_s = 0.05

    async def pause(self, error: EngineUnavailable) -> None:
        """Raises `error` if it is not worth another attempt."""
        self._since = self._since or time.monotonic()
        if not error.retryable or time.monotonic() - self._since > self._patience_s:
            raise error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _RETRY_MAX_S)


def _gone(error: DockerError, ref: str) -> EngineError:
    if error.status == 404 or (error.status == 409 and "marked for removal" in error.message):
        return ContainerGone(f"no container {ref[:12]}")
    return EngineError(_one_line(error.message))


def _one_line(message: str) -> str:
    return " ".join(message.split())[:500]


def _inspection(found: Mapping[str, Any]) -> Inspection:
    state = found["State"]
    running = bool(state["Running"])
    never_ran = running or state["Status"] == "created"
    return Inspection(
        ref=found["Id"],
        running=running,
        exit=None if never_ran else Exit(state["ExitCode"], bool(state["OOMKilled"]), _time(state["FinishedAt"])),
        started_at=_time(state["StartedAt"]),
        labels=found["Config"]["Labels"] or {},
        pid=state["Pid"] or None,
    )


_TIME = re.compile(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?(Z|[+-]\d+:\d+)")


def _time(text: str) -> datetime | None:
    """Go's RFC 3339 with nanoseconds. Its zero time, the year 1, means never."""
    if not (match := _TIME.fullmatch(text)):
        return None
    seconds, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{seconds}{(fraction or '.0')[:7].ljust(7, '0')}{zone.replace('Z', '+00:00')}")
    return moment.astimezone(UTC) if moment.year > 1 else None
