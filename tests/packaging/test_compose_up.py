"""docker-compose.yml, brought up for real: all of it gets healthy, and an agent runs.

Where no registry can be reached, PostgreSQL and Redis are images made from Debian's packages (standins/).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).parent / "standins"
CONTEXT = (
    *("pyproject.toml", "requirements.txt", "requirements-installer.txt", "README.md", "LICENSE", "manage.py"),
    *("agents.toml", "Dockerfile"),
)
PACKAGES = ("agentsite", "agents", "clients", "containers", "streaming")
SOCKET = Path("/var/run/docker.sock")
UP_TIMEOUT_S = 180

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]


def docker(*arguments: str, timeout_s: float = 600, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0 or not check, f"docker {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


def is_here(image: str) -> bool:
    return docker("image", "inspect", image, check=False).returncode == 0


class Stack:
    """One project of docker-compose, with names of its own: it never meets a site that runs on this machine."""

    def __init__(self, folder: Path) -> None:
        self.project = f"agentsite-test-{secrets.token_hex(4)}"
        self._folder = folder
        self._compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]

    def prepare(self) -> None:
        if not SOCKET.exists():
            pytest.skip(f"the engine is not at {SOCKET}, which is where docker-compose.yml looks")
        base = next(filter(is_here, ("python:3.12-slim", "agentsite/base:bookworm")), None)
        if base is None:
            pytest.skip("no base image here: run `make images`")
        if docker("run", "--rm", base, "apt-get", "update", "-q", "--error-on=any", check=False).returncode:
            pytest.skip("containers reach no Debian mirror here, so no image can be built")
        self._copy_source()
        settings = {
            "AGENTSITE_SECRET_KEY": secrets.token_urlsafe(50),
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "AGENTSITE_PORT": str(free_port()),
            "AGENTSITE_VERSION": self.project,
            "BASE_IMAGE": base,
            "DOCKER_GID": str(SOCKET.stat().st_gid),
            "POSTGRES_IMAGE": self._server_image("postgres:16", base),
            "REDIS_IMAGE": self._server_image("redis:7", base),
        }
        self.url = f"http://127.0.0.1:{settings['AGENTSITE_PORT']}"
        (self._folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def up(self) -> None:
        self.compose("up", "--build", "--detach")

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", check=False)
        docker("image", "rm", "--no-prune", f"agentsite:{self.project}", check=False)

    def compose(self, *arguments: str, check: bool = True) -> str:
        command = [*self._compose, "--project-name", self.project, *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        label = f"label=com.docker.compose.service={service}"
        project = f"label=com.docker.compose.project={self.project}"
        (found,) = docker("ps", "--all", "--quiet", "--filter", project, "--filter", label).stdout.split()
        described: dict[str, Any] = json.loads(docker("inspect", found).stdout)[0]
        return described

    def wait_until_healthy(self, service: str) -> None:
        deadline = time.monotonic() + UP_TIMEOUT_S
        while (state := self.inspect(service)["State"])["Health"]["Status"] != "healthy":
            assert time.monotonic() < deadline, f"{service}: {state}\n{self.compose('logs', '--tail=30', service)}"
            time.sleep(0.5)

    def _copy_source(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in PACKAGES:
            shutil.copytree(ROOT / name, self._folder / name, ignore=ignored)
        for name in CONTEXT:
            shutil.copy(ROOT / name, self._folder)
        compose = (ROOT / "docker-compose.yml").read_text()
        (self._folder / "docker-compose.yml").write_text(compose.replace("agentsite-data", f"{self.project}-data"))
        if certificates := os.environ.get("SSL_CERT_FILE"):  # a private certificate authority
            shutil.copy(certificates, self._folder / ".ca-bundle.pem")

    def _server_image(self, name: str, base: str) -> str:
        if is_here(name) or docker("pull", "--quiet", name, timeout_s=300, check=False).returncode == 0:
            return name
        kind = name.partition(":")[0]
        tag = f"agentsite-test/{kind}"
        docker("build", "--quiet", "--tag", tag, "--build-arg", f"BASE_IMAGE={base}", str(STANDINS / kind))
        return tag


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    if not shutil.which("docker"):
        pytest.skip("there is no docker command here")
    if not shutil.which("docker-compose") and docker("compose", "version", check=False).returncode:
        pytest.skip("neither docker-compose nor docker compose is installed")
    stack = Stack(tmp_path_factory.mktemp("compose"))
    stack.prepare()
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def api(stack) -> Iterator[httpx.Client]:
    stack.wait_until_healthy("web")
    create = "from django.contrib.auth import get_user_model as m; m().objects.create_superuser('admin')"
    stack.compose("exec", "-T", "web", "python", "manage.py", "shell", "-c", create)
    token = stack.compose("exec", "-T", "web", "agentsite", "token", "admin").split()[-1]
    with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, timeout=120) as client:
        yield client


@pytest.mark.parametrize("service", ["postgres", "redis", "web", "worker", "beat"])
def test_it_gets_healthy(stack, service):
    stack.wait_until_healthy(service)


def test_the_migrations_ended_well(stack):
    state = stack.inspect("migrate")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_everything_answers(stack, api):
    stack.wait_until_healthy("worker")
    assert api.get("/readyz").json()["status"] == "ok"


def test_only_the_worker_got_the_engines_socket(stack):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    sources = {name: [mount["Source"] for mount in stack.inspect(name)["Mounts"]] for name in services}
    assert [name for name in services if str(SOCKET) in sources[name]] == ["worker"]


def approve_if_asked(api, event):
    if event["type"] == "approval-request":
        address = f"/api/runs/{event['run_id']}/approvals/{event['data']['approval_id']}"
        api.post(address, json={"decision": "approve"}).raise_for_status()


def test_an_agent_runs_in_a_container_and_its_files_are_there(stack, api):
    stack.wait_until_healthy("worker")
    agent = api.post("/api/agents", json={"definition": "demo", "input": "Analyse the data."}).raise_for_status().json()
    with api.stream("GET", f"/api/agents/{agent['id']}/stream", params={"after": "0-0", "until": "done"}) as stream:
        events = []
        for line in stream.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line[5:]))
                approve_if_asked(api, events[-1])
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], events[-1]["data"]["status"]) == ("done", "completed")
    paths = {file["path"] for file in api.get(f"/api/agents/{agent['id']}/files").json()["files"]}
    assert "report.md" in paths
    uploaded = api.put(f"/api/agents/{agent['id']}/files/mine.csv", content=b"a,b\n1,2\n")
    assert uploaded.is_success, uploaded.text
