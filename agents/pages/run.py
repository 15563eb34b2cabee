"""A run's page: what is known of it, from its row, its attempts and its events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from agents.log import run_events
from agents.log.run_events import is_trimmed
from agents.models import Attempt, Run
from agents.models.run import RunStatus
from agents.pages import advice, markdown, measures, timeline, waterfall
from agents.pages.timeline import Timeline
from agents.pages.waterfall import Waterfall
from streaming.model.cursor import START, Cursor
from streaming.store import journal

RESULT_CHARS = 20_000
INPUT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class PartOfRun:
    """Which of the run's events the timeline shows. `after`: the cursor that it begins behind, empty at the run's
    beginning; `next`: the cursor of the next part, if there is one; `latest`: of its latest events, if they are not
    here."""

    after: str
    next: str
    latest: str

    @property
    def is_whole(self) -> bool:
        return not self.after and not self.next


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`spent`: tokens and cost, in words. `answer`: the result, if it is a text, as the agent page shows it; other
    results are in `result`. `part`: of the events that `timeline`, `waterfall` and `model_calls` tell of. `trimmed`:
    the oldest are not stored any more. `can_continue`: its program said something, it did not complete, and no run has
    followed it. `events_after`: the cursor before its first event."""

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
    part: PartOfRun
    trimmed: bool
    can_continue: bool
    events_after: str


def facts(run: Run, after: Cursor | None = None) -> RunFacts:
    """`after`: where in the run its timeline begins."""
    events = run_events.Part(run, after)
    told = timeline.of(events, None if run.is_finished else timezone.now(), begins=after is None)
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
        part=_part(run, after, events.next),
        trimmed=is_trimmed(run),
        can_continue=_can_continue(run, told),
        events_after=_events_after(run),
    )


def _part(run: Run, after: Cursor | None, next_: Cursor | None) -> PartOfRun:
    latest = run_events.before_latest(run) if next_ is not None else None
    is_further = latest is not None and next_ is not None and latest.seq > next_.seq
    return PartOfRun(*(str(cursor) if cursor else "" for cursor in (after, next_, latest if is_further else None)))


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
