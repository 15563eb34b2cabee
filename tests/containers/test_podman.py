"""What only the podman engine promises. What every engine does, tests/contract tries, where there is a Podman."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from containers.engines.docker_config import create_config
from containers.engines.podman import PodmanEngine
from containers.engines.podman_log import LogReader
from containers.engines.seccomp import profile
from containers.errors import EngineError, ImageMissing, StartFailed
from containers.interface import BEGINNING, Offset, Stream
from containers.spec import Spec

VERSION = {"ApiVersion": "1.41", "Version": "4.3.1"}
TIME = b"2026-11-21T18:44:29.599752730+00:00"
outputs = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")),
        st.booleans(),
    ),
    max_size=12,
)


class Service:
    """Answers what an engine asks before it creates anything. A real one is in few places."""

    def __init__(self, path: Path, storage: Path) -> None:
        self.url = f"unix://{path}"
        self.path = path
        self.answers = {"/version": VERSION, "/info": {"NCPU": 2, "DockerRootDir": str(storage)}}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().removeprefix("/v1.41")
            found = self.answers.get(asked)
            body = json.dumps(found or {"message": "no such image"}).encode()
            head = (
                f"HTTP/1.1 {200 if found else 404} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path / "podman.sock", tmp_path)
    async with await asyncio.start_unix_server(made.serve, made.path):
        yield made


@pytest_asyncio.fixture
async def engine(service: Service, tmp_path: Path) -> AsyncIterator[PodmanEngine]:
    made = PodmanEngine(service.url, state_dir=tmp_path / "podman")
    yield made
    await made.close()


async def test_its_profile_is_dockers_but_for_what_podman_does_not_take(engine: PodmanEngine, tmp_path: Path) -> None:
    spec = Spec("image", tmp_path, command=("true",))
    ours = await engine._config(spec, "key")
    dockers = create_config(spec, "key", source=tmp_path, cpus_available=2)
    path = Path(ours["HostConfig"]["SecurityOpt"].pop().removeprefix("seccomp="))
    assert json.loads(path.read_text()) == profile()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    dockers["HostConfig"]["SecurityOpt"].pop()
    assert ours["HostConfig"].pop("Tmpfs") == {"/tmp": f"rw,noexec,nosuid,nodev,size={64 * 2**20},mode=1777"}
    dockers["HostConfig"].pop("Tmpfs")
    assert ours == dockers


async def test_a_workspace_that_is_not_there_is_not_made(engine: PodmanEngine, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="nowhere"):
        await engine._config(Spec("image", tmp_path / "nowhere"), "key")


async def test_a_missing_image_says_what_to_do(engine: PodmanEngine, tmp_path: Path) -> None:
    with pytest.raises(ImageMissing, match="podman pull no-such:1"):
        await engine.check_image(Spec("no-such:1", tmp_path))


async def test_a_service_whose_logs_can_not_be_read_can_not_be_used(engine: PodmanEngine, service: Service) -> None:
    assert (await engine.check()).usable
    engine._info = {"DockerRootDir": "/nonexistent"}
    found = await engine.check()
    assert not found.usable
    assert "logs in /nonexistent cannot be read" in found.reason


async def test_a_service_that_says_nothing_of_itself_can_not_be_used(engine: PodmanEngine, service: Service) -> None:
    del service.answers["/info"]
    assert not (await engine.check()).usable


@given(outputs, st.lists(st.integers(1, 60), max_size=20), st.integers(0, 80), st.integers(0, 80))
def test_bytes_after_any_offset_come_out_however_the_log_is_cut(
    output: list[tuple[Stream, bytes, bool]], sizes: list[int], out_at: int, err_at: int
) -> None:
    log = b"".join(b"%b %b %b %b\n" % (TIME, name.encode(), b"PF"[end : end + 1], part) for name, part, end in output)
    reader, found = LogReader(Offset(out_at, err_at)), {"stdout": b"", "stderr": b""}
    for size in [*sizes, len(log)]:
        for piece in reader.feed(log[:size]):
            found[piece.stream] += piece.data
        log = log[size:]
    for stream, at in (("stdout", out_at), ("stderr", err_at)):
        whole = b"".join(part + b"\n" * end for name, part, end in output if name == stream)
        assert found[stream] == whole[at:]


@pytest.mark.parametrize("record", [b"", b"plain words", TIME + b" stdin F x", TIME + b" stdout X x", b'{"log":"x"}'])
def test_what_is_no_log_of_podmans_is_refused(record: bytes) -> None:
    with pytest.raises(EngineError):
        LogReader(BEGINNING).feed(record + b"\n")
