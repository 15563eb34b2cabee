"""What only the docker engine promises: its profile, seen from outside and tried from inside; a daemon's moods."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiodocker import Docker

from containers.engines.docker import DockerEngine
from containers.errors import EnginePermission, EngineUnavailable, ImageMissing, SpecRefused, StartFailed
from containers.interface import Offset
from containers.spec import MIB, Limits
from containers.workspace import program_user
from tests.containers.bench import DEADLINE_S, REPOSITORY, Bench
from tests.servers.needs import docker_url

pytestmark = [pytest.mark.asyncio, pytest.mark.docker, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def bench(docker_bench: Bench) -> AsyncIterator[Bench]:
    yield docker_bench


async def test_every_field_of_the_profile_is_set(bench: Bench) -> None:
    limits = Limits(cpus=0.5, memory_bytes=64 * MIB, pids=33, output_bytes=MIB, open_files=99, file_bytes=7 * MIB)
    ref = await bench.start("pass", limits=limits, labels={"run": "r1"})
    async with Docker(docker_url()) as docker:
        found = await docker.containers.container(ref).show()
    config, host = found["Config"], found["HostConfig"]
    assert found["Name"].startswith("/agentsite-test-")
    assert config["User"] == program_user()
    assert config["WorkingDir"] == "/workspace"
    assert config["Labels"]["run"] == "r1"
    assert config["Labels"]["agentsite.key"] == found["Name"].removeprefix("/agentsite-")
    assert (config["OpenStdin"], config["StdinOnce"], config["Tty"]) == (True, False, False)
    assert config["StopTimeout"] == 10
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert any(option.startswith('seccomp={"defaultAction":"SCMP_ACT_ERRNO"') for option in host["SecurityOpt"])
    assert host["Init"] is True
    assert host["Memory"] == host["MemorySwap"] == 64 * MIB
    assert host["NanoCpus"] == 500_000_000
    assert host["PidsLimit"] == 33
    assert host["OomScoreAdj"] == 500
    assert {"noexec", "nosuid", "nodev", f"size={64 * MIB}", "nr_inodes=16384"} <= set(host["Tmpfs"]["/tmp"].split(","))
    assert host["ShmSize"] == 16 * MIB
    ulimits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert ulimits == {"nofile": (99, 99), "core": (0, 0), "fsize": (7 * MIB, 7 * MIB)}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "1", "max-size": str((72 + 16) * MIB)}}
    assert host["AutoRemove"] is False
    assert host["RestartPolicy"]["Name"] == "no"
    mounts = [(mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) for mount in found["Mounts"]]
    assert mounts == [("bind", str(bench.workspace), "/workspace", True)]


async def test_too_much_memory_is_flagged(bench: Bench) -> None:
    ref = await bench.start("b'x' * (200 << 20)", limits=Limits(memory_bytes=48 * MIB))
    found = await bench.engine.wait(ref)
    assert (found.code, found.oom_killed) == (137, True)


@pytest.mark.alone  # on a busy machine Docker says that it was killed, and only later why
async def test_memory_limit_counts_tmp(bench: Bench) -> None:
    code = "open('/tmp/x', 'wb').write(b'x' * (100 << 20))"
    ref = await bench.start(code, limits=Limits(memory_bytes=48 * MIB, tmp_bytes=256 * MIB))
    assert (await bench.engine.wait(ref)).oom_killed


async def test_number_of_processes_is_limited(bench: Bench) -> None:
    code = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except OSError as error:
    print(made, error.strerror)
"""
    stdout, _, _ = await bench.run(code, limits=Limits(pids=20))
    assert stdout == b"18 Resource temporarily unavailable\n"  # the init and the program itself count


async def test_full_tmp_is_an_error_of_the_program(bench: Bench) -> None:
    code = """
try:
    with open("/tmp/x", "wb") as file:
        file.write(b"x" * (5 << 20))
except OSError as error:
    print(error.strerror)
"""
    assert (await bench.run(code, limits=Limits(tmp_bytes=MIB)))[0] == b"No space left on device\n"


async def test_missing_image_says_what_to_do(bench: Bench) -> None:
    for image, hint in (("agentsite/no-such", "docker pull agentsite/no-such"), ("no-such:1", "docker pull no-such:1")):
        spec = bench.spec("pass", image=image)
        with pytest.raises(ImageMissing, match=hint):
            await bench.engine.check_image(spec)
        with pytest.raises(ImageMissing, match=hint):
            await bench.engine.start(spec, bench.key())
    await bench.engine.check_image(bench.spec("pass"))


async def test_unknown_runtime_is_refused(bench: Bench) -> None:
    spec = bench.spec("pass", runtime="no-such-runtime")
    with pytest.raises(SpecRefused, match="not installed"):
        await bench.engine.check_image(spec)
    with pytest.raises(StartFailed, match="no-such-runtime"):
        await bench.engine.start(spec, bench.key())


async def test_more_cpus_than_there_are_is_no_error(bench: Bench) -> None:
    assert (await bench.run("print(1)", limits=Limits(cpus=4096)))[0] == b"1\n"


async def test_container_whose_creator_died_is_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.engines.docker.ADOPT_AFTER_S", 0.2)
    engine, spec, key = bench.engine, bench.spec("print('ran')"), bench.key()
    assert isinstance(engine, DockerEngine)
    created = await engine._api.create(await engine._config(spec, key), f"agentsite-{key}")
    assert (await engine.inspect(created)).exit is None
    assert await bench.another_engine().start(spec, key) == created
    assert (await bench.read(created))[0] == b"ran\n"


class Proxy:
    """Stands between an engine and the daemon; can cut all connections, and be away."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "proxy.sock"
        self.url = f"unix://{self.path}"
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def cut(self) -> None:
        """As when the daemon is restarted."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self.path.unlink(missing_ok=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(docker_url().removeprefix("unix://"))
        self._writers |= {writer, theirs[1]}
        await asyncio.gather(_pump(reader, theirs[1]), _pump(theirs[0], writer))
        writer.close()
        theirs[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


@pytest.mark.skipif(not docker_url().startswith("unix://"), reason="the proxy is one of Unix sockets")
async def test_output_and_wait_survive_a_daemon_that_goes_and_comes_back(bench: Bench) -> None:
    code = """
import sys, time
for number in range(2000):
    print(number)
    if number % 100 == 0:
        time.sleep(0.05)
"""
    proxy = Proxy(bench.directory)
    await proxy.open()
    engine = DockerEngine(proxy.url)
    bench.engines.append(engine)
    ref = await engine.start(bench.spec(code), bench.key())
    waiting = asyncio.create_task(engine.wait(ref))
    read = bytearray()
    cuts = 0
    async with asyncio.timeout(DEADLINE_S):
        async for _, data in engine.output(ref):
            read += data
            if len(read) > 1500 * (cuts + 1) and cuts < 3:
                cuts += 1
                await proxy.cut()
                await proxy.open()
        assert (await waiting).code == 0
    assert cuts == 3
    assert read.split() == [b"%d" % number for number in range(2000)]
    await proxy.cut()


async def test_impatient_reader_gives_up_on_a_daemon_that_stays_away(bench: Bench) -> None:
    proxy = Proxy(bench.directory)
    await proxy.open()
    engine = DockerEngine(proxy.url, patience_s=0.3)
    bench.engines.append(engine)
    ref = await engine.start(bench.spec("import time; time.sleep(600)"), bench.key())
    await proxy.cut()
    with pytest.raises(EngineUnavailable, match="no such socket"):
        async for _ in engine.output(ref):
            pass
    assert not (await engine.check()).usable


async def test_absent_and_dead_daemons_are_told_apart(tmp_path: Path) -> None:
    dead = tmp_path / "dead.sock"
    server = await asyncio.start_unix_server(lambda reader, writer: None, dead)
    server.close()
    dead.touch()
    for path, reason in ((tmp_path / "none.sock", "no such socket"), (dead, "refused")):
        engine = DockerEngine(f"unix://{path}")
        availability = await engine.check()
        assert not availability.usable
        assert reason in availability.reason
        with pytest.raises(EngineUnavailable, match=reason) as raised:
            await engine.inspect("x")
        assert raised.value.retryable
        await engine.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
async def test_socket_that_may_not_be_used_is_a_matter_of_permission(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from containers.engines.docker import DockerEngine
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    engine = DockerEngine({str(docker_url())!r})
    print((await engine.check()).reason)
    try:
        await engine.inspect("x")
    except Exception as error:
        print(type(error).__name__, error.retryable)
    await engine.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "may not use" in done.stdout
    assert f"{EnginePermission.__name__} False" in done.stdout


@pytest_asyncio.fixture
async def volume() -> AsyncIterator[tuple[str, Path]]:
    """Name and, for this test only, path of a volume of the daemon."""
    async with Docker(docker_url()) as docker:
        name = f"agentsite-test-{uuid.uuid4().hex}"
        made = await docker.volumes.create({"Name": name})
        path = Path((await made.show())["Mountpoint"])
        yield name, path
        await made.delete(force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="volumes are root's")
async def test_workspace_in_a_data_volume_is_found_by_the_daemon(bench: Bench, volume: tuple[str, Path]) -> None:
    name, path = volume
    if not path.is_dir():
        pytest.skip("the daemon's volumes are not on this machine")
    (path / "agents" / "a1").mkdir(parents=True)
    os.chown(path / "agents" / "a1", 65532, 65532)  # the path that containers would see is not here
    engine = DockerEngine(docker_url(), data_dir=Path("/data"), data_volume=name)
    bench.engines.append(engine)
    spec = bench.spec("open('made', 'w').close()", workspace=Path("/data/agents/a1"))
    ref = await engine.start(spec, bench.key())
    assert (await engine.wait(ref)).code == 0
    assert (path / "agents" / "a1" / "made").exists()
    await engine.remove(ref)
    with pytest.raises(SpecRefused, match="is not in /data"):
        await engine.start(replace(spec, workspace=Path("/elsewhere")), bench.key())
    shutil.rmtree(path / "agents")


async def test_many_followers_leave_room_for_other_calls(bench: Bench) -> None:
    """aiohttp's default is 100 connections: the 101st call would wait for ever."""
    ref = await bench.start("import time; print('ready'); time.sleep(600)")
    followers = [bench.follow(ref) for _ in range(110)]
    for follower in followers:
        await follower.until(b"ready\n")
    async with asyncio.timeout(10):
        await bench.engine.stop(ref, 0)
    for follower in followers:
        assert await follower.end() == b"ready\n"


async def test_readers_offset_beyond_the_end_gives_nothing(bench: Bench) -> None:
    ref = await bench.start("print('short')")
    assert await bench.read(ref, Offset(1000, 1000)) == (b"", b"")
