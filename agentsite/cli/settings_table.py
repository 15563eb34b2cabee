"""The settings as Markdown, for docs/settings.md: `python -m agentsite.cli.settings_table`."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agentsite.environment import Environment

SECTIONS = {
    "host": "The site on this machine",
    "definitions_file": "Agents and providers",
    "debug": "Web, sign-in and proxies",
    "database_url": "Database, Redis and logging",
    "worker_concurrency": "Workers and cleaning up",
    "max_cpus": "Limits for definitions",
    "budget_agent_tokens": "Budgets for all agents and users",
    "commit_interval_s": "The log",
    "stream_heartbeat_s": "Streams and WebSockets",
    "upload_max_bytes": "Sizes of requests and workspaces",
}
"""The first field of each section, in the order of the class, and its title."""


def render_settings() -> str:
    lines: list[str] = []
    for name, field in Environment.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"## {SECTIONS[name]}", "| variable | meaning | default |", "|---|---|---|"]
        lines.append(f"| `{Environment.variable(name)}` | {field.description} | {_default(field)} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if default in (None, "") else f"`{default}`"


if __name__ == "__main__":
    print(render_settings(), end="")
