"""The settings as a Markdown table, for the README: `python -m agentsite.cli.settings_table`."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agentsite.environment import Environment


def table() -> str:
    rows = ["| variable | meaning | default |", "|---|---|---|"]
    for name, field in Environment.model_fields.items():
        rows.append(f"| `{Environment.variable(name)}` | {field.description} | {_default(field)} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "" if default in (None, "") else f"`{default}`"


if __name__ == "__main__":
    print(table(), end="")
