"""The charts: each takes a part of analysis.json and gives the text of an SVG file."""

from __future__ import annotations

from typing import Any

from .svg import COLD, COLOURS, WARM, Axes, Canvas, short_number

Json = dict[str, Any]


def histogram(name: str, bins: Json, subtitle: str, marks: dict[str, float], thing: str = "rows") -> str:
    """Bars over numbers, with marked values such as the mean."""
    canvas = Canvas(f"Distribution of {name}", subtitle)
    edges, counts = bins["edges"], bins["counts"]
    axes = Axes(canvas, (edges[0], edges[-1]), (0, max(counts) * 1.12))
    axes.draw_y(thing)
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        left, right, top = axes.x(low), axes.x(high), axes.y(count)
        hint = f"{short_number(low)} to {short_number(high)}: {count:,}"
        canvas.bar(left + 0.8, top, right - left - 1.6, axes.bottom - top, COLOURS[0], hint, 0.85)
    axes.draw_x(name)
    draw_marks(axes, marks)
    return canvas.render()


def draw_marks(axes: Axes, marks: dict[str, float]) -> None:
    """Vertical lines. The lower is labelled to its left and the higher to its right, unless the edge is too near."""
    ranked = sorted(marks.items(), key=lambda item: item[1])
    for place, (label, value) in enumerate(ranked):
        words, x = f"{label} {short_number(value)}", axes.x(value)
        to_right = x - 8 * len(words) < axes.left if place == 0 else x + 8 * len(words) < axes.right
        crowded = place == 0 and to_right and len(ranked) > 1
        axes.canvas.line(x, axes.top, x, axes.bottom, COLOURS[1], 1.6, "5 4")
        side, anchor = (6, "start") if to_right else (-6, "end")
        start = axes.x(ranked[-1][1]) if crowded else x
        axes.canvas.text(start + side, axes.top + (26 if crowded else 10), words, anchor=anchor, colour=COLOURS[1])


def timeline(name: str, bins: Json, subtitle: str) -> str:
    """Rows over time, in equal spans."""
    canvas = Canvas(f"Rows over {name}", subtitle)
    counts = bins["counts"]
    axes = Axes(canvas, (0, len(counts)), (0, max(counts) * 1.1))
    axes.draw_y("rows")
    for place, count in enumerate(counts):
        left, right, top = axes.x(place), axes.x(place + 1), axes.y(count)
        canvas.bar(
            left + 1,
            top,
            right - left - 2,
            axes.bottom - top,
            COLOURS[5],
            f"from {bins['edges'][place]}: {count:,}",
            0.85,
        )
    draw_dates(axes, bins["edges"][:-1])
    axes.name_x(name)
    return canvas.render()


def draw_dates(axes: Axes, dates: list[str]) -> None:
    every = max(1, -(-len(dates) // 6))
    for place in range(0, len(dates), every):
        axes.canvas.text(axes.x(place), axes.bottom + 20, dates[place][:10], anchor="start" if place == 0 else "middle")


def trend(about: Json) -> str:
    """A mean over time, as a line."""
    dates, values = [point[0] for point in about["points"]], [point[1] for point in about["points"]]
    canvas = Canvas(f"{about['column']} over time", f"mean in {len(values)} equal spans of {about['date']}")
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    low, high = min(value for _, value in known), max(value for _, value in known)
    room = (high - low) * 0.1 or 1.0
    axes = Axes(canvas, (0, len(values) - 1), (low - room, high + room))
    axes.draw_y(f"mean of {about['column']}")
    canvas.path([(axes.x(place), axes.y(value)) for place, value in known], COLOURS[0])
    draw_dates(axes, dates)
    axes.name_x(about["date"])
    return canvas.render()


def bars(title: str, subtitle: str, values: list[tuple[str, int]], total: int) -> str:
    """Counts of named things, the longest bar on top."""
    canvas = Canvas(title, subtitle, height=86 + 30 * len(values))
    longest = max(count for _, count in values)
    left = min(230, max(70, 24 + round(6.6 * min(32, max(len(name) for name, _ in values)))))
    for place, (name, count) in enumerate(values):
        y = 70 + 30 * place
        width = (canvas.width - left - 130) * count / longest
        canvas.text(left - 10, y + 15, name, anchor="end", longest=30)
        canvas.bar(left, y, width, 21, COLOURS[place % 7 if len(values) <= 7 else 0], f"{name}: {count:,}", 0.85)
        part = f"  ({100 * count / total:.1f} %)" if total else ""
        canvas.text(left + width + 8, y + 15, f"{count:,}{part}")
    return canvas.render()


def heat_map(names: list[str], pairs: dict[tuple[str, str], float | None]) -> str:
    """Correlations: the colour says the sign, its strength the size."""
    cell = max(34, min(76, 520 // len(names)))
    left, top = 190, 78
    canvas = Canvas(
        "Correlations", "Pearson's r; blue: one falls as the other rises", height=top + cell * len(names) + 110
    )
    for row, first in enumerate(names):
        canvas.text(left - 10, top + cell * (row + 0.5) + 4, first, anchor="end", longest=26)
        for column, second in enumerate(names):
            r = 1.0 if row == column else pairs.get((first, second), pairs.get((second, first)))
            draw_cell(canvas, left + cell * column, top + cell * row, cell, r, f"{first} and {second}: {r}")
    for column, name in enumerate(names):
        x = left + cell * (column + 0.5)
        canvas.text(x, top + cell * len(names) + 16, name, anchor="end", turn=-32, longest=22)
    canvas.width = max(480, left + cell * len(names) + 30)
    return canvas.render()


def draw_cell(canvas: Canvas, x: float, y: float, size: int, r: float | None, hint: str) -> None:
    """Opaque, from light grey to the full colour, so the number in it is readable on any page."""
    colour = blend("#e4e7eb", WARM if (r or 0) > 0 else COLD, abs(r or 0))
    canvas.bar(x + 1, y + 1, size - 2, size - 2, colour, hint)
    ink, words = "#ffffff" if abs(r or 0) > 0.65 else "#24292f", "-" if r is None else f"{r:.2f}"
    canvas.text(x + size / 2, y + size / 2 + 4, words, anchor="middle", colour=ink, size=size / 6 + 4)


def blend(light: str, full: str, part: float) -> str:
    pairs = ((int(light[at : at + 2], 16), int(full[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(low + (high - low) * part):02x}" for low, high in pairs)


def scatter(about: Json, groups: list[str]) -> str:
    """Two columns against each other, coloured by group."""
    points = about["points"]
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    shown = f"{len(points):,} of {about['n']:,} rows shown" if len(points) < about["n"] else f"{about['n']:,} rows"
    canvas = Canvas(f"{about['y']} against {about['x']}", f"r = {about['r']:.3f}, {shown}", height=440)
    axes = Axes(canvas, padded(xs), padded(ys))
    axes.draw_y(about["y"])
    axes.draw_x(about["x"])
    named = groups[:7]
    for x, y, group in points:
        canvas.dot(axes.x(x), axes.y(y), COLOURS[named.index(group)] if group in named else COLOURS[7 if named else 0])
    draw_legend(axes, named)
    return canvas.render()


def draw_legend(axes: Axes, names: list[str]) -> None:
    x = float(axes.right)
    for name, colour in reversed(list(zip(names, COLOURS, strict=False))):
        x -= 26 + 6.8 * min(16, len(name))
        axes.canvas.dot(x, 62, colour)
        axes.canvas.text(x + 8, 66, name, longest=16)


def padded(values: list[float]) -> tuple[float, float]:
    room = (max(values) - min(values)) * 0.05
    return min(values) - room, max(values) + room


def boxes(name: str, by: str, stats: list[Json], share: float | None) -> str:
    """Quartiles of a column within each group, with whiskers."""
    used = [part for part in stats if part["count"]][:8]
    said = f"{by} explains {100 * (share or 0):.0f} % of the variance"
    canvas = Canvas(f"{name} by {by}", f"{said}; box: middle half, line: median, whiskers: at most 1.5 boxes long")
    axes = Axes(canvas, (0, len(used)), padded([end for part in used for end in whiskers(part)]))
    axes.draw_y(name)
    for place, part in enumerate(used):
        draw_box(axes, place + 0.5, part, COLOURS[place % 7])
    axes.name_x(by)
    return canvas.render()


def whiskers(part: Json) -> tuple[float, float]:
    reach = 1.5 * (part["q3"] - part["q1"])
    return max(part["min"], part["q1"] - reach), min(part["max"], part["q3"] + reach)


def draw_box(axes: Axes, place: float, part: Json, colour: str) -> None:
    canvas, x, half = axes.canvas, axes.x(place), min(46.0, (axes.right - axes.left) / 20)
    low, high = map(axes.y, whiskers(part))
    bottom, top = axes.y(part["q1"]), axes.y(part["q3"])
    for start, end in ((bottom, low), (top, high)):
        canvas.line(x, start, x, end, colour, 1.6)
        canvas.line(x - half / 3, end, x + half / 3, end, colour, 1.6)
    hint = f"{part['value']}: n {part['count']:,}, median {short_number(part['median'])}"
    canvas.bar(x - half, top, 2 * half, bottom - top, colour, hint, 0.55)
    canvas.line(x - half, axes.y(part["median"]), x + half, axes.y(part["median"]), colour, 3)
    canvas.text(x, axes.bottom + 20, f"{part['value'][:18]} ({part['count']:,})", anchor="middle")
