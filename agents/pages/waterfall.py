"""A timeline as a table whose bars are small SVGs: places in percent of the time shown, words, and an honest axis."""

from __future__ import annotations

from dataclasses import dataclass

from agents.pages import measures
from agents.pages.timeline import Kind, Mark, Span, Timeline

ROWS_MOST = 200
"""Bars that are drawn. Of more, those that took longest, in their order."""
MARKS_MOST = 50
TICKS_MOST = 6
_SECOND, _MINUTE, _HOUR, _DAY = 1000.0, 60_000.0, 3_600_000.0, 86_400_000.0
_STEPS_MS = (
    *(digit * 10.0**power for power in range(3) for digit in (1, 2, 5)),
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
)
_UNITS = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (_SECOND, "s"), (1.0, "ms"))
_LANES: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("starting", ("starting",)),
    ("model calls", ("model",)),
    ("thinking", ("thinking",)),
    ("text", ("words",)),
    ("tools", ("tool",)),
    ("waiting for answers", ("waiting",)),
)
_KINDS: dict[Kind, str] = {
    "queued": "queue",
    "starting": "start",
    "model": "model call",
    "words": "text",
    "thinking": "thinking",
    "tool": "tool",
    "waiting": "question",
    "working": "",
}
NEAR = 0.05
"""Of the axis: words nearer to its ends than that are not centred on their tick."""
SLIVER_PERCENT = 0.3
"""So wide is the shortest bar, that it can be seen at all."""


@dataclass(frozen=True, slots=True)
class Tick:
    """`anchor`: where its words begin, so that none leaves the axis."""

    percent: str
    words: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Row:
    """`bars`: (left, width), of a call none while it waited for its approval. `words_*`: the part of a model call in
    which words came."""

    span: Span
    kind: str
    begun: str
    took: str
    about: str
    bars: list[tuple[str, str]]
    words_left: str
    words_width: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    """`queued`: how long it was in the queue before the axis begins. `sums`: (what, how long at least one went on)."""

    rows: list[Row]
    left_out: int
    ticks: list[Tick]
    marks: list[tuple[str, Mark]]
    marks_left_out: int
    sums: list[tuple[str, str]]
    queued: str
    total: str
    clocks_differ: bool


def of(timeline: Timeline) -> Waterfall:
    """The axis begins when the run was taken up: else an hour in the queue would hide all that it did."""
    zero = timeline.running_ms or 0.0
    spans = [span for span in timeline.spans if timeline.running_ms is None or span.kind != "queued"]
    shown = _longest(spans)
    scale = _Scale(zero, timeline.end_ms)
    queued = timeline.busy_ms("queued") if timeline.running_ms is not None else 0.0
    return Waterfall(
        rows=[_row(span, scale) for span in shown],
        left_out=len(spans) - len(shown),
        ticks=[_tick(at / scale.length_ms, words) for at, words in ticks(scale.length_ms)],
        marks=[(measures.duration(max(0.0, mark.at_ms - zero)), mark) for mark in timeline.marks[:MARKS_MOST]],
        marks_left_out=max(0, len(timeline.marks) - MARKS_MOST),
        sums=_sums(timeline),
        queued=measures.duration(queued) if queued else "",
        total=measures.duration(scale.length_ms),
        clocks_differ=timeline.clocks_differ,
    )


def ticks(length_ms: float) -> list[tuple[float, str]]:
    """(place in ms, words) at round times from 0 on, at most TICKS_MOST + 1."""
    step = next((step for step in _STEPS_MS if length_ms / step <= TICKS_MOST), None)
    if step is None:
        step = _DAY
        while length_ms / step > TICKS_MOST:
            step *= 2
    unit, name = next((unit, name) for unit, name in _UNITS if step >= unit)
    return [(place * step, f"{place * step / unit:g} {name}") for place in range(int(length_ms / step) + 1)]


class _Scale:
    def __init__(self, zero_ms: float, end_ms: float) -> None:
        self._zero_ms = zero_ms
        self.length_ms = max(1.0, end_ms - zero_ms)

    def since_zero(self, at_ms: float) -> float:
        return max(0.0, at_ms - self._zero_ms)

    def bar(self, start_ms: float, end_ms: float) -> tuple[str, str]:
        """(left, width), within the axis."""
        left = min(max(0.0, 100 * (start_ms - self._zero_ms) / self.length_ms), 100 - SLIVER_PERCENT)
        width = max(SLIVER_PERCENT, 100 * (end_ms - self._zero_ms) / self.length_ms - left)
        return _percent(left), _percent(width)


def _tick(part: float, words: str) -> Tick:
    return Tick(_percent(100 * part), words, "start" if part < NEAR else "end" if part > 1 - NEAR else "middle")


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _longest(spans: list[Span]) -> list[Span]:
    if len(spans) <= ROWS_MOST:
        return spans
    places = sorted(range(len(spans)), key=lambda at: (not spans[at].is_open, -spans[at].duration_ms, at))
    return [spans[at] for at in sorted(places[:ROWS_MOST])]


def _row(span: Span, scale: _Scale) -> Row:
    bars = [scale.bar(start, end) for start, end in span.busy()]
    words_left = words_width = ""
    if span.words_ms is not None:
        words_left, words_width = scale.bar(span.words_ms, span.end_ms)
    begun = measures.duration(scale.since_zero(span.start_ms))
    return Row(span, _KINDS[span.kind], begun, _took(span), _about(span), bars, words_left, words_width)


def _took(span: Span) -> str:
    words = measures.duration(span.duration_ms)
    return f"{words} so far" if span.is_open else words


def _about(span: Span) -> str:
    parts = [span.detail]
    if span.words_ms is not None and span.words_ms > span.start_ms:
        parts.append(f"first words after {measures.duration(span.words_ms - span.start_ms)}")
    if span.is_error:
        parts.append("failed")
    return " · ".join(part for part in parts if part)


def _sums(timeline: Timeline) -> list[tuple[str, str]]:
    sums = [(words, timeline.busy_ms(*kinds)) for words, kinds in _LANES]
    return [(words, measures.duration(took)) for words, took in sums if took]
