"""What the settings make of the environment: errors and warnings at the start, hosts, HSTS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentsite.environment import Environment, EnvironmentInvalid, describe_unknown_variables, load_environment
from agentsite.listening import LOOPBACK, list_host_names
from tests.journeys.site import environment


def run(tmp_path: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**{"AGENTSITE_DATA_DIR": str(tmp_path / "data"), **settings}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["web", "worker"])
def test_bad_value_ends_every_process_at_its_start_with_one_line(tmp_path: Path, command: str):
    done = run(tmp_path, "-m", "agentsite", command, AGENTSITE_TRUSTED_PROXIES="10.0.0.0/33")
    assert done.returncode == 2
    assert done.stderr == (
        "agentsite: AGENTSITE_TRUSTED_PROXIES: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network "
        "(got '10.0.0.0/33')\n"
    )


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GEMINI_BASE_URL", "OLLAMA_BASE_URL"])
@pytest.mark.parametrize(
    "value", ["models.example.org/v1", "localhost:8080", "ftp://models.example.org", "http://", "//x"]
)
def test_address_of_a_provider_without_its_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentInvalid) as refused:
        load_environment()
    assert str(refused.value) == f"{name}: must be an address with http:// or https:// (got {value!r})"


@pytest.mark.parametrize("value", ["", "http://localhost:8080", "https://models.example.org/v1"])
def test_address_of_a_provider_may_be_empty_or_whole(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("OLLAMA_BASE_URL", value)
    assert load_environment().ollama_base_url == value


@pytest.mark.parametrize("command", ["web", "token"])
def test_data_directory_that_is_a_file_is_refused_in_one_line(tmp_path: Path, command: str):
    file = tmp_path / "file"
    file.touch()
    done = run(tmp_path, "-m", "agentsite", command, AGENTSITE_DATA_DIR=str(file))
    assert done.returncode == 2
    assert done.stderr == f"agentsite: AGENTSITE_DATA_DIR: can't use {file}/secret-key: Not a directory\n"


def test_unknown_name_is_warned_of_wherever_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("AGENTSITE_LEASES=3\nOTHER=1\nAGENTSITE_LEASE_S=30\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Environment.model_config, "env_file", ".env")
    monkeypatch.setenv("AGENTSITE_RETENTION_DAY", "90")
    monkeypatch.setenv("agentsite_port", "1")
    monkeypatch.setenv("AGENTSITE_NONSENSE", "1")
    assert describe_unknown_variables() == [
        "AGENTSITE_LEASES is no setting; is it AGENTSITE_LEASE_S?",
        "AGENTSITE_NONSENSE is no setting",
        "AGENTSITE_RETENTION_DAY is no setting; is it AGENTSITE_RETENTION_DAYS?",
    ]


def test_warnings_are_given_once_and_stop_nothing(tmp_path: Path):
    read = """
import os, subprocess, sys
import agentsite.settings as s
print(s.ALLOWED_HOSTS, s.SECURE_HSTS_SECONDS)
os.environ["AGENTSITE_UP_PID"] = str(os.getpid())
sys.exit(subprocess.call([sys.executable, "-c", "import agentsite.settings"]))
"""
    settings = {"AGENTSITE_LEASES": "3", "AGENTSITE_CSRF_TRUSTED_ORIGINS": "https://agents.example.org"}
    done = run(tmp_path, "-c", read, **settings)
    assert done.returncode == 0
    assert done.stderr.count("AGENTSITE_LEASES is no setting") == 1
    assert done.stderr.count("AGENTSITE_TRUSTED_PROXIES does not name the proxy") == 1
    assert done.stdout == f"{list(LOOPBACK)} 31536000\n"


def test_hosts_are_those_of_the_address_that_is_listened_on():
    assert list_host_names("127.0.0.1") == list_host_names("::1") == list_host_names("localhost") == [*LOOPBACK]
    assert list_host_names("192.0.2.7") == [*LOOPBACK, "192.0.2.7"]
    assert list_host_names("2001:db8::7") == [*LOOPBACK, "[2001:db8::7]"]
    assert list_host_names("Agents.example.org") == [*LOOPBACK, "agents.example.org"]
    everywhere = list_host_names("0.0.0.0")
    assert set(everywhere) >= {*LOOPBACK}
    assert "*" not in everywhere
    assert len(everywhere) > len(LOOPBACK)


def test_hosts_that_are_named_are_the_only_ones():
    named = Environment(allowed_hosts="a.example, .b.example", host="0.0.0.0")
    assert named.hosts() == ["a.example", ".b.example"]
    assert Environment(allowed_hosts="", host="127.0.0.1").hosts() == [*LOOPBACK]
