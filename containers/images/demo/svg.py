"""A small SVG canvas. No background and mid-tone colours, so a picture is readable on a light and on a dark page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

MARK = "Agentsite demo agent"
INK, FAINT = "#7d8590", "#7d859055"
COLOURS = ("#3b82c4", "#e0823d", "#3fa66b", "#9a6dd7", "#d65a6f", "#2aa5a5", "#b5952f", "#7d8590")
WARM, COLD = "#d9603b", "#3b82c4"
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def safe(text: str, longest: int = 60) -> str:
    """Data in a picture is text and nothing else."""
    shown = " ".join(FORBIDDEN.sub("\ufffd", text).split())
    return escape(shown if len(shown) <= longest else shown[: longest - 1] + "…")


def short_number(value: float) -> str:
    """For axes and labels: 1200000 is 1.2M, 0.00004 is 4e-05."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e15:
            return f"{value / (1e3 if unit == 'k' else size):.4g}{unit}"
    return f"{value:.4g}"


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round numbers within a range."""
    span = high - low
    if not 1e-290 < span < 1e300:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * wanted >= span * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [(first + number) * step for number in range(wanted + 2) if (first + number) * step <= high + step * 1e-9]


class Canvas:
    """Collects shapes; `render` makes them a file."""

    def __init__(self, title: str, subtitle: str = "", width: int = 720, height: int = 400) -> None:
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []
        self.text(20, 30, title, size=17, weight=600)
        self.text(20, 50, subtitle, size=12.5, longest=110)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        anchor: str = "start",
        colour: str = INK,
        weight: int = 400,
        turn: int = 0,
        longest: int = 80,
    ) -> None:
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}{turned}>{safe(words, longest)}</text>')

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, width: float = 1, dash: str = ""
    ) -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {place} stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str, hint: str, opacity: float = 1) -> None:
        place = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}" rx="2"'
        look = f'fill="{colour}" fill-opacity="{opacity:.2f}"'
        self.parts.append(f"<rect {place} {look}><title>{safe(hint, 120)}</title></rect>")

    def dot(self, x: float, y: float, colour: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}" fill-opacity="0.6"/>')

    def path(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2.2"/>')

    def render(self) -> str:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">'
        about = f"<title>{safe(self.title, 200)}</title><desc>Drawn by the {MARK}</desc>"
        return "\n".join([head, about, *self.parts, "</svg>", ""])


class Axes:
    """The plotting area: data to pixels, grid lines and tick labels."""

    def __init__(self, canvas: Canvas, x: tuple[float, float], y: tuple[float, float], left: int = 70) -> None:
        self.canvas, self.x_range, self.y_range = canvas, x, y
        self.left, self.top, self.right, self.bottom = left, 70, canvas.width - 24, canvas.height - 56

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * share(value, self.x_range)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * share(value, self.y_range)

    def draw_y(self, label: str) -> None:
        for value in ticks(*self.y_range):
            self.canvas.line(self.left, self.y(value), self.right, self.y(value))
            self.canvas.text(self.left - 8, self.y(value) + 4, short_number(value), anchor="end")
        self.canvas.text(18, (self.top + self.bottom) / 2, label, anchor="middle", turn=-90, longest=44)

    def draw_x(self, label: str) -> None:
        for value in ticks(*self.x_range, wanted=8):
            self.canvas.line(self.x(value), self.bottom, self.x(value), self.bottom + 5, INK)
            self.canvas.text(self.x(value), self.bottom + 20, short_number(value), anchor="middle")
        self.name_x(label)

    def name_x(self, label: str) -> None:
        self.canvas.line(self.left, self.bottom, self.right, self.bottom, INK)
        self.canvas.text((self.left + self.right) / 2, self.bottom + 42, label, anchor="middle")


def share(value: float, span: tuple[float, float]) -> float:
    low, high = span
    known = 0 < high - low < math.inf  # the difference of two finite numbers may be infinite
    return (value - low) / (high - low) if known else 0.5
