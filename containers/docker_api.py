"""The Docker API as the engine needs it: aiodocker, plus exact bytes of logs, acknowledged stdin, and sorted errors.

What a daemon refuses is a `DockerError` with its status; what keeps us from asking it is an `EngineUnavailable`.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO, Any

import aiohttp
from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError
from aiodocker.volumes import DockerVolume

from containers.errors import EngineError, EnginePermission, EngineUnavailable, PullFailed

DEFAULT_URL = "unix:///var/run/docker.sock"
CALL_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0
NOT_CONNECTED = 900
"""aiodocker's status for a connection that failed."""


class DockerApi:
    """One daemon. Bound to the event loop that first uses it."""

    def __init__(self, url: str, product: str = "Docker") -> None:
        self.url = url
        self._product = product
        self._client: Docker | None = None
        self._connector: aiohttp.BaseConnector | None = None

    async def version(self) -> dict[str, Any]:
        async with self._sorted_errors():
            return await self._docker.version()

    async def info(self) -> dict[str, Any]:
        async with self._sorted_errors():
            return dict(await self._docker.system.info())

    async def image(self, name: str) -> dict[str, Any]:
        async with self._sorted_errors():
            return dict(await self._docker.images.inspect(name))

    async def delete_image(self, name: str) -> None:
        """DockerError (409) if a container was made from it."""
        async with self._sorted_errors():
            await self._docker.images.delete(name)

    async def volume(self, name: str) -> dict[str, Any]:
        async with self._sorted_errors():
            return dict(await DockerVolume(self._docker, name).show())  # type: ignore[no-untyped-call]  # aiodocker does not annotate it

    async def create(self, config: dict[str, Any], name: str) -> str:
        async with self._sorted_errors():
            return (await self._docker.containers.create(config, name=name)).id

    async def start(self, ref: str) -> None:
        async with self._sorted_errors():
            await self._container(ref).start()

    async def inspect(self, ref: str) -> dict[str, Any]:
        async with self._sorted_errors():
            return await self._container(ref).show()

    async def refs(self, labels: list[str]) -> list[str]:
        """Ids of all containers, also stopped ones, with these labels (`name` or `name=value`)."""
        async with self._sorted_errors():
            found = await self._docker.containers.list(all=True, filters={"label": labels})
            return [container.id for container in found]

    async def wait(self, ref: str) -> None:
        """Until it does not run (any more). However long that takes."""
        async with self._sorted_errors(timeout_s=None):
            await self._container(ref).wait(condition="not-running")

    async def kill(self, ref: str, signal: str) -> None:
        async with self._sorted_errors():
            await self._container(ref).kill(signal=signal)

    async def delete(self, ref: str) -> None:
        async with self._sorted_errors():
            await self._container(ref).delete(force=True, v=True)

    async def logs(self, ref: str, *, follow: bool) -> AsyncGenerator[bytes, None]:
        """The journal from its beginning, as frames, in chunks cut anywhere. aiodocker's `log` would decode the bytes
        and forget which stream they are of."""
        async with self._sorted_errors(timeout_s=None):
            url = await self._url(f"containers/{ref}/logs")
            params = {"stdout": "1", "stderr": "1", "follow": str(int(follow))}
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            async with self._docker.session.get(url, params=params, timeout=timeout) as response:
                if response.status != 200:
                    raise await _refused(response)
                async for chunk in response.content.iter_any():
                    yield chunk

    async def write_stdin(self, ref: str, data: bytes) -> None:
        """Returns when the daemon has put all of `data` into the program's stdin: it closes the connection, which we
        have half-closed, only then. Stdin itself stays open. Takes as long as the program does to read."""
        async with self._sorted_errors(timeout_s=None), self._container(ref).attach(stdin=True) as stream:
            await stream.write_in(data)
            transport = stream._resp.connection.transport if stream._resp and stream._resp.connection else None
            if transport is not None and transport.can_write_eof():
                transport.write_eof()
                await stream.read_out()

    async def pull(self, image: str, *, silence_s: float) -> AsyncGenerator[dict[str, Any], None]:
        """What the daemon says on the way; `image` with its tag or digest. Closing it makes the daemon give up. Not
        through aiodocker, which leaves a stream that is broken off open: the daemon would go on. PullFailed when
        nothing is heard for `silence_s`: a registry that can't be reached may also just not answer."""
        async with self._sorted_errors(timeout_s=None):
            url = await self._url("images/create")
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            async with self._docker.session.post(url, params={"fromImage": image}, timeout=timeout) as response:
                if response.status != 200:
                    raise await _refused(response)
                while True:
                    try:
                        async with asyncio.timeout(silence_s):
                            line = await response.content.readline()
                    except TimeoutError:
                        raise PullFailed(image, f"nothing heard for {silence_s:.0f} s", retryable=True) from None
                    if not line:
                        return
                    step = dict(json.loads(line))
                    if "error" in step:
                        raise DockerError(500, str(step["error"]))
                    yield step

    async def build(
        self,
        context: IO[bytes],
        tag: str,
        arguments: dict[str, str],
        labels: dict[str, str],
        network: str | None = None,
    ) -> list[str]:
        """Build from a tar of the folder; returns what the steps printed. DockerError if one fails. Not through
        aiodocker, which cannot say which network the steps have: "none" also works where the daemon has no bridge."""
        params = {"t": tag, "forcerm": "true", "buildargs": json.dumps(arguments), "labels": json.dumps(labels)}
        said: list[str] = []
        async with (
            self._sorted_errors(timeout_s=None),
            self._docker.session.post(
                await self._url("build"),
                params=params | ({"networkmode": network} if network else {}),
                data=context,
                headers={"content-type": "application/x-tar"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            ) as response,
        ):
            if response.status != 200:
                raise await _refused(response)
            while line := await response.content.readline():
                step = dict(json.loads(line))
                if "error" in step:
                    raise DockerError(500, str(step["error"]))
                said += str(step.get("stream", "")).splitlines()
        return said

    async def import_root(self, archive: IO[bytes], repository: str, tag: str, changes: list[str]) -> None:
        """An image of one layer from a tar of a root file system."""
        async with self._sorted_errors(timeout_s=None):
            params = [
                ("fromSrc", "-"),
                ("repo", repository),
                ("tag", tag),
                *(("changes", change) for change in changes),
            ]
            async with self._docker.session.post(
                await self._url("images/create"), params=params, data=archive
            ) as response:
                if response.status != 200:
                    raise await _refused(response)
                await response.read()

    async def close(self) -> None:
        client, connector, self._client, self._connector = self._client, self._connector, None, None
        if client is not None:
            await client.close()
        if connector is not None:
            await connector.close()

    @property
    def _docker(self) -> Docker:
        if self._client is None:
            # Without a limit, 100 followed logs would leave no connection to stop anything with. A connection a
            # request, because one kept alive over a restart of the daemon fails the next POST.
            if self.url.startswith("unix://"):
                self._connector = aiohttp.UnixConnector(self.url.removeprefix("unix://"), limit=0, force_close=True)
                url = "unix://localhost"
            else:
                self._connector = aiohttp.TCPConnector(limit=0, force_close=True)
                url = self.url
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            self._client = Docker(url, connector=self._connector, timeout=timeout)
        return self._client

    async def _url(self, path: str) -> str:
        """For what aiodocker has no method for."""
        docker = self._docker
        if docker.api_version == "auto":
            await docker.version()
        return f"{docker.docker_host}/{docker.api_version}/{path}"

    def _container(self, ref: str) -> DockerContainer:
        return self._docker.containers.container(ref)

    @asynccontextmanager
    async def _sorted_errors(self, timeout_s: float | None = CALL_TIMEOUT_S) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except DockerError as error:
            if error.status != NOT_CONNECTED:
                raise
            raise self._unavailable(error.__context__ or error) from error
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise self._unavailable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{self.url} does not answer like a Docker API: {error}") from error

    def _unavailable(self, error: BaseException) -> EngineUnavailable:
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
            group = " (is it in the docker group?)" if self._product == "Docker" else ""
            return EnginePermission(f"this user may not use {self.url}{group}")
        if number == errno.ENOENT:
            return EngineUnavailable(f"no {self._product} at {self.url}: no such socket")
        if number == errno.ECONNREFUSED:
            return EngineUnavailable(f"no {self._product} at {self.url}: connection refused (is the daemon running?)")
        reason = str(error) or type(error).__name__
        return EngineUnavailable(f"no answer from {self._product} at {self.url}: {reason}")


async def _refused(response: aiohttp.ClientResponse) -> DockerError:
    text = await response.text()
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return DockerError(response.status, text)
