"""What a run spent its time on, from its events: no more than they say, whatever they are."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.pages import timeline, waterfall
from agents.pages.timeline import Timeline
from streaming.model.events import Event, decode
from tests.golden.logs import logs
from tests.golden.test_golden import LOGS, lines_of
from tests.pages.story import ANALYSIS, BEGUN, FINISHED, Step, events_of

RUN = "0193467e-7e2b-7d00-8a11-000000000101"
QUEUED: Step = (0, "status", {"status": "queued"})
RUNNING: Step = (1, "status", {"status": "running", "attempt": 1})


def told(*steps: Step, now_s: float | None = None) -> Timeline:
    now = None if now_s is None else BEGUN + timedelta(seconds=now_s)
    return timeline.of(events_of("a", RUN, steps), now)


def spans(line: Timeline) -> list[tuple[str, float, float]]:
    return [(span.kind, span.start_ms / 1000, span.end_ms / 1000) for span in line.spans]


def call(at_s: float, call_id: str = "c", name: str = "bash") -> Step:
    return (at_s, "tool-call", {"call_id": call_id, "name": name})


def result(at_s: float, call_id: str = "c", *, is_error: bool = False) -> Step:
    return (at_s, "tool-result", {"call_id": call_id, "is_error": is_error})


def text(at_s: float, content: str = "word ") -> Step:
    return (at_s, "text", {"message_id": "m", "content": content})


def usage(at_s: float) -> Step:
    total = {"input_tokens": 10, "output_tokens": 5, "cost_usd": None}
    return (at_s, "usage", {"model": "m", "input_tokens": 10, "output_tokens": 5, "total": total})


def done(at_s: float, status: str = "completed") -> Step:
    return (at_s, "done", {"status": status})


def test_a_whole_run_is_told_in_the_order_in_which_things_began() -> None:
    line = told(QUEUED, *FINISHED)
    assert spans(line) == [
        ("queued", 0, 0.4),
        ("starting", 0.4, 1.6),
        ("thinking", 1.6, 2.9),
        ("model", 1.6, 3.4),
        ("tool", 3.5, 3.9),
        ("tool", 3.6, 5.2),
        ("model", 5.2, 7.9),
        ("tool", 8.0, 15.9),
        ("waiting", 8.1, 14.5),
        ("model", 15.9, 19.6),
    ]
    assert (line.model_calls, line.tool_calls, line.is_open) == (3, 3, False)
    assert [span.name for span in line.spans if span.is_error] == ["bash"]
    assert line.usage == {"input_tokens": 6700, "output_tokens": 645, "cost_usd": 0.0298}


def test_a_model_call_ends_at_its_usage_and_begins_with_the_last_result_of_tools_that_ran_together() -> None:
    steps = [QUEUED, RUNNING, call(2), call(2, "d"), result(3), result(5, "d"), text(7), usage(9), done(10)]
    assert [span for span in spans(told(*steps)) if span[0] == "model"] == [("model", 5, 9)]


def test_without_usage_only_the_words_are_drawn_and_no_call_is_claimed() -> None:
    line = told(QUEUED, RUNNING, text(2), text(3), call(4), result(5), text(8), text(8.5), done(9))
    assert spans(line)[2:] == [("words", 2, 3), ("tool", 4, 5), ("words", 8, 8.5)]
    assert line.model_calls == 0


def test_last_words_that_come_just_after_their_usage_are_no_text_of_their_own() -> None:
    line = told(QUEUED, RUNNING, text(2), usage(3), text(3.2), call(3.3), result(4), done(5))
    assert [kind for kind, _, _ in spans(line)] == ["queued", "starting", "model", "tool"]


def test_what_is_not_finished_when_the_run_ends_ends_with_it_and_says_so() -> None:
    ask: Step = (3, "approval-request", {"approval_id": "a", "question": "May I?"})
    line = told(QUEUED, RUNNING, call(2), ask, done(4, "cancelled"))
    assert [(span.kind, span.end_ms, span.detail) for span in line.spans[2:]] == [
        ("tool", 4000, "not finished when the run ended"),
        ("waiting", 4000, "not answered before the run ended"),
    ]


@pytest.mark.parametrize(
    ("steps", "kind", "begun_s"),
    [
        ([QUEUED], "queued", 0),
        ([QUEUED, RUNNING], "starting", 1),
        ([QUEUED, RUNNING, text(2), usage(3)], "working", 3),
        ([QUEUED, RUNNING, call(2)], "tool", 2),
    ],
)
def test_what_goes_on_is_open_until_now(steps: list[Step], kind: str, begun_s: float) -> None:
    last = told(*steps, now_s=60).spans[-1]
    assert (last.kind, last.start_ms, last.end_ms, last.is_open) == (kind, begun_s * 1000, 60_000, True)


def test_a_writer_that_changes_while_the_run_is_active_is_a_takeover_and_before_it_is_not() -> None:
    first = events_of("a", RUN, [QUEUED], epoch=1)
    second = events_of("a", RUN, [RUNNING, text(2)], epoch=2, after=1)
    third = events_of("a", RUN, [text(5), done(6)], epoch=3, after=3)
    assert [(mark.kind, mark.at_ms) for mark in timeline.of([*first, *second, *third]).marks] == [("taken-over", 5000)]


def test_another_attempt_starts_once_more() -> None:
    again: Step = (5, "status", {"status": "running", "attempt": 2})
    line = told(QUEUED, RUNNING, text(2), again, text(7), done(8))
    assert [span for span in spans(line) if span[0] == "starting"] == [("starting", 1, 2), ("starting", 5, 7)]
    assert [mark.words for mark in line.marks] == ["Attempt 2 began."]


def test_running_again_after_a_question_is_no_other_attempt() -> None:
    line = told(QUEUED, *ANALYSIS)
    assert not line.marks
    assert [span.kind for span in line.spans].count("starting") == 1


def test_time_never_goes_back_and_it_is_said_that_clocks_differ() -> None:
    line = told(QUEUED, (9, "status", {"status": "running"}), text(4), done(10))
    assert line.clocks_differ
    assert all(span.duration_ms >= 0 for span in line.spans)
    assert not told(QUEUED, *FINISHED).clocks_differ


def _holds(events: list[Event], now_s: float | None) -> None:
    line = timeline.of(events, None if now_s is None else BEGUN + timedelta(seconds=now_s))
    starts = [span.start_ms for span in line.spans]
    assert starts == sorted(starts)
    assert all(0 <= span.start_ms <= span.end_ms <= line.end_ms for span in line.spans)
    assert line.tool_calls == sum(event.type == "tool-call" for event in events)
    assert sum(span.kind == "tool" for span in line.spans) <= line.tool_calls
    fall = waterfall.of(line)
    bars = [(float(left[:-1]), float(width[:-1])) for row in fall.rows for left, width in row.bars]
    assert all(left >= 0 and width > 0 for left, width in bars)
    assert all(left + width <= 100.31 for left, width in bars)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs, now_s=st.none() | st.floats(0, 1e6))
def test_any_log_at_all_can_be_told(log: list[Event], now_s: float | None) -> None:
    _holds(log, now_s)


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_every_golden_log_can_be_told(log: Any) -> None:
    _holds([decode(line) for line in lines_of(log)], None)


# How it is drawn ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length_ms", "words"),
    [
        (1, ["0 ms", "1 ms"]),
        (950, ["0 ms", "200 ms", "400 ms", "600 ms", "800 ms"]),
        (19_600, ["0 s", "5 s", "10 s", "15 s"]),
        (100_000, ["0 s", "30 s", "60 s", "90 s"]),
        (3_600_000, ["0 min", "10 min", "20 min", "30 min", "40 min", "50 min", "60 min"]),
        (9 * 86_400_000, ["0 d", "2 d", "4 d", "6 d", "8 d"]),
    ],
)
def test_ticks_are_at_round_times(length_ms: float, words: list[str]) -> None:
    assert [name for _, name in waterfall.ticks(length_ms)] == words


@given(length_ms=st.floats(1, 1e12))
def test_ticks_are_few_and_evenly_spaced_from_zero(length_ms: float) -> None:
    places = [at for at, _ in waterfall.ticks(length_ms)]
    assert places[0] == 0
    assert places[-1] <= length_ms
    assert 1 <= len(places) <= waterfall.TICKS_MOST + 1
    assert len({round(after - before, 6) for before, after in pairwise(places)}) <= 1


def test_the_axis_begins_when_the_run_was_taken_up_however_long_it_was_in_the_queue() -> None:
    steps: list[Step] = [QUEUED, (3600, "status", {"status": "running"}), text(3601), text(3604), done(3610)]
    fall = waterfall.of(told(*steps))
    assert (fall.queued, fall.total) == ("1 h 0 min", "10.0 s")
    assert [(row.span.kind, *row.bars[0]) for row in fall.rows] == [
        ("starting", "0.00%", "10.00%"),
        ("words", "10.00%", "30.00%"),
    ]


def test_of_ten_thousand_calls_the_longest_are_drawn_in_their_order_and_the_others_counted() -> None:
    steps: list[Step] = [QUEUED, RUNNING]
    for at in range(10_000):
        steps += [call(2 + at, f"c{at}", f"tool{at}"), result(2.9 + at if at % 1000 == 0 else 2.1 + at, f"c{at}")]
    fall = waterfall.of(told(*steps, done(20_000)))
    assert len(fall.rows) == waterfall.ROWS_MOST
    assert fall.left_out == 10_001 - waterfall.ROWS_MOST
    names = [row.span.name for row in fall.rows]
    assert [name for name in names if name.endswith("000") or name == "tool0"] == [
        f"tool{at}" for at in range(0, 10_000, 1000)
    ]


def test_time_of_tools_that_ran_together_is_counted_once() -> None:
    line = told(QUEUED, RUNNING, call(2), call(3, "d"), result(6), result(5, "d"), done(7))
    assert line.busy_ms("tool") == 4000


def test_time_that_a_call_waits_for_its_approval_is_not_its_own() -> None:
    line = told(QUEUED, *FINISHED)
    assert [round(span.duration_ms) for span in line.spans if span.kind == "tool"] == [400, 1600, 1500]
    assert (round(line.busy_ms("tool")), round(line.busy_ms("waiting"))) == (3200, 6400)
    row = next(row for row in waterfall.of(line).rows if row.about == "rm -rf old · failed")
    assert (row.begun, row.took, len(row.bars)) == ("7.6 s", "1.5 s", 2)


def test_waits_of_one_call_that_overlap_or_go_on_are_taken_off_once() -> None:
    asks: list[Step] = [
        (at, "approval-request", {"approval_id": str(at), "call_id": "c", "question": "May I?"}) for at in (3, 4, 8)
    ]
    answers: list[Step] = [
        (at, "approval-response", {"approval_id": str(of), "decision": "approve", "by": "ada"})
        for at, of in ((5, 4), (6, 3))
    ]
    line = told(QUEUED, RUNNING, call(2), *asks[:2], *answers, asks[2], now_s=60)
    tool = next(span for span in line.spans if span.kind == "tool")
    assert tool.busy() == [(2000, 3000), (6000, 8000)]
    assert (tool.duration_ms, tool.is_open) == (3000, True)
