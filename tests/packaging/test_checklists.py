"""The checklists of CONTRIBUTING.md: a step that was forgotten fails here, and every file that they name exists.

Each test stands for one checklist. Steps that a more general test proves are not repeated: CONTRIBUTING.md names it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, get_args

import pytest

from agents.api.site import api
from agents.pages.urls import urlpatterns
from agents.programs.translator import SAYABLE
from agentsite.environment import EngineChoice, Environment
from containers.registry import AUTO, ENGINES
from streaming.http.dialects import DIALECTS
from streaming.model import fold
from streaming.model.events import SCHEMA
from tests.containers.bench import KINDS
from tests.streaming.dialect_clients import CLIENTS

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

NOT_FOLDED = {"log"}
"""Event types that change no state, on purpose."""
SITE_ONLY = {"status", "title", "approval-response", "files", "budget", "clear"}
"""Event types that no program may say: only the site appends them."""
AS_CUSTOM_EVENT = {
    *("status", "title", "tool-output", "plan", "approval-request", "approval-response"),
    *("files", "usage", "budget", "log", "error", "clear"),
}
"""Event types for which the dialects have no word: they pass them on under our own name."""


def read(path: str) -> str:
    return (ROOT / path).read_text()


def rows(page: str, heading: str) -> set[str]:
    """Names in backticks in the first column of the first table below a heading."""
    table = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return {
        name for cell in re.findall(r"^\|([^|]+)\|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    }


# An event type ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", SCHEMA)
def test_event_type_is_everywhere(type_: str):
    assert (type_ in fold._RULES) != (type_ in NOT_FOLDED), "streaming/model/fold.py, or NOT_FOLDED here"
    javascript = re.search(r"const RULES = new Map\(\[(.*?)\]\);", read("clients/js/src/fold.js"), re.DOTALL)
    assert javascript
    assert (f'["{type_}", ' in javascript[1]) != (type_ in NOT_FOLDED), "clients/js/src/fold.js"
    types = re.search(r"interface EventData \{(.*?)\n\}", read("clients/js/types/index.d.ts"), re.DOTALL)
    assert types
    assert re.search(rf'^  "?{type_}"?: ', types[1], re.MULTILINE), "clients/js/types/index.d.ts"
    assert type_ in rows(read("docs/events.md"), "An event"), "docs/events.md"
    assert (type_ in SAYABLE or type_ == "done") != (type_ in SITE_ONLY), "agents/programs/translator.py, or SITE_ONLY"
    if type_ not in SITE_ONLY:
        assert f"`{type_}`" in read("docs/container-protocol.md").split("## What it says")[1], "container-protocol.md"


@pytest.mark.parametrize("type_", SCHEMA)
@pytest.mark.parametrize("name", DIALECTS)
def test_event_type_is_in_every_dialect(name: str, type_: str):
    has_a_word = type_ in DIALECTS[name]._SAY  # type: ignore[attr-defined]  # both have one
    assert has_a_word != (type_ in AS_CUSTOM_EVENT), f"the dialect {name}, or AS_CUSTOM_EVENT here"
    if has_a_word:
        assert type_ in rows(read("docs/events.md"), "Other dialects")


def test_every_event_type_is_in_a_golden_log():
    logs = (path.read_bytes().splitlines() for path in (ROOT / "tests" / "golden").glob("*.jsonl"))
    assert {json.loads(line)["type"] for lines in logs for line in lines} == set(SCHEMA)


# An engine ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENGINES)
def test_engine_is_everywhere(name: str):
    assert name in get_args(EngineChoice), "agentsite/environment.py"
    assert name in str(Environment.model_fields["engine"].description)
    assert re.search(rf"^Engine = .*\b{name}\b", read("agentsite/cli/main.py"), re.MULTILINE), "agentsite/cli/main.py"
    assert name in rows(read("docs/definitions.md"), "Where it runs"), "docs/definitions.md"
    assert re.search(rf"^# .*\b{name}\b", read(".env.example"), re.MULTILINE), ".env.example"
    assert re.search(rf"\b{name}\b", read("docs/glossary.md").split("| engine |")[1].splitlines()[0]), (
        "docs/glossary.md"
    )
    assert name in {kind.engine for kind in KINDS.values()}, "tests/containers/bench.py, for tests/contract/"


def test_setting_names_no_other_engine():
    assert set(get_args(EngineChoice)) == {AUTO, *ENGINES}


# A dialect ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect_is_everywhere(name: str):
    section = read("docs/events.md").split("\n## Other dialects\n", 1)[1].split("\n## ", 1)[0]
    assert f"| `{name}` |" in section, "docs/events.md"
    assert name in CLIENTS, "tests/streaming/dialect_clients.py"
    described = api.get_openapi_schema(path_prefix="/api/")["paths"]["/api/agents/{agent_id}/stream"]["get"]
    assert name in json.dumps(described), "agents/api/events.py"


# A page, an API call ------------------------------------------------------------------------------------------------


def test_every_page_is_linked_or_called_from_another_one():
    used = "\n".join(
        path.read_text()
        for folder in ("agents/templates", "agentsite/templates", "agents/static/agents", "agents/pages")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".html", ".js", ".py") and path.name != "urls.py"
    )
    for pattern in urlpatterns:
        last = str(pattern.pattern).rstrip("/").rpartition("/")[2]
        assert f"pages:{pattern.name}" in used or (last and f"/{last}/" in used), f"nothing leads to {pattern.name}"


def test_every_api_call_says_what_it_does():
    for path, operations in api.get_openapi_schema(path_prefix="/api/")["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description") or operation.get("summary"), f"{method} {path}"
            assert operation["tags"], f"{method} {path}: a group for /api/docs"


# A setting ----------------------------------------------------------------------------------------------------------

FAMILIES = ("max_", "budget_")
"""Settings that are read by a name that is put together."""
SECTIONS_OF_ENV_EXAMPLE = ("Agents and providers",)


@pytest.mark.parametrize("name", Environment.model_fields)
def test_setting_is_documented_and_read(name: str):
    variable = Environment.variable(name)
    assert Environment.model_fields[name].description
    assert f"| `{variable}` |" in read("docs/settings.md"), "python -m agentsite.cli.settings_table"
    code = "\n".join(path.read_text() for path in (ROOT / "agentsite").rglob("*.py"))
    assert re.search(rf"\.{name}\b", code) or name.startswith(FAMILIES), "agentsite/settings.py"


@pytest.mark.parametrize("title", SECTIONS_OF_ENV_EXAMPLE)
def test_settings_of_providers_are_in_the_example_of_an_environment(title: str):
    for variable in rows(read("docs/settings.md"), title):
        assert variable in read(".env.example")


# What the checklists name -------------------------------------------------------------------------------------------


NAMED = sorted(set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml|yml))(?::(\w+))?`", CONTRIBUTING)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_the_checklists_name_exists(path: str, name: str):
    assert (ROOT / path).exists()
    if name:
        assert re.search(
            rf"^\s*(?:(?:async )?def |class |export function |function )?{name}\b", read(path), re.MULTILINE
        )


Checklist = Literal["An event type", "An engine", "A dialect", "A page", "An API call", "A setting"]


@pytest.mark.parametrize("title", get_args(Checklist))
def test_there_is_a_checklist(title: str):
    section = CONTRIBUTING.split(f"\n### {title}\n", 1)[1].split("\n### ", 1)[0]
    assert len(re.findall(r"^\d+\. ", section, re.MULTILINE)) >= 3
    assert "tests/packaging/test_checklists.py" in CONTRIBUTING
