"""Gemini CLI and OpenCode, as docs/acp.md has them, and what one of them does when it is asked to write a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from streaming.model.events import Event
from tests.acp.test_conversation import of_type
from tests.agents.site import statuses, text
from tests.nightly import some
from tests.provider import Call, by_progress, turn
from tests.provider.script import Author

CONTENT = "Hello.\n"
PATH = "/workspace/hello.txt"
ACP_PAGE = (Path(__file__).parents[2] / "docs" / "acp.md").read_text("utf-8")


@dataclass(frozen=True)
class Real:
    """`write`: how its model says that PATH is to have CONTENT. `allow`: its word for yes, this time."""

    name: str
    provider: str
    model: str
    write: Call
    allow: str
    arguments: dict[str, Any]


GEMINI = Real(
    name="gemini",
    provider="gemini",
    model="gemini:gemini-2.5-flash",
    write=Call("write_file", {"file_path": PATH, "content": CONTENT}),
    allow="Allow",
    arguments={"paths": [PATH]},
)
OPENCODE = Real(
    name="opencode",
    provider="openai",
    model="openai:gpt-4.1-mini",
    write=Call("write", {"filePath": PATH, "content": CONTENT}),
    allow="Allow once",
    arguments={"filePath": PATH, "content": CONTENT},
)
AGENTS = pytest.mark.parametrize("real", [GEMINI, OPENCODE], ids=lambda real: real.name)
AN_AGENT = pytest.mark.parametrize("real", some([OPENCODE, GEMINI], 1), ids=lambda real: real.name)


def documented(real: Real) -> str:
    """Its definition, in TOML."""
    (block,) = re.findall(rf"```toml\n([^`]*\[definitions\.{real.name}\][^`]*)```", ACP_PAGE)
    return str(block)


def writes(real: Real) -> Author:
    """A model that writes the file, and says so."""
    return by_progress([turn("I write it.", real.write), turn("It is written.")])


def check_log(events: list[Event], real: Real, by: str) -> None:
    """Everything once."""
    said = [status for status, _ in groupby(statuses(events))]  # who takes it over says it again
    assert said == ["queued", "running", "waiting", "running", "completed"]
    (call,) = of_type(events, "tool-call")
    (result,) = of_type(events, "tool-result")
    assert (call["name"], call["arguments"]) == ("edit", real.arguments)
    assert (result["call_id"], result["is_error"]) == (call["call_id"], False)
    (request,) = of_type(events, "approval-request")
    (response,) = of_type(events, "approval-response")
    assert request["call_id"] == call["call_id"]
    assert (response["decision"], response["by"]) == (real.allow, by)
    assert text(events) == "I write it.It is written."
    changed = [change for files in of_type(events, "files") for change in files["changes"]]
    assert [change["change"] for change in changed if change["path"] == "hello.txt"] == ["added"]
    assert [usage["model"] for usage in of_type(events, "usage")] == [real.model] * 2
    assert events[-1].data["result"] == "It is written."
    assert events[-1].data["tool_calls"] == 1
    assert [one for one in of_type(events, "log") if one["stream"] == "egress"] == []  # it went nowhere else
