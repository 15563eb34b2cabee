"""docker-compose.yml: who gets the engine's socket, who is reachable, what is required."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentsite.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SITE = ("web", "worker", "beat", "migrate")
OF_COMPOSE = {"AGENTSITE_HOST", "AGENTSITE_PORT", "AGENTSITE_DEFINITIONS"}
"""What compose itself uses: where the site is published, and the file that is mounted."""
OF_OTHER_MACHINES = {"AGENTSITE_TOKEN", "AGENTSITE_PODMAN_HOST", "XDG_RUNTIME_DIR"}
"""Of the command line's client, and of an engine that is not in these containers."""
OF_THE_WORKER = {
    *("AGENTSITE_ENGINE", "AGENTSITE_DOCKER_HOST", "AGENTSITE_IMAGE_PULL", "OLLAMA_BASE_URL"),
    *(f"{name}_{what}" for name in ("OPENAI", "ANTHROPIC", "GEMINI") for what in ("API_KEY", "BASE_URL")),
}
SECRETS = {"AGENTSITE_SECRET_KEY": "secret", "POSTGRES_PASSWORD": "password"}

every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_parts_are_all_there():
    assert set(SERVICES) == {"postgres", "redis", *SITE}


def test_only_the_worker_has_the_engines_socket():
    with_socket = {name for name, service in SERVICES.items() if "docker.sock" in str(service.get("volumes", ""))}
    assert with_socket == {"worker"}


def test_only_the_worker_gets_the_providers_keys():
    with_keys = {name for name, service in SERVICES.items() if "_API_KEY" in str(service.get("environment", ""))}
    assert with_keys == {"worker"}


def test_every_setting_reaches_the_services_that_read_it():
    """A setting that is left out would be ignored without a word."""
    settings = {Environment.variable(name) for name in Environment.model_fields}
    everywhere = settings - OF_COMPOSE - OF_OTHER_MACHINES - OF_THE_WORKER
    given = {name: set(SERVICES[name]["environment"]) for name in SITE}
    assert given == {name: everywhere | (OF_THE_WORKER if name == "worker" else set()) for name in SITE}


@pytest.mark.parametrize("name", SITE)
def test_definitions_are_those_of_the_machine(name):
    """Not those of the image, which would have to be built anew for each change."""
    (mount,) = [volume for volume in SERVICES[name]["volumes"] if isinstance(volume, dict)]
    assert mount == {
        "type": "bind",
        "source": "${AGENTSITE_DEFINITIONS:-./agents.toml}",
        "target": "/app/agents.toml",
        "read_only": True,
    }


def test_only_web_can_be_reached_and_by_default_only_from_this_machine():
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"web"}
    assert SERVICES["web"]["ports"] == ["${AGENTSITE_HOST:-127.0.0.1}:${AGENTSITE_PORT:-8000}:8000"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


@every_service
def test_every_server_has_a_health_check(name):
    check = SERVICES[name]["healthcheck"]
    # `migrate` ends by itself; others wait for its exit code.
    assert check == {"disable": True} if name == "migrate" else check["test"][0] == "CMD"


def test_the_health_check_of_the_worker_looks_for_what_workers_leave():
    from agents.fleet.workers import PRESENCE

    assert f'f"{PRESENCE}{{socket.gethostname()[:64]}}-*"' in SERVICES["worker"]["healthcheck"]["test"][-1]


@every_service
def test_nobody_has_capabilities_or_gains_privileges(name):
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in SERVICES[name]


@pytest.mark.parametrize("name", [*SITE, "redis"])
def test_root_file_systems_are_read_only_and_users_are_not_root(name):
    assert SERVICES[name]["read_only"] is True
    assert not SERVICES[name]["user"].startswith("0")


@pytest.mark.parametrize("name", SITE)
def test_the_site_shares_one_image_and_one_data_volume(name):
    assert SERVICES[name]["image"] == SERVICES["web"]["image"]
    assert "data:/var/lib/agentsite" in SERVICES[name]["volumes"]


def test_the_worker_is_told_the_real_name_of_the_data_volume():
    environment = SERVICES["worker"]["environment"]
    assert COMPOSE["volumes"]["data"]["name"] == environment["AGENTSITE_DATA_VOLUME"] == "agentsite-data"
    assert environment["AGENTSITE_DATA_DIR"] == "/var/lib/agentsite"


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_the_site_starts_after_its_migrations(name):
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def config(tmp_path: Path, secrets: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`docker-compose config`, or the same of Compose v2, in an environment that has nothing but `secrets`."""
    compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **secrets}
    return subprocess.run(
        [*compose, "config"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compose_cli():
    if shutil.which("docker-compose"):
        return
    probe = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if not probe or probe.returncode:
        pytest.skip("neither docker-compose nor docker compose is installed")


@pytest.mark.usefixtures("compose_cli")
def test_compose_accepts_it(tmp_path):
    checked = config(tmp_path, SECRETS)
    assert checked.returncode == 0, checked.stderr
    assert "password@postgres:5432" in checked.stdout


@pytest.mark.usefixtures("compose_cli")
def test_values_of_the_dotenv_file_arrive_as_they_are_and_others_keep_their_defaults(tmp_path):
    (tmp_path / ".env").write_text("AGENTSITE_BUDGET_AGENT_COST_USD=1.5\nAGENTSITE_EGRESS=\nOPENAI_API_KEY=sk-x\n")
    checked = config(tmp_path, SECRETS)
    services = yaml.safe_load(checked.stdout)["services"]
    web, worker = services["web"]["environment"], services["worker"]["environment"]
    assert (web["AGENTSITE_BUDGET_AGENT_COST_USD"], web["AGENTSITE_EGRESS"]) == ("1.5", "")
    assert worker["OPENAI_API_KEY"] == "sk-x"
    assert "sk-x" not in str(web)
    assert web["AGENTSITE_RETENTION_DAYS"] is None, "left unset, not empty"


@pytest.mark.usefixtures("compose_cli")
@pytest.mark.parametrize("secret", SECRETS)
def test_a_missing_secret_is_named(tmp_path, secret):
    checked = config(tmp_path, {name: value for name, value in SECRETS.items() if name != secret})
    assert checked.returncode != 0
    assert f"set {secret} in .env" in checked.stderr
