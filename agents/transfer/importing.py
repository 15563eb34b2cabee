"""Lines to an agent: a new one, with new ids. All of it or nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from django.conf import settings
from django.db import transaction

from agents.definitions import Definition
from agents.errors import InputInvalid, UnknownDefinition
from agents.log import projection
from agents.models import Agent, Run
from agents.programs.translator import user_message_id
from agents.runs import choices, commands
from agents.transfer import lines as kinds
from agents.transfer.lines import ImportInvalid, Line
from agents.transfer.replay import Replay
from agents.workspace import Workspace, belongings
from agents.workspace.errors import FileTooLarge, PathInvalid, PathTaken
from agents.workspace.room import refuse_low_disk
from containers.spec import MIB
from streaming.model.bounds import Page
from streaming.model.cursor import Cursor
from streaming.model.events import Event, encode
from streaming.model.folded import Folded
from streaming.store import journal
from streaming.store.journal import Commit, Kept, Stored

COMMIT_EVENTS = 500
"""Events that are held at once."""
STATE_BYTES = 512 * 1024
"""No state that this site has made is larger."""
Numbered = tuple[int, Line]


def import_agent(owner: Any, chunks: Iterable[bytes], *, definition: str | None = None) -> Agent:
    """`definition`: in place of the one that the export names. Raises ImportInvalid, UnknownDefinition, InputTooLarge,
    DiskFull, and what `chunks` raises; then nothing is left."""
    refuse_low_disk()
    read = Reading(kinds.read(_bounded(chunks)))
    number, first = read.next("agent")
    if not isinstance(first, kinds.AgentLine):
        raise invalid(number, "an export begins with its agent")
    name = definition or first.definition
    try:
        found = commands.definition(name)
    except UnknownDefinition as error:
        error.details["field"] = "definition"
        raise
    chosen = _choices(number, first, found) if name == first.definition else choices.Choices()
    with transaction.atomic():
        agent = Agent.objects.create(owner=owner, definition=name, metadata=first.metadata, **asdict(chosen))
        try:
            Import(agent, first, found.limits.workspace_mib * MIB).take(read)
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
        raise invalid(number, f"{error.details['field']}: {error.message}") from None


class Reading:
    """One line ahead."""

    def __init__(self, lines: Iterator[Numbered]) -> None:
        self._lines = lines
        self._held: Numbered | None = None
        self._last = 0

    @property
    def next_number(self) -> int:
        return self._last + 1

    def next(self, wanted: str) -> Numbered:
        found = self._held or next(self._lines, None)
        self._held = None
        if found is None:
            raise invalid(self.next_number, f"the export ends without its {wanted}")
        self._last = found[0]
        return found

    def of(self, kind: type[Any]) -> Iterator[tuple[int, Any]]:
        """The lines of that kind that come next."""
        while True:
            self._held = self._held or next(self._lines, None)
            if self._held is None or not isinstance(self._held[1], kind):
                return
            yield self.next("end")


class Import:
    """Of one agent, whose row is there, in a transaction that was begun for it: nobody sees it before the end."""

    def __init__(self, agent: Agent, line: kinds.AgentLine, room_bytes: int) -> None:
        self._agent = agent
        self._agent_id = str(agent.pk)
        self._title = line.title
        self._room_bytes = room_bytes
        self._is_first_format = line.format == 1
        self._replay = Replay(self._agent_id, keeps_places=not self._is_first_format)
        self._rows: dict[str, kinds.RunLine] = {}
        """Of runs, by this site's id."""
        self._inserted: set[str] = set()
        self._folded = Folded()
        self._workspace = Workspace(self._agent_id)

    def take(self, read: Reading) -> None:
        for number, line in read.of(kinds.RunLine):
            run_id = self._replay.know(line.run_id)
            if run_id in self._rows:
                raise invalid(number, "the same run again")
            self._rows[run_id] = line
            if line.ended is not None:
                self._insert_ended(run_id, line.ended)
        pages = self._begin(read)
        events = self._log(read)
        files = self._files(read)
        number, end = read.next("end")
        if not isinstance(end, kinds.EndLine):
            raise invalid(number, f"a {end.type!r} line does not belong here")
        for what, said, found in (
            ("events", end.events, events),
            ("files", end.files, files),
            ("pages", end.pages, pages),
        ):
            if said != found:
                raise invalid(number, f"the export has {said} {what} by its end, and {found} were read")

    # The log --------------------------------------------------------------------------------------------------------

    def _begin(self, read: Reading) -> int:
        """The log, with what its first events came to if it lacks them; answers how many pages of the conversation."""
        number, line = (None, None) if self._is_first_format else next(read.of(kinds.StateLine), (None, None))
        if number is None or line is None:
            journal.create(self._agent_id)
            return 0
        at = Cursor(line.epoch, line.seq)
        if line.first_seq > at.seq + 1:
            raise invalid(number, f"first_seq: {line.first_seq} does not follow {at.seq}")
        state = self._replay.state(line.state.model_dump(exclude_unset=True))
        self._folded = Folded(at, state, {path: file.model_dump() for path, file in line.files.items()})
        if len(_encoded(number, state)) > STATE_BYTES:
            raise invalid(number, f"state: is larger than {STATE_BYTES} bytes")
        journal.create_trimmed(self._agent_id, line.first_seq, Kept.of(self._folded))
        self._replay.begin(at if line.first_seq > at.seq else Cursor(1, line.first_seq - 1))
        return self._pages(read, at)

    def _pages(self, read: Reading, at: Cursor) -> int:
        """The newest first, each named by the one before it here."""
        earlier, last, pages = self._folded.state["earlier"], None, 0
        for number, line in read.of(kinds.PageLine):
            before = Cursor(line.epoch, line.seq)
            if earlier != {"before": str(before)}:
                raise invalid(number, f"the page before {before} is not the one that comes next")
            if (last is not None and before >= last) or (before.epoch and before.seq > at.seq):
                raise invalid(number, "the page is not older than what names it")
            messages = self._replay.entries([one.model_dump(exclude_unset=True) for one in line.messages])
            earlier = None if line.earlier is None else line.earlier.model_dump()
            _encoded(number, messages)
            journal.add_page(self._agent_id, Page(before, messages, earlier, line.clears))
            last, pages = before, pages + 1
        if earlier is not None:
            raise invalid(read.next_number, f"the page before {earlier['before']} is missing")
        return pages

    def _log(self, read: Reading) -> int:
        replayed = (self._checked(*found) for found in read.of(kinds.EventLine))
        taken = 0
        for epoch, events in groupby(replayed, lambda event: event.epoch):
            journal.open_epoch(self._agent_id, epoch)
            while batch := list(islice(events, COMMIT_EVENTS)):
                taken += len(batch)
                self._commit(batch)
        self._commit(list(self._replay.close()))
        state = self._folded.state
        if journal.head(self._agent_id).tip != self._folded.cursor:
            raise invalid(read.next_number, f"the log ends before {self._folded.cursor}, which its state is of")
        if state["active_run"] is not None or state["queue"]:
            raise invalid(read.next_number, "the state has open runs that the log does not have")
        shown = {"title": self._title or state["title"], "status": state["status"]}
        Agent.objects.filter(pk=self._agent.pk).update(**shown)
        return taken

    def _checked(self, number: int, line: kinds.EventLine) -> Event:
        event = self._replay.take(number, line)
        if event.seq == self._folded.cursor.seq and event.epoch != self._folded.cursor.epoch:
            raise invalid(number, f"epoch: is not that of the state, which is of {self._folded.cursor}")
        return event

    def _commit(self, events: list[Event]) -> None:
        """Those that are in the state already are stored only."""
        if not events:
            return
        for event in events:
            if event.run_id is not None and event.run_id not in self._inserted:
                self._insert(event, event.run_id)
        self._folded.take(event for event in events if event.seq > self._folded.cursor.seq)
        stored = [Stored(Cursor(event.epoch, event.seq), event.encode()) for event in events]
        project = projection.projection(self._agent_id, spends=False)
        kept = Kept.of(self._folded)
        self._folded.pages = []
        journal.commit(Commit(self._agent_id, events[-1].epoch, stored, "", kept, lambda: project(events)))

    # Runs -----------------------------------------------------------------------------------------------------------

    def _insert_ended(self, run_id: str, ended: kinds.EndedRun) -> None:
        """The row of a run whose first events the log does not have."""
        said = ended.model_dump(exclude={"created_at", "started_at", "finished_at"})
        times = {name: getattr(ended, name) for name in ("started_at", "finished_at")}
        self._create(
            run_id, "", ended.created_at, **said, **{name: time and _time(time) for name, time in times.items()}
        )

    def _insert(self, event: Event, run_id: str) -> None:
        """The row of a run, at its first event."""
        said = event.data.get("content", "") if event.data.get("message_id") == user_message_id(run_id) else ""
        self._create(run_id, said, event.timestamp)

    def _create(self, run_id: str, said: str, created_at: str, **ended: Any) -> None:
        line = self._rows.get(run_id)
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
            **ended,
        )
        Run.objects.filter(pk=run_id).update(created_at=_time(created_at))

    # Files ----------------------------------------------------------------------------------------------------------

    def _files(self, read: Reading) -> int:
        self._workspace.create()
        files = 0
        for number, line in read.of(kinds.FileLine):
            files += 1
            content = (self._decoded(at, data) for at, data in read.of(kinds.FileDataLine))
            try:
                self._workspace.write_file(line.path, content, self._room_bytes)
            except FileTooLarge:
                raise invalid(number, "the files are more than its workspace may hold") from None
            except (PathInvalid, PathTaken) as error:
                raise invalid(number, f"path: {error}") from None
        return files

    def _decoded(self, number: int, line: kinds.FileDataLine) -> bytes:
        try:
            data = base64.b64decode(line.content, validate=True)
        except (binascii.Error, ValueError):
            raise invalid(number, "content: is not base64") from None
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            raise FileTooLarge("too large")
        return data


def invalid(number: int, problem: str) -> ImportInvalid:
    return ImportInvalid(f"line {number}: {problem}", line=number)


def _encoded(number: int, value: Any) -> str:
    """Also to see that it can be: JSON has no infinities."""
    try:
        return encode(value)
    except ValueError:
        raise invalid(number, "holds a number that JSON can't carry") from None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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
