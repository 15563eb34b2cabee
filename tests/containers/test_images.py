from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from containers.docker_api import DockerApi
from containers.images.base import BuildFailed, is_local, resolve_base
from containers.images.build import (
    Image,
    build,
    find_acp,
    find_by_tag,
    find_examples,
    find_image,
    find_images,
    is_current,
    remedy,
    with_tag,
)
from containers.images.state import look
from tests.containers.bench import docker_image
from tests.servers.needs import docker_url

pytestmark = pytest.mark.asyncio


@pytest.fixture
def image(tmp_path: Path) -> Image:
    folder = tmp_path / "agentsite-test-image"
    (folder / "part" / "__pycache__").mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY . /agent\n")
    (folder / ".dockerignore").write_text("# not for the image\nDockerfile\n.dockerignore\n*.md\nsecret\n")
    (folder / "README.md").write_text("ignored")
    (folder / "secret").mkdir()
    (folder / "secret" / "key").write_text("ignored")
    (folder / "part" / "main.py").write_text("print('hi')")
    (folder / "part" / "__pycache__" / "main.pyc").write_text("ignored")
    return Image(folder)


@pytest_asyncio.fixture
async def api() -> AsyncIterator[DockerApi]:
    api = DockerApi(docker_url())
    yield api
    await api.close()


def names(image: Image, ca_bundle: Path | None = None) -> list[str]:
    with tarfile.open(fileobj=image.context(ca_bundle)) as archive:
        return archive.getnames()


async def test_every_folder_with_a_dockerfile_is_an_image() -> None:
    assert "demo" in [image.name for image in find_images()]
    assert find_image("demo").tag == "agentsite/demo:latest"
    with pytest.raises(BuildFailed, match=r"no-such.*demo"):
        find_image("no-such")


async def test_agents_of_others_are_images_that_only_their_names_build() -> None:
    assert [image.name for image in find_acp()] == ["gemini", "opencode"]
    assert find_image("gemini").tag == "agentsite/gemini:latest"
    assert remedy("agentsite/opencode") == "agentsite images build opencode"
    assert not {image.name for image in find_images()} & {image.name for image in find_acp()}


async def test_every_example_is_an_image_that_only_its_name_builds() -> None:
    assert [image.name for image in find_examples()] == ["example-node", "example-python", "example-sh"]
    assert find_image("example-sh").tag == "agentsite/example-sh:latest"
    assert not {image.name for image in find_images()} & {image.name for image in find_examples()}


@pytest.mark.parametrize(
    ("reference", "command"),
    [
        ("agentsite/demo:latest", "agentsite images build demo"),
        ("agentsite/demo", "agentsite images build demo"),
        ("agentsite/example-sh", "agentsite images build example-sh"),
        ("agentsite/demo:2", "docker pull agentsite/demo:2"),
        ("somebody/demo", "docker pull somebody/demo"),
    ],
)
async def test_what_brings_an_image_here(reference: str, command: str) -> None:
    assert remedy(reference) == command


async def test_a_reference_without_tag_or_digest_means_the_newest() -> None:
    assert with_tag("host:5000/name") == "host:5000/name:latest"
    for whole in ("host:5000/name:1", "name:1", "name@sha256:" + "0" * 64):
        assert with_tag(whole) == whole
    assert find_by_tag("demo") is None


async def test_what_is_ignored_is_not_sent(image: Image) -> None:
    assert names(image) == [".dockerignore", "Dockerfile", "part/main.py"]


async def test_same_content_gives_the_same_context_and_digest(image: Image) -> None:
    digest, context = image.digest(), image.context(None).read()
    (image.folder / "README.md").write_text("changed, but not sent")
    (image.folder / "part" / "main.py").touch()
    assert (image.digest(), image.context(None).read()) == (digest, context)
    (image.folder / "part" / "main.py").chmod(0o755)
    executable = image.digest()
    (image.folder / "part" / "main.py").rename(image.folder / "part" / "other.py")
    assert len({digest, executable, image.digest()}) == 3


async def test_certificates_are_sent_only_to_what_asks_for_them(image: Image, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificate")
    assert ".ca-bundle.pem" not in names(image, bundle)
    (image.folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG CA_BUNDLE\n")
    assert ".ca-bundle.pem" in names(image, bundle)
    assert ".ca-bundle.pem" in names(image, None)


async def test_demo_is_built_without_certificates() -> None:
    assert not find_image("demo").installs()


@pytest.mark.docker
async def test_image_is_built_once_for_the_same_content(image: Image, api: DockerApi) -> None:
    base = await docker_image()
    try:
        assert not await is_current(api, image)
        assert (await look(api, image.tag)).state == "missing"
        assert await build(api, image, base_image=base)
        assert await is_current(api, image)
        found = await look(api, image.tag)
        assert found.state == "present"
        assert found.size_bytes
        assert found.created_at
        assert abs((datetime.now(UTC) - found.created_at).total_seconds()) < 120
        assert not await build(api, image, base_image=base)
        replaced = (await api.image(image.tag))["Id"]
        (image.folder / "part" / "main.py").write_text("print('changed')")
        assert not await is_current(api, image)
        assert await build(api, image)
        assert not await is_local(api, replaced)
    finally:
        await api.delete_image(image.tag)


@pytest.mark.docker
async def test_failing_step_is_one_line(image: Image, api: DockerApi) -> None:
    (image.folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN exit 9\n")
    with pytest.raises(BuildFailed, match="returned a non-zero code: 9") as raised:
        await build(api, image, base_image=await docker_image())
    assert "\n" not in str(raised.value)


@pytest.mark.docker
async def test_base_that_is_here_is_not_pulled(api: DockerApi) -> None:
    said: list[str] = []
    base = await docker_image()
    assert await resolve_base(api, base, said.append) == base
    assert said == []
    assert await is_local(api, base)
    assert not await is_local(api, "agentsite/no-such:latest")
