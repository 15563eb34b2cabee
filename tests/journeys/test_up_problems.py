"""What `agentsite up` says when it cannot start: one line that tells what to mend, exit code 2, nothing left behind."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys import processes
from tests.journeys.site import environment
from tests.servers.ports import ReservedPort
from tests.servers.postgres import unprivileged_user
from tests.servers.process import new_directory, owned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
END_S = 60
UP = [sys.executable, "-m", "agentsite", "up"]
GOOD = '[definitions.demo]\nimage = "agentsite/demo:latest"\n'


@pytest.fixture
def directory() -> Path:
    """Where `up` is called; belongs to whom it runs as."""
    made = new_directory("up", unprivileged_user())
    (made / "agents.toml").write_text(GOOD)
    return made


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    port = ReservedPort()
    yield port.number
    port.release()


def refused(directory: Path, *, as_somebody: bool = False, **settings: str) -> str:
    """What `up` said, in its one line. `as_somebody`: not as root, who may do everything."""
    data = Path(settings.setdefault("AGENTSITE_DATA_DIR", str(directory / "data")))
    user = unprivileged_user() if as_somebody else None
    done = subprocess.run(
        owned(UP, user=user, death_signal="KILL") if user else UP,
        cwd=directory,
        env=environment(**{"AGENTSITE_PORT": "0", **settings}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert done.returncode == 2, done
    assert done.stderr.startswith("agentsite: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "ready" not in done.stdout
    assert processes.of(data) == []
    return done.stderr


def test_a_port_that_is_taken(directory: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refused(directory, AGENTSITE_PORT=port)
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert "AGENTSITE_PORT" in line


def test_a_redis_that_does_not_answer(directory: Path, nobody_listens: int):
    line = refused(directory, REDIS_URL=f"redis://:hush@127.0.0.1:{nobody_listens}/0")
    assert "Redis at redis://" in line
    assert f"127.0.0.1:{nobody_listens}" in line
    assert "hush" not in line


def test_an_address_of_redis_that_is_none(directory: Path):
    assert "Redis at nonsense" in refused(directory, REDIS_URL="nonsense")


def test_a_broker_that_does_not_answer(directory: Path, nobody_listens: int):
    line = refused(directory, CELERY_BROKER_URL=f"redis://:hush@127.0.0.1:{nobody_listens}/0")
    assert "the broker at redis://" in line
    assert f"127.0.0.1:{nobody_listens}" in line
    assert "hush" not in line


def test_a_database_that_does_not_answer(directory: Path, nobody_listens: int):
    line = refused(directory, DATABASE_URL=f"postgres://ada:hush@127.0.0.1:{nobody_listens}/site")
    assert "the database does not answer" in line
    assert f"{nobody_listens}" in line
    assert "hush" not in line


def test_an_address_of_a_database_that_is_none(directory: Path):
    for url in ("nonsense", "mysql://somebody:secret@127.0.0.1/x"):
        said = refused(directory, DATABASE_URL=url)
        assert "DATABASE_URL: must begin with postgres:// or sqlite://" in said
        assert "secret" not in said


def test_no_engine_where_docker_is_asked_for(directory: Path):
    address = f"unix://{directory}/docker.sock"
    line = refused(directory, AGENTSITE_ENGINE="docker", AGENTSITE_DOCKER_HOST=address)
    assert f"no Docker at {address}: no such socket" in line


def test_a_docker_socket_that_this_user_may_not_use(directory: Path):
    needs_python_for_somebody()
    path = directory / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        path.chmod(0)
        line = refused(directory, as_somebody=True, AGENTSITE_ENGINE="docker", AGENTSITE_DOCKER_HOST=f"unix://{path}")
    assert f"this user may not use unix://{path}" in line
    assert "docker group" in line


def test_a_data_directory_that_is_not_writable(directory: Path, tmp_path: Path):
    needs_python_for_somebody()
    tmp_path.chmod(0o500)
    line = refused(directory, as_somebody=True, AGENTSITE_DATA_DIR=str(tmp_path / "data"))
    assert f"can't write to the data directory {tmp_path}/data: Permission denied" in line


def test_a_data_directory_that_is_a_file(directory: Path):
    line = refused(directory, AGENTSITE_DATA_DIR=str(directory / "agents.toml"))
    assert "can't write to the data directory" in line


def needs_python_for_somebody() -> None:
    """Root's own Python may be out of reach for others."""
    if (user := unprivileged_user()) is None:
        return
    command = owned([sys.executable, "-c", "import agentsite"], user=user, death_signal="KILL")
    if subprocess.run(command, env=environment(), cwd="/", capture_output=True, check=False).returncode:
        pytest.skip(f"{user} can't run {sys.executable}")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGENTSITE_PORT", "http"),
        ("AGENTSITE_PORT", "99999"),
        ("AGENTSITE_ENGINE", "kubernetes"),
        ("AGENTSITE_LEASE_S", "-1"),
        ("AGENTSITE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_that_is_invalid(directory: Path, variable: str, value: str):
    line = refused(directory, as_somebody=False, **{variable: value})
    assert line.startswith(f"agentsite: {variable}: ")
    assert repr(value) in line


def test_definitions_that_can_not_be_read_at_all(directory: Path):
    """A site that started without them would end the runs that it finds at work."""
    (directory / "agents.toml").write_text("[definitions.demo\n")
    assert f"{directory}/agents.toml: " in refused(directory)


def test_two_of_them_on_one_data_directory(directory: Path):
    (directory / "data").mkdir()
    with (directory / "data" / "up.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another `agentsite up` runs on" in refused(directory)
