"""Containers of a Podman service, which speaks Docker's API: the same engine, but for what it does otherwise.

Without root its socket is made by `systemctl --user enable --now podman.socket`, for root by the same without `--user`.
The service has to be on this machine and this user's (or both are root's), because of what 4.3.1 does:

- It takes a seccomp profile as a path, and what Docker takes, the profile itself, for the name of a file that is not
  there (containers/podman issue 27710). So the profile is kept in a file.
- Following a log loses most lines of a program that prints much, so the log's file itself is the journal.
- When whoever was attached to stdin goes, stdin is closed: its monitor could leave it open, but is never told to. So
  nobody is attached: lines go into the pipe by way of /proc.
- It makes directories that are to be mounted and are not there.
- It knows no `nr_inodes` of a tmpfs: files in /tmp are bounded by the memory that they take, not by number.
"""

from __future__ import annotations

import asyncio
import os
import stat
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiodocker.exceptions import DockerError

from containers.engines.docker import DockerEngine
from containers.engines.docker_config import PROFILE, TMP_FILES
from containers.engines.podman_log import LogReader
from containers.engines.seccomp import profile_json
from containers.engines.sender import write_all
from containers.engines.watch import Watcher
from containers.errors import ContainerGone, EngineError, StartFailed
from containers.interface import BEGINNING, Availability, Offset, Output
from containers.spec import Spec

DEFAULT_URL = "unix:///run/podman/podman.sock"
PROFILE_FILE = "seccomp.json"
READ_BYTES = 256 * 1024


class PodmanEngine(DockerEngine):
    """`state_dir`: where the profile is kept, as the service sees it or in the data volume."""

    name = "podman"
    product = "Podman"

    def __init__(self, url: str = DEFAULT_URL, *, state_dir: Path, **options: Any) -> None:
        super().__init__(url, **options)
        self._profile = state_dir / PROFILE_FILE
        self._watcher = Watcher()

    async def check(self) -> Availability:
        found = await super().check()
        if not found.usable:
            return found
        try:
            storage = str((await self._daemon()).get("DockerRootDir", ""))
        except (EngineError, DockerError) as error:
            return Availability(False, f"{found.reason}: {error}", found.version)
        if os.access(storage, os.R_OK | os.X_OK):
            return found
        reason = f"its containers' logs in {storage or '?'} cannot be read from here: is it this user's?"
        return Availability(False, f"{found.reason}: {reason}", found.version)

    async def output(self, ref: str, after: Offset = BEGINNING) -> AsyncIterator[Output]:
        path, reader = Path((await self._inspected(ref))["LogPath"]), LogReader(after)
        ending = asyncio.create_task(self.wait(ref))
        try:
            with self._watcher.watch(path.parent) as changes, _opened(path) as log:
                ending.add_done_callback(lambda _: changes.happened.set())
                while True:
                    changes.forget()
                    # Asked before reading: what a program that has ended printed is all there is to read.
                    ended = ending.done()
                    while chunk := os.read(log, READ_BYTES):
                        for piece in reader.feed(chunk):
                            yield piece
                        await asyncio.sleep(0)
                    if ended:
                        ending.result()
                        return
                    await changes.wait()
        except FileNotFoundError:
            raise ContainerGone(f"no container {ref[:12]}") from None
        except OSError as error:
            raise EngineError(f"the log of container {ref[:12]} cannot be read: {error.strerror}") from error
        finally:
            ending.cancel()

    async def close(self) -> None:
        self._watcher.close()
        await super().close()

    async def _config(self, spec: Spec, key: str) -> dict[str, Any]:
        if not spec.workspace.is_dir():
            raise StartFailed(f"workspace {spec.workspace} is not a directory")
        config = await super()._config(spec, key)
        path = await self._source(self._written_profile())
        host = config["HostConfig"]
        host["SecurityOpt"] = [f"{PROFILE}{path}" if one.startswith(PROFILE) else one for one in host["SecurityOpt"]]
        host["Tmpfs"] = {at: options.replace(TMP_FILES, "") for at, options in host["Tmpfs"].items()}
        return config

    def _written_profile(self) -> Path:
        """Each time anew, whole or not at all: what is there may be of another version, or lost."""
        new = self._profile.with_name(f".{uuid.uuid4().hex}")
        try:
            self._profile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(profile_json(), encoding="ascii")
            new.rename(self._profile)
        except OSError as error:
            raise StartFailed(f"cannot write {self._profile}: {error.strerror}") from error
        return self._profile

    async def _put(self, ref: str, data: bytes) -> None:
        pid = (await self.inspect(ref)).pid
        ended = EngineError(f"container {ref[:12]} has ended: nobody reads its stdin")
        try:
            fd = os.open(f"/proc/{pid}/fd/0", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            raise ended from None
        except OSError as error:
            raise EngineError(f"stdin of container {ref[:12]} cannot be opened: {error.strerror}") from error
        try:
            # Asked again: the number may be another process's by now, and that has a stdin too.
            if not stat.S_ISFIFO(os.fstat(fd).st_mode) or (await self.inspect(ref)).pid != pid:
                raise ended
            await write_all(fd, data)
        except BrokenPipeError:
            raise ended from None
        finally:
            os.close(fd)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
