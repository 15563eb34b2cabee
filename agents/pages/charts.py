"""Where the parts of a chart stand; the template draws them as SVG. Bars begin at zero, axes have ticks with units, a
scale that is not linear says so, and what is not known is a gap.

Presentation attributes only, colours by class: the content security policy allows no style attribute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from agents.pages import measures
from agents.pages.figures import Day
from agents.pages.percentiles import Percentiles

WIDTH, HEIGHT = 340, 176
LEFT, RIGHT, TOP, BOTTOM = 46, 4, 8, 22
"""A chart is about as wide as a phone, so that its letters are as large there as anywhere."""
PARTS = ("completed", "failed", "cancelled", "open")
TICKS_ABOUT = 4
STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000,
            600_000, 1_200_000, 1_800_000)  # fmt: skip
"""Steps of time that read well; from an hour on they are 1, 2 or 5 times a power of ten hours."""
HOUR_MS = 3_600_000
LOG_RATIO = 30
"""From the shortest to the longest: beyond that a linear scale would press most of them onto its floor."""
LOG_TICKS_MS = (10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 360_000_000)


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    part: str
    says: str


@dataclass(frozen=True, slots=True)
class Line:
    """`pieces`: the points of each unbroken piece; one that is a single day is only in `dots`."""

    name: str
    pieces: list[str]
    dots: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    ticks: list[Tick]
    days: list[Tick]
    bars: list[Bar]
    lines: list[Line]
    scale: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def runs(days: Sequence[Day]) -> Chart:
    """A bar a day, of what its runs came to."""
    steps = _steps(max((day.total for day in days), default=0), whole=True)
    y = _linear(steps[-1])
    bars: list[Bar] = []
    for at, day in enumerate(days):
        below = 0
        for part in PARTS:
            count = getattr(day, part)
            if count:
                top = y(below + count)
                x, width = _slot(at, len(days))
                says = f"{_day(day.day)}: {count:,} {part}"
                bars.append(Bar(_n(x), _n(top), _n(width), _n(y(below) - top), part, says))
                below += count
    return Chart([Tick(_n(y(step)), f"{step:,.0f}") for step in steps], _dates(days), bars, [], "runs a day, from 0")


def durations(days: Sequence[Day]) -> Chart | None:
    """p50 and p95 of each day; None where no run has ended."""
    known = [value for day in days for value in (day.durations.p50, day.durations.p95) if value is not None]
    if not known:
        return None
    most, least = max(1, *known), max(1, min(known))
    y: Callable[[float], float]
    if most / least > LOG_RATIO:
        low = max([tick for tick in LOG_TICKS_MS if tick <= least], default=1)
        high = min([tick for tick in LOG_TICKS_MS if tick >= most], default=most)
        y, scale = _logarithmic(low, high), "logarithmic scale"
        ticks = [tick for tick in LOG_TICKS_MS if low <= tick <= high]
    else:
        ticks = _time_steps(most)
        y, scale = _linear(ticks[-1]), "from 0"
    lines = [_line("p50", days, lambda of: of.p50, y), _line("p95", days, lambda of: of.p95, y)]
    name = _in_one_unit(ticks[1]) if scale == "from 0" else _short
    labels = [Tick(_n(y(tick)), name(tick)) for tick in ticks]
    return Chart(labels, _dates(days), [], lines, f"how long runs took, {scale}")


def share(value: float, most: float) -> str:
    """Of the longest bar, in percent."""
    return _n(100 * value / most) if most else "0"


def _line(name: str, days: Sequence[Day], of: Callable[[Percentiles], int | None], y: Callable[[float], float]) -> Line:
    pieces: list[list[str]] = [[]]
    dots = []
    for at, day in enumerate(days):
        value = of(day.durations)
        if value is None:
            pieces.append([])
            continue
        x, width = _slot(at, len(days))
        place = (_n(x + width / 2), _n(y(max(1, value))))
        pieces[-1].append(",".join(place))
        dots.append((*place, f"{_day(day.day)}: {name} {measures.duration(value)}"))
    return Line(name, [" ".join(piece) for piece in pieces if len(piece) > 1], dots)


def _steps(most: float, *, whole: bool = False) -> list[float]:
    """From zero to the first one that is not below `most`: 1, 2 or 5 times a power of ten apart."""
    raw = (most or 1) / TICKS_ABOUT
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(1, round(step))
    return [at * step for at in range(max(1, math.ceil(most / step - 1e-9)) + 1)]


def _time_steps(most_ms: int) -> list[int]:
    """From zero to the first one that is not below `most_ms`."""
    raw = most_ms / TICKS_ABOUT
    step = next((step for step in STEPS_MS if step >= raw * 0.999), None)
    if step is None:
        hours = _steps(most_ms / HOUR_MS, whole=True)
        return [round(step * HOUR_MS) for step in hours]
    return [at * step for at in range(max(1, math.ceil(most_ms / step - 1e-9)) + 1)]


def _in_one_unit(step_ms: int) -> Callable[[float], str]:
    """Names all ticks of a scale in the unit in which its step is whole: 0, 20 s, 40 s, 60 s, 80 s. In minutes the last
    one would be 1.33333 min. Only seconds have tenths."""
    units = ((HOUR_MS, HOUR_MS, "h"), (60_000, 60_000, "min"), (1000, 100, "s"))
    unit_ms, unit = next(((unit, name) for unit, part, name in units if step_ms % part == 0), (1, "ms"))
    return lambda ms: f"{ms / unit_ms:,g} {unit}" if ms else "0"


def _linear(top: float) -> Callable[[float], float]:
    room = HEIGHT - TOP - BOTTOM
    return lambda value: TOP + room * (1 - value / top)


def _logarithmic(low: float, high: float) -> Callable[[float], float]:
    room, span = HEIGHT - TOP - BOTTOM, math.log(high / low) or 1.0
    return lambda value: TOP + room * (1 - math.log(value / low) / span)


def _slot(at: int, among: int) -> tuple[float, float]:
    """Where a day stands, and how wide its bar is."""
    room = (WIDTH - LEFT - RIGHT) / among
    return LEFT + at * room + room * 0.1, room * 0.8


def _dates(days: Sequence[Day]) -> list[Tick]:
    """A week apart, the last of them today."""
    marks = [at for at in range(len(days)) if (len(days) - 1 - at) % 7 == 0]
    return [Tick(_n(sum(_slot(at, len(days))) - _slot(at, len(days))[1] / 2), _day(days[at].day)) for at in marks]


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"


def _short(ms: float) -> str:
    """100 ms · 2 s · 1.5 s · 10 min · 1 h"""
    for unit_ms, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if ms >= unit_ms:
            return f"{ms / unit_ms:g} {unit}"
    return f"{ms:g} ms" if ms else "0"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
