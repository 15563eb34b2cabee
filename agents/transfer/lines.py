"""The lines of an export that are not events, and reading any of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.api.text import Metadata, Name, Text, Title
from agents.definitions.budget import RunBudget
from agents.errors import AgentsError
from streaming.validation import plain_problems

FORMAT: Literal[1] = 1
LINE_BYTES = 16 * 2**20
"""Longer than any line that we write: an event with a change for each of 10,000 files is 2 MiB."""
FILE_DATA_BYTES = 512 * 1024
"""Of a file in one line, before base64."""


class ImportInvalid(AgentsError):
    """Not an export, or not a whole one. The message names the line."""

    code, status = "invalid-import", 422


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class AgentLine(_Line):
    type: Literal["agent"] = "agent"
    format: Literal[1] = FORMAT
    agent_id: Name
    definition: Name
    title: Title = ""
    model: Name | None = None
    tools: list[Name] | None = None
    budget: RunBudget = Field(default_factory=RunBudget)
    metadata: Metadata = Field(default_factory=dict)


class RunLine(_Line):
    type: Literal["run"] = "run"
    run_id: Name
    input: Text
    strategy: Annotated[Text, Field(max_length=20)] = "enqueue"
    metadata: Metadata = Field(default_factory=dict)
    budget: RunBudget = Field(default_factory=RunBudget)
    retry_of: Name | None = None


class EventLine(_Line):
    """As in CONTRACT section 2. Which data a type has is for streaming.events to say."""

    type: Name
    run_id: Name | None
    seq: Annotated[int, Field(ge=1)]
    timestamp: Name
    data: dict[str, Any]


class FileLine(_Line):
    type: Literal["file"] = "file"
    path: Text


class FileDataLine(_Line):
    type: Literal["file-data"] = "file-data"
    content: str


class EndLine(_Line):
    """Not `complete`: the workspace has more files than the site looks at (WORKSPACE_SCAN_FILES)."""

    type: Literal["end"] = "end"
    events: int
    files: int
    complete: bool = True


Line = AgentLine | RunLine | EventLine | FileLine | FileDataLine | EndLine
_KINDS: dict[str, type[AgentLine | RunLine | FileLine | FileDataLine | EndLine]] = {
    "agent": AgentLine,
    "run": RunLine,
    "file": FileLine,
    "file-data": FileDataLine,
    "end": EndLine,
}


def read(chunks: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
    """Each line with its number, from 1. Raises ImportInvalid."""
    for number, raw in enumerate(_split(chunks), 1):
        if raw.strip():
            yield number, _parse(number, raw)


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest, number = bytearray(), 1
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for part in whole:
            yield bytes(rest + part)
            rest, number = bytearray(), number + 1
        rest += last
        if len(rest) > LINE_BYTES:
            raise ImportInvalid(f"line {number}: is longer than {LINE_BYTES} bytes", line=number)
    if rest:
        yield bytes(rest)


def _parse(number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw)
        if not isinstance(value, dict):
            raise ImportInvalid(f"line {number}: is not a JSON object", line=number)
        return _KINDS.get(str(value.get("type")), EventLine).model_validate(value)
    except ValidationError as error:
        (path, message), *_ = plain_problems(error.errors())
        raise ImportInvalid(f"line {number}: {'.'.join(path)}: {message}", line=number) from None
    except (ValueError, RecursionError):
        raise ImportInvalid(f"line {number}: is not JSON", line=number) from None
