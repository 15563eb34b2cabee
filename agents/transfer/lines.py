"""The lines of an export, and reading them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.definitions.budget import RunBudget
from agents.errors import AgentsError
from agents.field_types import Metadata, Name, Text, Title
from agents.transfer.states import Earlier, Entry, KnownFile, State
from streaming.model.events import MAX_DEPTH, MAX_SAFE_INTEGER, Count, FinalStatus, UsageTotal, clean
from streaming.model.validation import plain_problems

FORMAT: Literal[2] = 2
"""1: without `state` and `page`, and its events get places from 1 on."""
LINE_BYTES = 16 * 2**20
"""Longer than any line that we write: an event with a change for each of 10,000 files is 2 MiB."""
FILE_DATA_BYTES = 512 * 1024
"""Of a file in one line, before base64."""
LINE_DEPTH = MAX_DEPTH + 10
"""Of a state or a page, in which the data of events is nested deeper than in those."""


class ImportInvalid(AgentsError):
    """Not an export, or not a whole one. The message names the line."""

    code, status = "invalid-import", 422


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def _timestamp(text: str) -> str:
    try:
        if _TIMESTAMP.fullmatch(text) and datetime.fromisoformat(text).utcoffset() == timedelta(0):
            return text
    except ValueError:
        pass
    raise ValueError("is not UTC with microseconds, as in 2026-11-20T12:00:00.123456Z")


Timestamp = Annotated[str, AfterValidator(_timestamp)]
Place = Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER)]
"""An epoch or a seq of a log."""


class AgentLine(_Line):
    type: Literal["agent"] = "agent"
    format: Literal[1, 2] = FORMAT
    agent_id: Name
    definition: Name
    title: Title = ""
    model: Name | None = None
    tools: list[Name] | None = None
    budget: RunBudget = Field(default_factory=RunBudget)
    metadata: Metadata = Field(default_factory=dict)


class EndedRun(_Line):
    """What the log does not say any more of a run whose first events it does not have."""

    status: FinalStatus
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp
    first_seq: Place
    started_seq: Place | None = None
    last_seq: Place | None = None
    duration_ms: Count | None = None
    result: Annotated[Any, AfterValidator(clean)] = None
    error_code: Annotated[Text, Field(max_length=64)] = ""
    error_message: Text = ""
    tool_calls: Annotated[int, Field(ge=0, lt=2**31)] = 0
    files_changed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    usage: UsageTotal = Field(default_factory=UsageTotal)


class RunLine(_Line):
    type: Literal["run"] = "run"
    run_id: Name
    input: Text
    strategy: Annotated[Text, Field(max_length=20)] = "enqueue"
    metadata: Metadata = Field(default_factory=dict)
    budget: RunBudget = Field(default_factory=RunBudget)
    retry_of: Name | None = None
    ended: EndedRun | None = None


class StateLine(_Line):
    """What the log folds to at the event of this epoch and seq, where its first events are not there any more. The log
    begins at `first_seq`, which may be before it or next to it. `files`: all of the workspace that the log knows."""

    type: Literal["state"] = "state"
    epoch: Place
    seq: Place
    first_seq: Place
    state: State
    files: dict[str, KnownFile]


class PageLine(_Line):
    """A page of the conversation. The first is the one that the state names, each other the one that the page before it
    names."""

    type: Literal["page"] = "page"
    epoch: Count
    seq: Place
    messages: Annotated[list[Entry], Field(min_length=1)]
    earlier: Earlier | None
    clears: bool = False


class EventLine(_Line):
    """An event as it is on the wire (docs/events.md). streaming.model.events says which data each type has."""

    type: Name
    run_id: Name | None
    epoch: Place = 1
    seq: Place
    timestamp: Timestamp
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
    pages: int = 0
    complete: bool = True


Line = AgentLine | RunLine | StateLine | PageLine | EventLine | FileLine | FileDataLine | EndLine
_KINDS: dict[str, type[AgentLine | RunLine | StateLine | PageLine | FileLine | FileDataLine | EndLine]] = {
    "agent": AgentLine,
    "run": RunLine,
    "state": StateLine,
    "page": PageLine,
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
        kind = _KINDS.get(str(value.get("type")), EventLine)
        return kind.model_validate(clean(value, LINE_DEPTH) if kind in (StateLine, PageLine) else value)
    except ValidationError as error:
        (path, message), *_ = plain_problems(error.errors())
        raise ImportInvalid(f"line {number}: {'.'.join(path)}: {message}", line=number) from None
    except (ValueError, RecursionError):
        raise ImportInvalid(f"line {number}: is not JSON", line=number) from None
