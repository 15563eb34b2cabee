"""`agentsite doctor`: what there is, what is missing, and whether a run could work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import END_S, Shown, Terminal, command
from tests.servers import RedisServer
from tests.servers.ports import ReservedPort


@pytest.fixture
def doctor(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Of a machine without Docker, where nothing is set."""
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTSITE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("AGENTSITE_DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("AGENTSITE_PODMAN_HOST", f"unix://{tmp_path}/podman.sock")
    return terminal


@pytest.fixture
def without_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.engines.bwrap._bwrap", lambda: None)


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    port = ReservedPort()
    yield port.number
    port.release()


def line(shown: Shown, name: str) -> str:
    (found,) = [line for line in shown.out.splitlines() if line[4:].startswith(name)]
    return found


@pytest.mark.usefixtures("without_bwrap")
def test_a_machine_without_docker_can_run_trusted_agents(doctor: Terminal, tmp_path: Path):
    shown = doctor("doctor")
    assert (shown.code, shown.err) == (0, "")
    assert line(shown, "data dir").endswith(str(tmp_path / "data"))
    assert line(shown, "Redis").startswith("ok  Redis            embedded: /")
    assert line(shown, "database").endswith("SQLite in the data dir")
    assert line(shown, "engine docker").startswith("no ")
    assert "no such socket" in line(shown, "engine docker")
    assert "no Podman at" in line(shown, "engine podman")
    assert "not installed" in line(shown, "engine bwrap")
    assert line(shown, "engine process").startswith("ok ")
    assert shown.out.endswith("auto would choose: process (only definitions marked trusted can run)\n")


@pytest.mark.bwrap
def test_a_sandbox_comes_before_no_isolation(doctor: Terminal):
    shown = doctor("doctor")
    assert (shown.code, shown.err) == (0, "")
    assert line(shown, "engine bwrap").startswith("ok  engine bwrap     bubblewrap ")
    assert shown.out.endswith("auto would choose: bwrap\n")


def test_a_definition_with_a_mistake_is_named_and_the_others_can_run(
    doctor: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "agents.toml"
    monkeypatch.setenv("AGENTSITE_DEFINITIONS", str(file))
    file.write_text("[definitions.crooked]\nimage = 5\n[definitions.fine]\nimage = 'a'\n")
    shown = doctor("doctor")
    assert shown.code == 0
    lines = [line for line in shown.out.splitlines() if line[4:].startswith("definitions")]
    assert lines == [
        "ok  definitions      fine",
        "no  definitions      line 2: crooked.image: must be text",
    ]
    file.write_text("[definitions.crooked]\nimage = 5\n")
    assert doctor("doctor").code == 2
    file.write_bytes(b"\xef\xbb\xbf[definitions.fine]\nimage = 'a'\n")
    assert doctor("doctor").code == 0, "editors on Windows put a byte order mark in front"
    file.write_text("[definitions.crooked")
    shown = doctor("doctor")
    assert shown.code == 2
    assert str(file) in line(shown, "definitions")


def test_an_engine_that_is_asked_for_has_to_be_there(doctor: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTSITE_ENGINE", "podman")
    shown = doctor("doctor")
    assert shown.code == 2
    assert shown.out.endswith("AGENTSITE_ENGINE says podman: no run can start\n")


@pytest.mark.docker
def test_docker_comes_first_where_it_is(doctor: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AGENTSITE_DOCKER_HOST")
    shown = doctor("doctor")
    assert shown.code == 0
    assert line(shown, "engine docker").startswith("ok ")
    assert "version" in line(shown, "engine docker")
    assert shown.out.endswith("auto would choose: docker\n")


def test_a_redis_that_answers(doctor: Terminal, healthy_redis: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", healthy_redis.url)
    shown = doctor("doctor")
    assert shown.code == 0
    assert line(shown, "Redis") == "ok  Redis            answers at REDIS_URL"


def test_without_the_redis_that_is_set_no_run_could_work(
    doctor: Terminal, nobody_listens: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", f"redis://:hush@127.0.0.1:{nobody_listens}/0")
    shown = doctor("doctor")
    assert shown.code == 2
    assert line(shown, "Redis").startswith("no ")
    assert "does not answer" in line(shown, "Redis")
    assert "hush" not in shown.out


def test_without_the_database_that_is_set_no_run_could_work(nobody_listens: int, tmp_path: Path):
    """In a process of its own: this one has read its settings."""
    settings = {
        "AGENTSITE_DATA_DIR": str(tmp_path),
        "DATABASE_URL": f"postgres://ada:hush@127.0.0.1:{nobody_listens}/site",
    }
    with command("doctor", settings=settings) as process:
        out, err = process.communicate(timeout=END_S)
    shown = Shown(process.returncode, out, err)
    assert (shown.code, shown.err) == (2, "")
    assert line(shown, "database").startswith("no ")
    assert "does not answer" in line(shown, "database")
    assert "hush" not in shown.out


def test_a_data_directory_that_can_not_be_written(doctor: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENTSITE_DATA_DIR", str(tmp_path / "file" / "data"))
    shown = doctor("doctor")
    assert shown.code == 2
    assert line(shown, "data dir").startswith("no ")


@pytest.mark.parametrize("settings", [{}, {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}])
def test_nothing_is_written_into_a_data_directory_that_is_refused(tmp_path: Path, settings: dict[str, str]):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "somebody-elses").touch()
    before = sorted(data.rglob("*"))
    with command("doctor", settings={"AGENTSITE_DATA_DIR": str(data), **settings}) as process:
        out, _ = process.communicate(timeout=END_S)
    assert process.returncode == 2
    assert "no  data dir" in out
    assert "engine bwrap" in out, "the engines are looked at all the same"
    assert sorted(data.rglob("*")) == before
