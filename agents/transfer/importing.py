"""Lines to an agent: a new one, with new ids. All of it or nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import transaction

from agents import choices, lifecycle, projection
from agents import lease as leases
from agents.definitions import Definition
from agents.errors import InputInvalid, UnknownDefinition
from agents.models import Agent, Run
from agents.moment import owner_for_a_moment
from agents.transfer import lines as kinds
from agents.transfer.lines import ImportInvalid, Line
from agents.transfer.replay import EPOCH, Replay
from agents.translate import user_message_id
from agents.workspace import Workspace, belongings
from agents.workspace.errors import FileTooLarge, PathInvalid, PathTaken
from agents.workspace.room import refuse_low_disk
from containers.spec import MIB
from streaming import journal
from streaming.cursor import Cursor
from streaming.events import Event
from streaming.folded import Folded
from streaming.journal import Commit, Kept, Stored

COMMIT_EVENTS = 500
"""Events that are held at once."""
Numbered = tuple[int, Line]


def import_agent(owner: Any, chunks: Iterable[bytes], *, definition: str | None = None) -> Agent:
    """`definition`: in place of the one that the export names. Raises ImportInvalid, UnknownDefinition, InputTooLarge,
    DiskFull, and what `chunks` raises; then nothing is left."""
    refuse_low_disk()
    read = _Reading(kinds.read(_bounded(chunks)))
    number, first = read.next("agent")
    if not isinstance(first, kinds.AgentLine):
        raise ImportInvalid(f"line {number}: an export begins with its agent", line=number)
    name = definition or first.definition
    try:
        found = lifecycle.definition(name)
    except UnknownDefinition as error:
        error.details["field"] = "definition"
        raise
    chosen = _choices(number, first, found) if name == first.definition else choices.Choices()
    with transaction.atomic():
        agent = Agent.objects.create(owner=owner, definition=name, metadata=first.metadata, **asdict(chosen))
        try:
            _Import(agent, first.title, found.limits.workspace_mib * MIB).take(read)
        except BaseException:
            belongings.remove(str(agent.pk))
            raise
    agent.refresh_from_db()
    return agent


def _choices(number: int, line: kinds.AgentLine, found: Definition) -> choices.Choices:
    """Not of another definition than the one that they were made of."""
    try:
        return choices.checked(found, line.model, line.tools, line.budget)
    except InputInvalid as error:
        raise ImportInvalid(f"line {number}: {error.details['field']}: {error.message}", line=number) from None


class _Reading:
    """One line ahead."""

    def __init__(self, lines: Iterator[Numbered]) -> None:
        self._lines = lines
        self._held: Numbered | None = None
        self._last = 0

    def next(self, wanted: str) -> Numbered:
        found = self._held or next(self._lines, None)
        self._held = None
        if found is None:
            raise ImportInvalid(f"line {self._last + 1}: the export ends without its {wanted}", line=self._last + 1)
        self._last = found[0]
        return found

    def of(self, kind: type[Any]) -> Iterator[tuple[int, Any]]:
        """The lines of that kind that come next."""
        while True:
            self._held = self._held or next(self._lines, None)
            if self._held is None or not isinstance(self._held[1], kind):
                return
            yield self.next("end")


class _Import:
    def __init__(self, agent: Agent, title: str, room_bytes: int) -> None:
        self._agent = agent
        self._agent_id = str(agent.pk)
        self._title = title
        self._room_bytes = room_bytes
        self._replay = Replay(self._agent_id)
        self._rows: dict[str, kinds.RunLine] = {}
        """Of runs, by this site's id."""
        self._inserted: set[str] = set()
        self._folded = Folded()
        self._workspace = Workspace(self._agent_id)

    def take(self, read: _Reading) -> None:
        for number, line in read.of(kinds.RunLine):
            run_id = self._replay.know(line.run_id)
            if run_id in self._rows:
                raise ImportInvalid(f"line {number}: the same run again", line=number)
            self._rows[run_id] = line
        events = self._log(read)
        files = self._files(read)
        number, end = read.next("end")
        if not isinstance(end, kinds.EndLine):
            raise ImportInvalid(f"line {number}: a {end.type!r} line does not belong here", line=number)
        if (end.events, end.files) != (events, files):
            problem = f"has {end.events} events and {end.files} files at its end, and {events} and {files} were read"
            raise ImportInvalid(f"line {number}: the export {problem}", line=number)

    def _log(self, read: _Reading) -> int:
        """As its writer for a moment, which nobody sees before all of it is there."""
        journal.create(self._agent_id)
        lease = leases.acquire(self._agent_id, owner_for_a_moment())
        assert lease is not None
        assert lease.epoch == EPOCH
        journal.begin(self._agent_id, EPOCH, [], "")
        replayed = (self._replay.take(number, line) for number, line in read.of(kinds.EventLine))
        taken = 0
        while batch := list(islice(replayed, COMMIT_EVENTS)):
            taken += len(batch)
            self._commit(batch)
        self._commit(list(self._replay.close()))
        Agent.objects.filter(pk=self._agent.pk).update(title=self._title or self._folded.state["title"])
        leases.release(lease)
        return taken

    def _commit(self, events: list[Event]) -> None:
        if not events:
            return
        for event in events:
            if event.run_id is not None and event.run_id not in self._inserted:
                self._insert(event, event.run_id)
        self._folded.take(events)
        stored = [Stored(Cursor(EPOCH, event.seq), event.encode()) for event in events]
        project = projection.projection(self._agent_id, spends=False)
        kept = Kept.of(self._folded)
        self._folded.pages = []
        journal.commit(Commit(self._agent_id, EPOCH, stored, "", kept, lambda: project(events)))

    def _insert(self, event: Event, run_id: str) -> None:
        """The row of a run, at its first event."""
        line = self._rows.get(run_id)
        said = event.data.get("content", "") if event.data.get("message_id") == user_message_id(run_id) else ""
        retry_of = self._replay.run_ids.get(line.retry_of) if line and line.retry_of else None
        self._inserted.add(run_id)
        Run.objects.create(
            pk=run_id,
            agent=self._agent,
            number=len(self._inserted),
            input=line.input if line else said,
            strategy=line.strategy if line else "enqueue",
            metadata=line.metadata if line else {},
            budget=line.budget.limits() if line else {},
            retry_of_id=retry_of if retry_of in self._inserted else None,
        )
        Run.objects.filter(pk=run_id).update(created_at=datetime.fromisoformat(event.timestamp))

    def _files(self, read: _Reading) -> int:
        self._workspace.create()
        files = 0
        for number, line in read.of(kinds.FileLine):
            files += 1
            content = (self._decoded(at, data) for at, data in read.of(kinds.FileDataLine))
            try:
                self._workspace.write_file(line.path, content, self._room_bytes)
            except FileTooLarge:
                problem = "the files are more than its workspace may hold"
                raise ImportInvalid(f"line {number}: {problem}", line=number) from None
            except (PathInvalid, PathTaken) as error:
                raise ImportInvalid(f"line {number}: path: {error}", line=number) from None
        return files

    def _decoded(self, number: int, line: kinds.FileDataLine) -> bytes:
        try:
            data = base64.b64decode(line.content, validate=True)
        except (binascii.Error, ValueError):
            raise ImportInvalid(f"line {number}: content: is not base64", line=number) from None
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            raise FileTooLarge("too large")
        return data


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > settings.IMPORT_MAX_BYTES:
            raise too_large()
        yield chunk


def too_large() -> ImportInvalid:
    problem = ImportInvalid(f"an import may have {settings.IMPORT_MAX_BYTES} bytes")
    problem.code, problem.status = "import-too-large", 413
    return problem
