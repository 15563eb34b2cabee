"""Every setting that comes from the environment, with its unit. This is the only place that reads it.

Order: the process environment, then a `.env` file in the current directory, then the defaults here.
`docs/settings.md` is made from this class; a test compares them.
"""

from __future__ import annotations

import os
import secrets
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentsite.data_directory import SECRET_KEY
from agentsite.listening import list_host_names
from agentsite.problem import SiteProblem
from containers.gateway.destinations import patterns
from streaming.model.validation import plain_problems

UP_PID = "AGENTSITE_UP_PID"
"""The variable with the process id of the `up` that started a process, and that has printed the warnings already."""
EngineChoice = Literal["auto", "docker", "podman", "bwrap", "process"]
PullChoice = Literal["never", "missing"]
PREFIX = "AGENTSITE_"
DATABASES = ("postgres", "postgresql", "sqlite")
"""Schemes of DATABASE_URL whose drivers are installed."""
NOT_SETTINGS = ("AGENTSITE_TEST_", "AGENTSITE_REQUIRE_", "AGENTSITE_VERSION", UP_PID)
"""Names with our prefix that are no settings: of the tests, of docker-compose.yml, of `up`."""
PROVIDER_KEY_FIELDS = ("openai_api_key", "anthropic_api_key", "gemini_api_key")
_SPENT = ("tokens", "cost_usd", "model_calls", "tool_calls", "wall_s")
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda given: str(given).upper(), str)
]


def _checked(egress: str) -> str:
    patterns(egress)
    return egress


def _networks(given: str) -> list[IPv4Network | IPv6Network]:
    """Parse addresses and networks. Raises ValueError."""
    return [ip_network(part.strip()) for part in given.split(",") if part.strip()]


def _of_networks(given: str) -> str:
    _networks(given)
    return given


def _origins(given: str) -> str:
    """Return origins as browsers send them: lower case, no path, no default port."""
    origins = []
    for origin in filter(None, (one.strip().lower().removesuffix("/") for one in given.split(","))):
        parts = urlsplit(origin)
        if (
            parts.scheme not in ("http", "https")
            or f"{parts.scheme}://{parts.netloc}" != origin
            or set("*@") & {*origin}
        ):
            raise ValueError(f"{origin!r} is not an origin like https://app.example.org")
        origins.append(origin.removesuffix(":443" if parts.scheme == "https" else ":80"))
    return ",".join(origins)


def _database(given: str) -> str:
    if given and given.partition(":")[0] not in DATABASES:
        raise ValueError("must begin with postgres:// or sqlite://")
    return given


def _key(variable: str, whose: str) -> Any:
    return Field(SecretStr(""), validation_alias=variable, description=f"{whose}. It enters no container.")


def _base(variable: str, default: str, whose: str) -> Any:
    return Field(default, validation_alias=variable, description=f"{whose} API, or any server that speaks it.")


def _spend(what: str, whose: str) -> Any:
    return Field(None, gt=0, description=f"{what} that {whose}; empty: no limit.")


def _ceiling(what: str) -> Any:
    return Field(None, gt=0, description=f"Most that a definition may set: {what}; empty: no limit.")


class EnvironmentInvalid(SiteProblem):
    """A variable has a value that its setting does not allow."""


class Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address that the web server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that the web server listens on; 0: any free port.")
    data_dir: Path = Field(Path(".agentsite"), description="Database, workspaces, tokens and logs of `agentsite up`.")
    local_dir: Path | None = Field(
        None,
        description="Sandboxes, sockets and the id of this host; empty: the data dir. Hosts that "
        "share a data dir need one "
        "each, on a local disk.",
    )
    host_id: str = Field(
        "",
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Id of this host; empty: made at the first start and kept in the local dir.",
    )
    data_volume: str | None = Field(
        None, description="Name of the Docker volume with the data dir, if the worker runs in a container."
    )
    engine: EngineChoice = Field("auto", description="What runs agents: auto, docker, podman, bwrap or process.")
    image_pull: PullChoice = Field(
        "never", description="When images are pulled: never, or missing (when the worker's machine does not have them)."
    )
    docker_host: str = Field(
        "unix:///var/run/docker.sock",
        validation_alias=AliasChoices("AGENTSITE_DOCKER_HOST", "DOCKER_HOST"),
        description="Address of the container engine's API.",
    )
    podman_host: str = Field(
        "", description="Address of Podman's API; empty: the user's own socket, or /run/podman/podman.sock."
    )
    runtime_dir: Path | None = Field(
        None, validation_alias="XDG_RUNTIME_DIR", description="Directory with the socket of the user's own Podman."
    )
    definitions_file: Path = Field(
        Path("agents.toml"),
        validation_alias="AGENTSITE_DEFINITIONS",
        description="File with the definitions. Changes are read without a restart.",
    )
    egress: Annotated[str, AfterValidator(_checked)] = Field(
        "*:*",
        description="Destinations that definitions may allow in `egress`: host:port, comma-separated; empty: none.",
    )
    openai_api_key: SecretStr = _key("OPENAI_API_KEY", "OpenAI's key")
    anthropic_api_key: SecretStr = _key("ANTHROPIC_API_KEY", "Anthropic's key")
    gemini_api_key: SecretStr = _key("GEMINI_API_KEY", "Gemini's key")
    openai_base_url: str = _base("OPENAI_BASE_URL", "https://api.openai.com/v1", "OpenAI's")
    anthropic_base_url: str = _base("ANTHROPIC_BASE_URL", "https://api.anthropic.com", "Anthropic's")
    gemini_base_url: str = _base("GEMINI_BASE_URL", "https://generativelanguage.googleapis.com", "Gemini's")
    ollama_base_url: str = Field("", validation_alias="OLLAMA_BASE_URL", description="Address of an Ollama server.")
    debug: bool = Field(False, description="Show Django's debug pages. Never in production.")
    secret_key: str = Field(
        "", description="Key that signs sessions; empty: made at the first start and kept in the data dir."
    )
    token: str | None = Field(None, description="API token that the commands of the command line send.")
    allowed_hosts: str = Field(
        "",
        description="Host names that the site answers to, comma-separated; empty: those of the "
        "address that it listens on.",
    )
    csrf_trusted_origins: str = Field(
        "", description="The site's own origins behind a TLS proxy, with scheme, comma-separated."
    )
    trusted_proxies: Annotated[str, AfterValidator(_of_networks)] = Field(
        "",
        description="Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated; empty: none.",
    )
    login_failures_per_account: int = Field(
        10, ge=1, description="Failed logins of one account in a window, after which its password is refused."
    )
    login_failures_per_address: int = Field(
        50, ge=1, description="Failed logins from one address in a window, after which all its passwords are refused."
    )
    login_window_s: int = Field(300, ge=1, description="Length of the window for failed logins, seconds.")
    token_failures_per_address: int = Field(
        60,
        ge=1,
        description="Wrong API tokens and login links from one address in a window, after which all "
        "its tokens are refused.",
    )
    token_window_s: int = Field(60, ge=1, description="Length of the window for wrong tokens, seconds.")
    hsts_s: int = Field(
        31_536_000,
        ge=0,
        description="How long browsers use only HTTPS for the site once they saw it behind TLS "
        "(HSTS), seconds; 0: off.",
    )
    monitoring_token: SecretStr = Field(
        SecretStr(""), description="Bearer token that /metrics and /readyz require; empty: they are public."
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="Origins of other sites whose pages may call the API with a token, with scheme, comma-separated.",
    )
    database_url: Annotated[str, AfterValidator(_database)] = Field(
        "",
        validation_alias="DATABASE_URL",
        description="URL of the PostgreSQL database; empty: SQLite in the data dir.",
    )
    redis_url: str = Field(
        "", validation_alias="REDIS_URL", description="URL of Redis; empty: `agentsite up` starts one."
    )
    broker_url: str = Field(
        "", validation_alias="CELERY_BROKER_URL", description="URL of Celery's broker; empty: `REDIS_URL`."
    )
    log_level: LogLevel = Field("INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR.")
    log_format: Literal["console", "json"] = Field(
        "console", description="Format of the site's own log lines: console or json."
    )

    worker_concurrency: int = Field(100, ge=1, description="Runs that one worker supervises at once.")
    db_threads: int = Field(4, ge=1, description="Database connections for the log, per process.")
    lease_s: float = Field(
        30, gt=0, description="Time without a heartbeat after which other workers take a worker's runs over, seconds."
    )
    lease_heartbeat_s: float = Field(10, gt=0, description="Interval of a worker's heartbeats, seconds.")
    host_lost_s: float = Field(
        300, gt=0, description="Time without a sign of a host after which its runs end with `host-lost`, seconds."
    )
    reaper_interval_s: float = Field(
        2, gt=0, description="Interval at which runs without a worker are looked for, seconds."
    )
    orphan_grace_s: float = Field(
        60, ge=0, description="Time after which a container that no open run needs is removed, seconds."
    )
    workspace_grace_h: float = Field(
        24, ge=0, description="Time after which the workspace of a deleted agent is removed, hours."
    )
    retention_days: float = Field(
        0, ge=0, le=36_500, description="Age at which events are deleted, days; conversations stay. 0: never."
    )
    intent_poll_s: float = Field(
        2,
        gt=0,
        description="Interval at which a worker reads waiting commands from the database, in case a "
        "wake-up was lost, seconds.",
    )
    run_time_limit_s: float = Field(3600, gt=0, description="Time limit of a run whose definition sets none, seconds.")
    stop_grace_s: float = Field(5, ge=0, description="Time from SIGTERM to SIGKILL when a run is stopped, seconds.")
    max_cpus: float | None = Field(None, gt=0, description="Most that a definition may set: CPUs; empty: no limit.")
    max_memory_mib: int | None = _ceiling("memory, MiB")
    max_pids: int | None = _ceiling("processes and threads")
    max_output_mib: int | None = _ceiling("stdout and stderr together, MiB")
    max_tmp_mib: int | None = _ceiling("/tmp, MiB")
    max_shm_mib: int | None = _ceiling("/dev/shm, MiB")
    max_workspace_mib: int | None = _ceiling("workspace, MiB")
    allowed_runtimes: str = Field(
        "", description="Container runtimes that definitions may name beside the engine's own, comma-separated."
    )
    allow_root: bool = Field(False, description="Whether definitions may run as root in their container.")
    budget_agent_tokens: int | None = _spend("Tokens", "one agent may use in all its runs")
    budget_agent_cost_usd: float | None = _spend("Dollars", "one agent may use in all its runs")
    budget_agent_model_calls: int | None = _spend("Model calls", "one agent may use in all its runs")
    budget_agent_tool_calls: int | None = _spend("Tool calls", "one agent may use in all its runs")
    budget_agent_wall_s: float | None = _spend("Seconds of work", "one agent may use in all its runs")
    budget_user_day_tokens: int | None = _spend("Tokens", "the agents of one user may use in one day (UTC)")
    budget_user_day_cost_usd: float | None = _spend("Dollars", "the agents of one user may use in one day (UTC)")
    budget_user_day_model_calls: int | None = _spend("Model calls", "the agents of one user may use in one day (UTC)")
    budget_user_day_tool_calls: int | None = _spend("Tool calls", "the agents of one user may use in one day (UTC)")
    budget_user_day_wall_s: float | None = _spend("Seconds of work", "the agents of one user may use in one day (UTC)")
    commit_interval_s: float = Field(
        0.5, gt=0, description="Longest time that an event waits for the database, seconds."
    )
    commit_events: int = Field(100, ge=1, description="Number of waiting events at which a commit starts earlier.")
    pending_bytes: int = Field(
        8 * 2**20,
        gt=0,
        description="Events kept in memory while the database is away, per run, bytes. Beyond that "
        "the container's output waits.",
    )
    stream_maxlen: int = Field(20_000, ge=100, description="Events that an agent's Redis stream keeps, approximately.")
    stream_ttl_s: int = Field(
        24 * 3600, gt=0, description="Time after which Redis drops the stream of an agent without events, seconds."
    )
    stream_heartbeat_s: float = Field(
        15, gt=0, description="Interval of comment lines on a stream without events, seconds."
    )
    stream_queue_events: int = Field(
        2000, ge=1, description="Events that a subscriber may be behind before it is disconnected."
    )
    stream_queue_bytes: int = Field(
        4 * 2**20, gt=0, description="Bytes that a subscriber may be behind before it is disconnected."
    )
    stream_send_timeout_s: float = Field(
        30, gt=0, description="Time after which a subscriber that reads nothing is disconnected, seconds."
    )
    stream_write_bytes: int = Field(256 * 2**10, gt=0, description="Largest write to a subscriber, bytes.")
    websocket_agents: int = Field(100, ge=1, description="Agents that one WebSocket may follow at once.")
    websocket_authenticate_s: float = Field(
        10, gt=0, description="Time in which a WebSocket has to send credentials, seconds."
    )
    ticket_connect_s: float = Field(
        60, gt=0, description="Time in which a stream ticket has to be used first, seconds."
    )
    ticket_ttl_h: float = Field(12, gt=0, description="Lifetime of a stream ticket for reconnects, hours.")
    access_check_s: float = Field(
        3, gt=0, le=4, description="Interval at which the access rights behind open streams are checked, seconds."
    )
    tip_poll_s: float = Field(
        3, gt=0, description="Interval at which a web process looks for events whose notification was lost, seconds."
    )
    upload_max_bytes: int = Field(512 * 2**20, gt=0, description="Largest file that may be uploaded, bytes.")
    min_free_mib: int = Field(
        512, ge=0, description="Free disk space of the data dir below which uploads and new runs are refused, MiB."
    )
    import_max_bytes: int = Field(2 * 2**30, gt=0, description="Largest export that may be imported, bytes.")
    input_max_bytes: int = Field(256 * 2**10, gt=0, description="Largest input of a run, bytes.")
    queue_max_runs: int = Field(200, ge=1, description="Runs of one agent that may wait in its queue.")
    workspace_scan_files: int = Field(
        10_000, ge=1, description="Files of a workspace that are scanned for `files` events."
    )
    history_file_kib: int = Field(
        256, ge=1, le=16 * 1024, description="Largest text file whose content is kept for diffs, KiB."
    )
    history_files: int = Field(2000, ge=0, description="Files of a workspace whose content is kept for diffs.")
    history_mib: int = Field(
        64, ge=0, description="Space for the contents that are kept for diffs, per agent, MiB; 0: none are kept."
    )
    hash_max_bytes: int = Field(64 * 2**20, ge=0, description="Largest file that gets a sha256, bytes.")

    @classmethod
    def provider_key_variables(cls) -> list[str]:
        return [cls.variable(name) for name in PROVIDER_KEY_FIELDS]

    @classmethod
    def variables(cls, name: str) -> list[str]:
        """Return the variables of a field. The first one that is set wins."""
        alias = cls.model_fields[name].validation_alias
        if isinstance(alias, AliasChoices):
            return [str(choice) for choice in alias.choices]
        return [str(alias or f"{PREFIX}{name.upper()}")]

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the variable of a field, the first one if there are several."""
        return cls.variables(name)[0]

    @field_validator(
        *("max_cpus", "max_memory_mib", "max_pids", "max_output_mib", "max_tmp_mib", "max_shm_mib"),
        *("max_workspace_mib", "runtime_dir", "local_dir"),
        *(f"budget_agent_{kind}" for kind in _SPENT),
        *(f"budget_user_day_{kind}" for kind in _SPENT),
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("openai_base_url", "anthropic_base_url", "gemini_base_url", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any, info: ValidationInfo) -> Any:
        return value or cls.model_fields[str(info.field_name)].default

    @field_validator("openai_base_url", "anthropic_base_url", "gemini_base_url", "ollama_base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        given = urlsplit(value)
        if value and not (given.scheme in ("http", "https") and given.hostname):
            raise ValueError("must be an address with http:// or https://")
        return value

    @field_validator("retention_days", mode="before")
    @classmethod
    def _empty_is_zero(cls, value: Any) -> Any:
        return value or 0

    def hosts(self) -> list[str]:
        """Return the value of ALLOWED_HOSTS."""
        given = [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
        return given or list_host_names(self.host)

    def directory(self) -> Path:
        return self.data_dir.expanduser().absolute()

    def local_directory(self) -> Path:
        return (self.local_dir or self.data_dir).expanduser().absolute()

    def ceilings(self) -> dict[str, Any]:
        """Return the arguments of agents.definitions.ceilings.Ceilings."""
        limits = ("cpus", "memory_mib", "pids", "output_mib", "tmp_mib", "shm_mib", "workspace_mib")
        given = {name: getattr(self, f"max_{name}") for name in limits}
        return {
            "limits": {name: most for name, most in given.items() if most is not None},
            "runtimes": [name.strip() for name in self.allowed_runtimes.split(",") if name.strip()],
            "root": self.allow_root,
        }

    def budget(self, scope: Literal["agent", "user_day"]) -> dict[str, float]:
        """Return the limits of all agents, or of all users per day: kind → limit."""
        given = {kind: getattr(self, f"budget_{scope}_{kind}") for kind in _SPENT}
        return {kind: most for kind, most in given.items() if most is not None}

    def proxies(self) -> list[IPv4Network | IPv6Network]:
        return _networks(self.trusted_proxies)

    def podman_address(self) -> str:
        """Return the address of Podman's API. Without a setting, the user's own socket is preferred, which needs no
        root."""
        own = self.runtime_dir / "podman" / "podman.sock" if self.runtime_dir else None
        there = own if own and own.exists() else "/run/podman/podman.sock"
        return self.podman_host or f"unix://{there}"

    def secret(self) -> str:
        """Return the secret key: the setting, or one that is made on first use and kept in the data dir (mode 0600)."""
        if self.secret_key:
            return self.secret_key
        path = self.directory() / SECRET_KEY
        try:
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_urlsafe(50))
            return path.read_text().strip()
        except OSError as error:
            raise EnvironmentInvalid(f"AGENTSITE_DATA_DIR: can't use {path}: {error.strerror}") from None


def describe_unknown_variables() -> list[str]:
    """Return a line for each AGENTSITE_ name in the environment or `.env` that is no setting, probably a typing
    error."""
    known: set[str] = {str(choice) for name in Environment.model_fields for choice in Environment.variables(name)}
    given = {*os.environ, *dotenv_values(str(Environment.model_config.get("env_file") or os.devnull))}
    lines = []
    for name in sorted({name.upper() for name in given} - known):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS):
            similar = get_close_matches(name, known, n=1, cutoff=0.85)
            lines.append(f"{name} is no setting{f'; is it {similar[0]}?' if similar else ''}")
    return lines


def load_environment() -> Environment:
    """Read all settings. Raises EnvironmentInvalid, which names the variable."""
    try:
        return Environment()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])  # of the field, or of its own variable
        variable = Environment.variable(name) if name in Environment.model_fields else name
        ((_, message),) = plain_problems([first])
        got = "" if "@" in str(first["input"]) else f" (got {first['input']!r})"  # there may be a password before it
        raise EnvironmentInvalid(f"{variable}: {message}{got}") from None
