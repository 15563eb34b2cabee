"""The events of one run, read from its stretch of the agent's log: never from the log's beginning, and in parts of a
bounded size, so that neither an old agent nor a long run costs a reader more. Synchronous.

A run's stretch goes from its first event to its `done`. Other runs' events may lie between: one that waits in the queue
has its first events where an earlier run is at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from agents.models import Run
from streaming.model.cursor import START, Cursor
from streaming.model.events import Event, decode
from streaming.models import Log
from streaming.store import journal
from streaming.store.journal import Stored

PART_BYTES = 4 * 1024 * 1024
"""Of the log's JSON, about: the page of the log that reaches it is the last one that is read."""
PART_EVENTS = 5_000
LATEST_EVENTS = 1_000
ENDING_EVENTS = 8
WINDOW_EVENTS = 1_000


class Part:
    """Some of a run's events, in order: at most PART_EVENTS, and about PART_BYTES of its stretch.

    Args:
        after: where to go on; None for the run's beginning.
        with_wait: also what is said of it while an earlier run is at work, which is that it was moved in the queue.

    Once it was iterated over, `next` is the cursor to go on from; None where the run's end, or the log's, was reached.
    """

    def __init__(self, run: Run, after: Cursor | None = None, *, with_wait: bool = False) -> None:
        self._run = run
        self._after = after
        self._with_wait = with_wait
        self.next: Cursor | None = None

    def __iter__(self) -> Iterator[Event]:
        run_id = str(self._run.pk)
        read_bytes = own_events = 0
        at = START
        for stored in stretch(self._run, self._after, with_wait=self._with_wait):
            if read_bytes >= PART_BYTES or own_events >= PART_EVENTS:
                self.next = at
                return
            read_bytes += len(stored.payload)
            at = stored.cursor
            if run_id in stored.payload and (event := decode(stored.payload)).run_id == run_id:
                own_events += 1
                yield event
                if event.type == "done":
                    return


def own_events(run: Run) -> Iterator[Event]:
    """All events of the run but those of its wait, a page of the log in memory at a time."""
    run_id = str(run.pk)
    for stored in stretch(run):
        if run_id in stored.payload and (event := decode(stored.payload)).run_id == run_id:
            yield event


def stretch(run: Run, after: Cursor | None = None, *, with_wait: bool = False) -> Iterator[Stored]:
    """Everything stored between the run's first event and its last, of other runs too; a page in memory at a time.

    Without `with_wait` what an earlier run did while this one waited is left out, but for the page of the log in which
    this one was queued.
    """
    begins_seq = 0 if with_wait else _end_of_wait(run)
    if run.first_seq is None and run.started_at is None:  # nothing of it is in the log
        return
    at = after or before(run)
    while True:
        page = journal.page(str(run.agent_id), at)
        for stored in page.events:
            if run.last_seq is not None and stored.cursor.seq > run.last_seq:
                return
            yield stored
        if page.complete or not page.events:
            return
        at = page.events[-1].cursor
        if at.seq < begins_seq - 1:
            at = Cursor(0, begins_seq - 1)


def windows(run: Run) -> Iterator[Iterator[Stored]]:
    """What is stored from the run's start to its end in windows of WINDOW_EVENTS, the newest first; in each the events
    are in their order. For what is most likely near the end: each window has to be read before the next one is asked
    for."""
    head = journal.head(str(run.agent_id))
    last_seq = run.last_seq or head.tip.seq
    before_first = max(before_start(run).seq, head.first_seq - 1)
    end: int | None = None  # of the newest window: wherever the log ends by now
    while last_seq > before_first:
        start = max(before_first, last_seq - WINDOW_EVENTS)
        yield _window(run, start, end)
        last_seq = end = start


def _window(run: Run, start: int, end: int | None) -> Iterator[Stored]:
    stored = stretch(run, Cursor(0, start))
    return stored if end is None else takewhile(lambda one: one.cursor.seq <= end, stored)


def _end_of_wait(run: Run) -> int:
    """The seq of the first event that is not about waiting; 0 where it is not known. A run that ends in the queue has
    its end there, which is a few events that follow each other."""
    if run.started_seq is not None:
        return run.started_seq
    return 0 if run.last_seq is None else run.last_seq - ENDING_EVENTS


def before(run: Run) -> Cursor:
    """The place before the run's first event."""
    return Cursor(0, run.first_seq - 1) if run.first_seq else START


def before_start(run: Run) -> Cursor:
    """The place before it left the queue; before its first event where that is not known."""
    return Cursor(0, run.started_seq - 1) if run.started_seq else before(run)


def before_latest(run: Run) -> Cursor | None:
    """The place before the last LATEST_EVENTS events; None where the run's end is not known, or it has not more."""
    end = run.last_seq
    if end is None:
        if run.is_finished:  # before this site kept where runs end
            return None
        end = journal.head(str(run.agent_id)).tip.seq
    seq = end - LATEST_EVENTS
    return Cursor(0, seq) if seq > before_start(run).seq else None


def is_trimmed(run: Run) -> bool:
    """Are any of this run's events not stored any more?"""
    if run.first_seq is None:
        return False
    return Log.objects.filter(agent_id=run.agent_id, first_seq__gt=run.first_seq).exists()
