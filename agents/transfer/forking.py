"""A new agent that continues from the end of another one's run.

It is an import of what the original was then: the runs that had ended, the conversation up to there, and a state, which
is put together from the conversation as it is now. Events do not come along, so this costs as much as the conversation
is long, and works where events were trimmed. Synchronous.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Q, QuerySet

from agents.errors import EventsTrimmed, NotFound, RunNotEnded
from agents.log import announcements, run_events
from agents.models import Agent, Run
from agents.models.ids import new_id
from agents.transfer.exporting import page_line, run_line, runs_in_order, state_line, timestamp
from agents.transfer.importing import Import, Reading
from agents.transfer.lines import AgentLine, EndLine, Line, PageLine, StateLine
from agents.workspace import Workspace, WorkspaceNotKept, belongings
from agents.workspace.history import History, copy_as_it_was
from agents.workspace.history.manifest import Manifest, Record
from streaming.errors import LogMissing, PageMissing
from streaming.model import conversation
from streaming.model.bounds import Page, bounded_error, within_limits
from streaming.model.conversation import Entry
from streaming.model.cursor import Cursor
from streaming.model.fold import State, initial
from streaming.model.folded import Folded
from streaming.model.weight import weight
from streaming.models import ConversationPage
from streaming.store import journal

SHOWN_RUNS = 100
"""Of those that the state shows; their rows are all there."""


def fork_agent(owner: Any, agent: Agent, run: Run | None = None, title: str | None = None) -> Agent:
    """`run`: by default the latest that has begun and ended. The workspace comes first: until the transaction has
    ended, no row names it. If the process dies meanwhile, the sweep removes it (agents.workspace.cleanup).

    Raises RunNotEnded, WorkspaceNotKept, EventsTrimmed, DiskFull, NotFound if the original is deleted meanwhile; then
    nothing is left.
    """
    ended = Run.objects.filter(agent=agent).exclude(Q(finished_at=None) | Q(started_at=None))
    run = run or ended.order_by(F("last_seq").desc(nulls_last=True), "-number").first()
    if run is None or not run.is_finished:
        problem = "no run of this agent has ended yet" if run is None else "the run goes on"
        raise RunNotEnded(f"{problem}; a fork continues from the end of a run")
    fork_id = new_id()
    workspace = Workspace(fork_id)
    try:
        then = _Then(agent, run)
        workspace.create()
        files = copy_as_it_was(then.workspace(), History(agent.pk), Workspace(agent.pk), workspace)
        with transaction.atomic():
            fork = Agent.objects.create(
                pk=fork_id,
                owner=owner,
                definition=agent.definition,
                metadata=agent.metadata,
                model=agent.model,
                tools=agent.tools,
                budget=agent.budget,
            )
            line = AgentLine(agent_id=str(agent.pk), definition=agent.definition, title=title or "")
            Import(fork, line, 0).take(Reading(enumerate(then.lines(files, title), 1)))
            transaction.on_commit(partial(_announce, fork))
    except (LogMissing, PageMissing):
        belongings.remove(str(fork_id))
        raise NotFound("the agent has just been deleted") from None
    except BaseException:
        belongings.remove(str(fork_id))
        raise
    fork.refresh_from_db()
    return fork


def _announce(fork: Agent) -> None:
    fork.refresh_from_db()
    announcements.announce(fork.owner_id, str(fork.pk), fork.status, fork.title)


class _Then:
    """An agent at the end of one of its runs."""

    def __init__(self, agent: Agent, run: Run) -> None:
        self._agent = agent
        self._agent_id = str(agent.pk)
        self._run = run
        self._end_seq = _end_seq(run)
        self._runs = _ended_by(run, self._end_seq)
        self._folded = journal.load(self._agent_id)

    # The workspace --------------------------------------------------------------------------------------------------

    def workspace(self) -> Manifest:
        """As it was kept after the run; else as the log has it if nothing changed since. Raises WorkspaceNotKept."""
        kept = History(self._agent.pk).manifest(str(self._run.pk), "after")
        if kept is not None:
            return kept
        if not self._is_untouched():
            raise WorkspaceNotKept(
                "what was in the workspace after this run was not kept; newer runs may still have it"
            )
        known = self._folded.files.items()
        records = {path: Record(file["size"], file["sha256"], "not-kept", 0, 0, 0) for path, file in known}
        return Manifest(records, True, 0)

    def _is_untouched(self) -> bool:
        """By the log: nobody has run or changed files since."""
        later = Run.objects.filter(agent=self._agent, started_seq__gt=self._end_seq)
        if later.exists() or journal.head(self._agent_id).first_seq > self._end_seq + 1:
            return False
        return all(event.type != "files" for event in journal.events(self._agent_id, Cursor(0, self._end_seq)))

    # The log --------------------------------------------------------------------------------------------------------

    def lines(self, files: dict[str, dict[str, Any]], title: str | None) -> Iterator[Line]:
        """As in an export of a log that ends with the run, and of which no event is there."""
        for run in runs_in_order(self._runs):
            yield run_line(run, self._end_seq + 1)
        messages, pages = self._conversation()
        newest = next(pages, None)
        epoch = max(1, journal.cursor_at(self._agent_id, self._end_seq).epoch)
        folded = Folded(Cursor(epoch, self._end_seq), self._state(messages, newest, files, title), files)
        yield StateLine.model_validate(state_line(folded, self._end_seq + 1))
        count = 0
        for page in chain([newest] if newest else [], pages):
            count += 1
            yield PageLine.model_validate(page_line(page))
        yield EndLine(events=0, files=0, pages=count)

    def _conversation(self) -> tuple[list[Entry], Iterator[Page]]:
        """The messages that the state had then, and the pages before them, the newest first.

        Pages that were made since have parts that were in the state then. Their parts have not changed: what belongs to
        a run that has ended does not.
        """
        own = _Own(set(map(str, self._runs.values_list("pk", flat=True))))
        entries = own.select(self._folded.state["messages"])
        pages = journal.pages_before(self._agent_id, self._folded)
        for page in pages:
            found = own.select(page.messages)
            if page.before.seq <= self._end_seq and len(found) == len(page.messages):
                return conversation.in_order(entries), chain([page], pages)
            entries += found
        return conversation.in_order(entries), iter(())

    def _state(
        self, messages: list[Entry], page: Page | None, files: dict[str, dict[str, Any]], title: str | None
    ) -> State:
        """What was open in other runs does not come along."""
        now = self._folded.state
        runs = [_shown(run, now) for run in self._runs.order_by("-number")[:SHOWN_RUNS]]
        ids = set(map(str, self._runs.values_list("pk", flat=True)))
        state = initial() | {
            "status": self._run.status,
            "title": title or now["title"],
            "messages": messages,
            "parts_total": self._last_n(messages, page),
            "conversation_bytes": weight(messages),
            "earlier": None if page is None else {"before": str(page.before)},
            "cleared": journal.cleared_at(self._agent_id, self._folded, self._end_seq),
            "files": {path: {**file, "seq": self._end_seq} for path, file in files.items()},
            "files_total": len(files),
            "approvals": [one for one in now["approvals"] if one["run_id"] in ids],
            "usage": _sum(self._runs.values_list("usage", flat=True)),
            "runs": runs[::-1],
            "runs_total": len(ids),
        }
        plan = now.get("plan")
        return within_limits(state | ({"plan": plan} if plan and plan["run_id"] in ids else {}))

    def _last_n(self, messages: list[Entry], page: Page | None) -> int:
        """A call that was open for long leaves after parts that are newer than it."""
        stored = ConversationPage.objects.filter(agent_id=self._agent_id, seq__lte=self._end_seq)
        entries = [*messages, *(page.messages if page else [])]
        of_page: int = stored.aggregate(last=Max("last_n"))["last"] or 0
        ordinals: list[int] = [part["n"] for entry in entries for part in entry["parts"]]
        return max([of_page, *ordinals])


class _Own:
    """Messages of the runs with these ids, and those of no run that came before all later runs'. To be asked with the
    newest first."""

    def __init__(self, run_ids: set[str]) -> None:
        self._run_ids = run_ids
        self._later_n = float("inf")

    def select(self, entries: list[Entry]) -> list[Entry]:
        later = [one for one in entries if one["run_id"] is not None and one["run_id"] not in self._run_ids]
        self._later_n = min([self._later_n, *(part["n"] for one in later for part in one["parts"])])
        return [one for one in entries if one not in later and one["parts"][0]["n"] < self._later_n]


def _end_seq(run: Run) -> int:
    """Of its `done`. Raises EventsTrimmed."""
    if run.last_seq is not None:
        return run.last_seq
    for event in run_events.own_events(run):  # it ended before this site kept that
        if event.type == "done":
            return event.seq
    raise EventsTrimmed("the run's events are not stored any more, so nobody knows where in the log it ended")


def _ended_by(run: Run, end_seq: int) -> QuerySet[Run]:
    """The runs that had ended then, and it."""
    runs = Run.objects.filter(agent=run.agent_id).exclude(Q(finished_at=None) | Q(first_seq=None))
    return runs.filter(Q(last_seq__lte=end_seq) | Q(last_seq=None, number__lt=run.number) | Q(pk=run.pk))


def _shown(run: Run, now: State) -> dict[str, Any]:
    """As the state has it; of its row where it has left that."""
    known = next((one for one in now["runs"] if one["id"] == str(run.pk)), None)
    if known is not None:
        return dict(known)
    error = {"code": run.error_code, "message": run.error_message, "retryable": False} if run.error_code else None
    times = {name: timestamp(getattr(run, name)) for name in ("started_at", "finished_at")}
    return {"id": str(run.pk), "status": run.status, **times, "error": error and bounded_error(error)}


def _sum(usages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = initial()["usage"]
    for usage in usages:
        for name in ("input_tokens", "output_tokens"):
            total[name] += usage.get(name, 0)
        if usage.get("cost_usd") is not None:
            total["cost_usd"] = (total["cost_usd"] or 0) + usage["cost_usd"]
    return total
