"""One definition, as it stands in `agents.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from agents.definitions.budget import Budget
from containers.gateway import Pattern
from containers.spec import MIB, Limits

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENV_OURS = frozenset(("AGENT_ID", "RUN_ID", "WORKSPACE"))


def _without_nul(text: str) -> str:
    """TOML can say it; no command line, environment or path can."""
    if "\0" in text:
        raise ValueError("must not contain U+0000")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]


ProviderName = Literal["openai", "anthropic", "gemini", "ollama"]
MODEL_PREFIXES = ("openai", "openai-chat", "anthropic", "gemini", "ollama")
_BUNDLED_AGENT = re.compile(r"agentsite/agent([:@].*)?")


def _destinations(text: str) -> str:
    return str(Pattern.parse(text))


class DefinitionLimits(BaseModel):
    """Units are in the names. `wall_s` None: the site's RUN_TIME_LIMIT_S."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: Annotated[float, Field(gt=0, le=256, allow_inf_nan=False)] = 1.0
    memory_mib: Annotated[int, Field(ge=16, le=1024 * 1024)] = 512
    pids: Annotated[int, Field(ge=4, le=32768)] = 128
    wall_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    output_mib: Annotated[int, Field(ge=1, le=1024)] = 64
    tmp_mib: Annotated[int, Field(ge=1, le=16 * 1024)] = 64
    shm_mib: Annotated[int, Field(ge=1, le=16 * 1024)] = 16
    workspace_mib: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 4096
    """Held by the supervisor, which looks now and then (agents.workspace.usage), and for one file by the engine."""

    def limits(self) -> Limits:
        return Limits(
            cpus=self.cpus,
            memory_bytes=self.memory_mib * MIB,
            pids=self.pids,
            output_bytes=self.output_mib * MIB,
            tmp_bytes=self.tmp_mib * MIB,
            shm_bytes=self.shm_mib * MIB,
            file_bytes=self.workspace_mib * MIB,
        )


class Definition(BaseModel):
    """What can be run. `process_command` is the same program for the engines without images, `bwrap` and `process` (the
    latter isolates nothing, and runs `trusted` definitions only). In it `{python}`, `{images}` and `{venv}` stand for
    the site's interpreter, the bundled programs and `venv`, where the program sees them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: Text = ""
    description: Text = ""
    image: Annotated[Text, Field(min_length=1)]
    command: list[Text] = Field(default_factory=list)
    process_command: list[Text] = Field(default_factory=list)
    venv: Annotated[Text, Field(pattern="^/.")] | None = None
    """A virtual environment with the packages that its program needs, for engines without images."""
    mounts: list[Annotated[Text, Field(pattern="^/.")]] = Field(default_factory=list)
    """What else of the worker's machine the engine `bwrap` shows to it, read-only and at the same place."""
    protocol: Literal["jsonl", "acp"] = "jsonl"
    trusted: bool = False
    env: dict[str, Text] = Field(default_factory=dict)
    limits: DefinitionLimits = Field(default_factory=DefinitionLimits)
    user: Annotated[str, Field(pattern=r"^[0-9]+:[0-9]+$")] | None = None
    """uid:gid inside. None: nobody, or the worker's own user where it is not root (see containers.workspace)."""
    runtime: Text | None = None
    model: Text | None = None
    system_prompt: Text | None = None
    tools: list[Text] = Field(default_factory=list)
    egress: list[Annotated[str, AfterValidator(_destinations)]] = Field(default_factory=list)
    """Where it may connect to: host:port, *.host:port, *:port."""
    providers: list[ProviderName] = Field(default_factory=list)
    """Whose models its program may use through the gateway, beside that of `model`."""
    budget: Budget = Field(default_factory=Budget)
    steering: bool = False
    """Its program takes `message` lines while it works; others get what is posted meanwhile as a run of its own."""
    approvals: Literal["all", "none"] | list[Text] = "none"
    """Which calls of tools somebody has to approve; the program sees to it (docs/definitions.md)."""
    approval_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """After which the site denies what was asked. None: it waits for ever."""
    mcp_servers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    sample_prompts: list[Text] = Field(default_factory=list)

    @field_validator("env")
    @classmethod
    def _names(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of an environment variable")
            if name in _ENV_OURS:
                raise ValueError(f"{name} is set by the site")
        return env

    @model_validator(mode="after")
    def _steered(self) -> Definition:
        if self.steering and self.protocol == "acp":
            raise ValueError("steering is not part of the Agent Client Protocol: a prompt waits for the one before it")
        return self

    @model_validator(mode="after")
    def _asked(self) -> Definition:
        """Other programs get the name as it is, and may call their models as they like."""
        prefix, _, name = (self.model or "").partition(":")
        if self.model and _BUNDLED_AGENT.fullmatch(self.image) and (prefix not in MODEL_PREFIXES or not name):
            forms = ", ".join(f"{prefix}:NAME" for prefix in MODEL_PREFIXES)
            raise ValueError(f"model: {self.model!r} names no provider; the bundled agent takes {forms}")
        return self

    def config(self) -> dict[str, Any]:
        """`config` of the container protocol's start line."""
        wanted = {
            "model": self.model,
            "system_prompt": self.system_prompt,
            "tools": self.tools,
            "mcp_servers": self.mcp_servers,
            "approvals": None if self.approvals == "none" else self.approvals,
        }
        return {key: value for key, value in wanted.items() if value}
