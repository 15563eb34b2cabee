"""An agent to lines."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from agents.definitions.budget import RunBudget
from agents.errors import NotFound
from agents.models import Agent, Run
from agents.transfer.lines import FILE_DATA_BYTES, AgentLine, EndLine, FileDataLine, FileLine, RunLine
from agents.workspace import Workspace
from agents.workspace.walk import Listing
from streaming import journal
from streaming.cursor import Cursor
from streaming.journal import Stored


def export_lines(agent: Agent, *, files: bool = True) -> Iterator[bytes]:
    """Each with its newline. The log up to where it is committed when this begins; what retention has trimmed is gone.
    Synchronous; raises WorkspaceMissing at once, LogMissing when the agent is deleted meanwhile."""
    if files:
        Workspace(agent.pk).check()
    return _lines(agent, files)


def _lines(agent: Agent, files: bool) -> Iterator[bytes]:
    agent_id = str(agent.pk)
    tip_seq = journal.head(agent_id).tip.seq
    line = AgentLine(
        agent_id=agent_id,
        definition=agent.definition,
        title=agent.title,
        model=agent.model or None,
        tools=agent.tools,
        budget=RunBudget.model_validate(agent.budget),
        metadata=agent.metadata,
    )
    yield _encoded(line)
    yield from map(_encoded, _runs(agent))
    events = 0
    for stored in _events(agent_id, tip_seq):
        events += 1
        yield stored.payload.encode() + b"\n"
    found = Workspace(agent_id).entries() if files else Listing([], complete=True)
    for entry in found.entries:
        yield _encoded(FileLine(path=entry.path))
        yield from _content(agent_id, entry.path)
    yield _encoded(EndLine(events=events, files=len(found.entries), complete=found.complete))


def _encoded(line: AgentLine | RunLine | FileLine | FileDataLine | EndLine) -> bytes:
    return line.model_dump_json().encode() + b"\n"


def _runs(agent: Agent) -> Iterator[RunLine]:
    """Those that are in the log, oldest first."""
    for run in Run.objects.filter(agent=agent).exclude(first_seq=None).order_by("number"):
        yield RunLine(
            run_id=str(run.pk),
            input=run.input,
            strategy=run.strategy,
            metadata=run.metadata,
            budget=RunBudget.model_validate(run.budget),
            retry_of=None if run.retry_of_id is None else str(run.retry_of_id),
        )


def _events(agent_id: str, tip_seq: int) -> Iterator[Stored]:
    after, complete = Cursor(0, 0), False
    while not complete:
        page = journal.page(agent_id, after)
        for stored in page.events:
            if stored.cursor.seq > tip_seq:
                return
            yield stored
            after = stored.cursor
        complete = page.complete or not page.events


def _content(agent_id: str, path: str) -> Iterator[bytes]:
    """As long as it was when it was opened; nothing of one that is gone by now."""
    try:
        opened = Workspace(agent_id).open_file(path)
    except NotFound:
        return
    with opened.file as file:
        left = opened.entry.size
        while left and (data := file.read(min(left, FILE_DATA_BYTES))):
            left -= len(data)
            yield _encoded(FileDataLine(content=base64.b64encode(data).decode()))
