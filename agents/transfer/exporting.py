"""An agent to lines."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from agents.definitions.budget import RunBudget
from agents.errors import NotFound
from agents.models import Agent, Run
from agents.transfer.lines import FILE_DATA_BYTES, AgentLine, EndedRun, EndLine, FileDataLine, FileLine, RunLine
from agents.workspace import Workspace
from agents.workspace.walk import Listing
from streaming.errors import LogBroken
from streaming.model.bounds import Page
from streaming.model.cursor import Cursor
from streaming.model.events import UsageTotal, encode
from streaming.model.folded import Folded
from streaming.store import journal
from streaming.store.journal import Stored

RUNS_AT_ONCE = 200


def export_lines(agent: Agent, *, files: bool = True) -> Iterator[bytes]:
    """Each with its newline. The log up to where it is committed when this begins. Of events that retention has removed
    what they came to: a state, and the pages of the conversation before it. Synchronous; raises WorkspaceMissing at
    once; LogMissing, PageMissing when the agent is deleted meanwhile; LogBroken when more is trimmed meanwhile."""
    if files:
        Workspace(agent.pk).check()
    return _lines(agent, files)


def _lines(agent: Agent, files: bool) -> Iterator[bytes]:
    agent_id = str(agent.pk)
    head, folded = journal.head(agent_id), None
    tip = head.tip
    if head.first_seq > 1:
        folded = journal.load(agent_id)
        tip = folded.cursor
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
    for run in runs_in_order(Run.objects.filter(agent=agent)):
        yield _encoded(run_line(run, head.first_seq))
    pages = events = 0
    if folded is not None:
        yield _json(state_line(folded, head.first_seq))
        for page in journal.pages_before(agent_id, folded):
            pages += 1
            yield _json(page_line(page))
    for stored in _events(agent_id, head.first_seq, tip.seq):
        events += 1
        yield stored.payload.encode() + b"\n"
    found = Workspace(agent_id).entries() if files else Listing([], complete=True)
    for entry in found.entries:
        yield _encoded(FileLine(path=entry.path))
        yield from _content(agent_id, entry.path)
    yield _encoded(EndLine(events=events, files=len(found.entries), pages=pages, complete=found.complete))


def state_line(folded: Folded, first_seq: int) -> dict[str, Any]:
    at = folded.cursor
    place = {"epoch": at.epoch, "seq": at.seq, "first_seq": first_seq}
    return {"type": "state", **place, "state": folded.state, "files": folded.files}


def page_line(page: Page) -> dict[str, Any]:
    place = {"epoch": page.before.epoch, "seq": page.before.seq}
    return {"type": "page", **place, "messages": page.messages, "earlier": page.earlier, "clears": page.clears}


def _json(line: dict[str, Any]) -> bytes:
    return encode(line).encode() + b"\n"


def _encoded(line: AgentLine | RunLine | FileLine | FileDataLine | EndLine) -> bytes:
    return line.model_dump_json().encode() + b"\n"


def runs_in_order(runs: QuerySet[Run]) -> Iterator[Run]:
    """Those that are in the log, oldest first, some in memory at a time."""
    runs = runs.exclude(first_seq=None).order_by("number")
    some = list(runs[:RUNS_AT_ONCE])
    while some:
        yield from some
        some = list(runs.filter(number__gt=some[-1].number)[:RUNS_AT_ONCE])


def run_line(run: Run, first_seq: int) -> RunLine:
    """`first_seq`: where its log begins."""
    return RunLine(
        run_id=str(run.pk),
        input=run.input,
        strategy=run.strategy,
        metadata=run.metadata,
        budget=RunBudget.model_validate(run.budget),
        retry_of=None if run.retry_of_id is None else str(run.retry_of_id),
        ended=_ended(run) if run.is_finished and (run.first_seq or 0) < first_seq else None,
    )


def _ended(run: Run) -> EndedRun:
    said = ("status", "first_seq", "started_seq", "last_seq", "duration_ms", "result", "error_code", "error_message")
    counts = ("tool_calls", "files_changed")
    times = {name: timestamp(getattr(run, name)) for name in ("created_at", "started_at", "finished_at")}
    facts = {name: getattr(run, name) for name in (*said, *counts)}
    return EndedRun.model_validate({**facts, **times, "usage": UsageTotal.model_validate(run.usage)})


def timestamp(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _events(agent_id: str, first_seq: int, tip_seq: int) -> Iterator[Stored]:
    """All from the one to the other. Raises LogBroken where some of them are not there any more."""
    after = Cursor(0, first_seq - 1)
    while after.seq < tip_seq:
        events = journal.page(agent_id, after).events
        if not events or events[0].cursor.seq != after.seq + 1:
            raise LogBroken(agent_id, after.seq, events[0].cursor.seq if events else tip_seq + 1)
        for stored in events:
            if stored.cursor.seq > tip_seq:
                return
            yield stored
            after = stored.cursor


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
