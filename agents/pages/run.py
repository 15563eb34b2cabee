"""A run's page: what is known of it, from its row, its attempts and its events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils import timezone

from agents import retention
from agents.models import Attempt, Run
from agents.models.run import RunStatus
from agents.pages import advice, markdown, measures, timeline, waterfall
from agents.pages.timeline import Timeline
from agents.pages.waterfall import Waterfall
from streaming import journal
from streaming.cursor import START, Cursor
from streaming.events import Event, decode

EVENTS_MOST = 50_000
"""Of a run that are read for its page: 10,000 tool calls with their output. Two seconds; run.js asks less often."""
PAGES_MOST = 32
"""Pages of the log, about a megabyte each, that are read for it: other runs' events may lie between."""
RESULT_CHARS = 20_000
INPUT_CHARS = 20_000


@dataclass(slots=True)
class Reading:
    """The way through a run's events. `ended`, once they were read: its `done`, or the end of the log, was reached."""

    run: Run
    ended: bool = False

    def events(self) -> Iterator[Event]:
        if self.run.first_seq is None and self.run.started_at is None:  # nothing of it is in the log
            self.ended = True
            return iter(())
        return islice(self._all(), EVENTS_MOST)

    def _all(self) -> Iterator[Event]:
        agent_id, run_id = str(self.run.agent_id), str(self.run.pk)
        at = Cursor(0, self.run.first_seq - 1) if self.run.first_seq else START
        for _ in range(PAGES_MOST):
            page = journal.page(agent_id, at)
            for stored in page.events:
                at = stored.cursor
                event = decode(stored.payload)
                if event.run_id == run_id:
                    self.ended = event.type == "done"
                    yield event
                    if self.ended:
                        return
            if page.complete or not page.events:
                self.ended = True
                return


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`spent`: tokens and cost, in words. `answer`: the result, if it is a text, as the agent page shows it; other
    results are in `result`. `cut`: not all events were read. `trimmed`: the oldest are not stored any
    more. `can_continue`: as in agents.pages.conversation. `events_after`: the cursor before its first event."""

    run: Run
    attempts: list[Attempt]
    timeline: Timeline
    waterfall: Waterfall
    duration: str
    spent: str
    model_calls: int
    tool_calls: int
    input: str
    answer: str
    result: str
    advice: str
    cut: bool
    trimmed: bool
    can_continue: bool
    events_after: str


def facts(run: Run) -> RunFacts:
    reading = Reading(run)
    told = timeline.of(reading.events(), None if run.is_finished else timezone.now())
    cut = not reading.ended
    return RunFacts(
        run=run,
        attempts=list(run.attempts.order_by("number")),
        timeline=told,
        waterfall=waterfall.of(told),
        duration=_duration(run),
        spent=_spent(run, told),
        model_calls=told.model_calls,
        tool_calls=max(run.tool_calls, told.tool_calls),
        input=_clip(run.input, INPUT_CHARS),
        answer=_answer(run),
        result=_readable(run.result),
        advice=advice.of(run.error_code),
        cut=cut,
        trimmed=retention.is_trimmed(run),
        can_continue=_can_continue(run, told),
        events_after=_events_after(run),
    )


def _can_continue(run: Run, told: Timeline) -> bool:
    if not run.is_finished or run.status == RunStatus.COMPLETED or not told.has_spoken:
        return False
    return not Run.objects.filter(agent=run.agent_id, number__gt=run.number).exists()


def _events_after(run: Run) -> str:
    seq = (run.first_seq or 1) - 1
    starts = [start for start in journal.starts_from(str(run.agent_id), 0) if start.first_seq <= seq]
    return str(Cursor(starts[-1].epoch, seq) if starts else START)


def _duration(run: Run) -> str:
    """From when it was taken up; of one that goes on, so far."""
    if run.started_at is None:
        return ""
    passed = (run.finished_at or timezone.now()) - run.started_at
    words = measures.duration(max(0.0, passed.total_seconds() * 1000))
    return words if run.finished_at else f"{words} so far"


def _spent(run: Run, told: Timeline) -> str:
    usage: dict[str, Any] | None = run.usage or told.usage
    return measures.usage(usage) if usage else ""


def _answer(run: Run) -> str:
    if not isinstance(run.result, str):
        return ""
    return markdown.render(_clip(run.result, RESULT_CHARS), f"/api/agents/{run.agent_id}/files/")


def _readable(result: Any) -> str:
    if result is None or isinstance(result, str):
        return ""
    return _clip(json.dumps(result, ensure_ascii=False, indent=2), RESULT_CHARS)


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most:,} more characters"
