"""A summary as a picture: quality against what it costs in tokens and in time; one self-contained SVG, light and dark.

The numbers: `summary.py`. Colours and letters are those of the procedures' pictures, `sop/svg.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Template
from typing import NamedTuple

from company.bench.summary import Group, Summary
from company.progress import clean
from company.sop.layout import columns
from company.sop.svg import DARK, FONT, LIGHT, xml

WIDTH, PANEL_HEIGHT = 960, 330
_LEFT, _RIGHT, _GAP, _TOP = 58, 24, 62, 64
_PANEL = (WIDTH - _LEFT - _RIGHT - _GAP) / 2
_LETTER, _LABEL = 7.0, 15
"""Width of a letter and height of a line of a label, pixels."""
_MARK = 6
_LOG_FROM = 10
"""The axis of costs is logarithmic where the largest is more than so many times the smallest."""
_LIGHT_SERIES = ("#1d4ed8", "#b45309", "#15803d", "#be185d", "#6d28d9", "#0e7490", "#a16207", "#57534e")
_DARK_SERIES = ("#7aa2ff", "#f0a35e", "#5fd38d", "#f58fc0", "#b79cff", "#56cbe0", "#e0c04c", "#b8b2ac")
_CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    "triangle": [(0, -1.15), (1.15, 0.9), (-1.15, 0.9)],
    "wedge": [(0, 1.15), (1.15, -0.9), (-1.15, -0.9)],
}
_SHAPES = ("circle", *_CORNERS)

_RULES = Template(
    " ".join(
        f".company-bench {rule}"
        for rule in (
            f"text {{ font-family: {FONT}; font-size: 12px; fill: $ink }}",
            ".title { font-size: 16px; font-weight: 600 }",
            ".head { font-size: 13px; font-weight: 600 }",
            ".soft { fill: $soft }",
            ".page { fill: $page }",
            ".grid { stroke: $line; stroke-opacity: 0.25 }",
            ".axis { stroke: $line }",
            ".leader { stroke: $soft; stroke-opacity: 0.6 }",
            ".bar { stroke-width: 1.6; stroke-opacity: 0.75 }",
            ".mark { stroke: $page; stroke-width: 1 }",
            ".key { fill: $soft }",
        )
    )
)


class Point(NamedTuple):
    """A group's place in a panel."""

    group: Group
    x: float
    y: float
    low: float
    high: float


class Rect(NamedTuple):
    """Left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Rect) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)


class Label(NamedTuple):
    """A text, where it begins, where its base line is, and what it covers."""

    text: str
    x: float
    y: float
    box: Rect


@dataclass(frozen=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Pixels."""
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values that lie on it, about five."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = (1, 2, 5) if math.log10(self.high / self.low) < 2.2 else (1,)
            values = [digit * 10.0**decade for decade in decades for digit in digits]
        else:
            step = _round_up((self.high - self.low) / 5)
            values = [step * number for number in range(math.floor(self.low / step), math.ceil(self.high / step) + 1)]
        slack = 1e-9 * self.high
        return [value for value in values if self.low - slack <= value <= self.high + slack]


def figures(summary: Summary) -> dict[str, str]:
    """A picture for each data set, split and variation that has a pass rate: name, as a file may have it → SVG."""
    sets: dict[tuple[str, str, str], list[Group]] = {}
    for group in summary.groups:
        if group.passed:
            sets.setdefault((group.dataset, group.split, group.variation), []).append(group)
    names = {key: re.sub(r"[^\w.+-]+", "-", "-".join(filter(None, key))) for key in sets}
    return {names[key]: figure(groups) for key, groups in sets.items()}


def figure(groups: Sequence[Group]) -> str:
    """The picture of groups of one data set, split and variation."""
    first = groups[0]
    sops, models = (list(dict.fromkeys(getattr(group, what) for group in groups)) for what in ("sop", "model"))
    caption = _caption(groups)
    keys = [*models] if len(models) > 1 else []
    height = _TOP + PANEL_HEIGHT + 58 + 18 * len(caption) + (22 if keys else 0)
    title = f"{clean(first.dataset)}: quality and what it costs" + (
        f", {clean(first.variation)}" if first.variation else ""
    )
    colour = {sop: f"c{place % len(_LIGHT_SERIES)}" for place, sop in enumerate(sops)}
    shape = {model: _SHAPES[place % len(_SHAPES)] for place, model in enumerate(models)}
    rates = [bound for group in groups if group.passed for bound in group.passed if bound is not None]
    low, high = math.floor(min(rates) * 10) / 10, math.ceil(max(rates) * 10) / 10
    low, high = (low, high) if high - low >= 0.2 else (max(0.0, high - 0.2), max(0.2, high))
    y = Axis(low, high, _TOP + PANEL_HEIGHT, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="company-bench" role="img" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">',
        f"<title>{xml(f'{title}. {caption[0]}')}</title>",
        f"<style>{_style()}</style>",
        '<rect width="100%" height="100%" class="page"/>',
        f'<text x="{_LEFT}" y="26" class="title">{xml(title)}</text>',
    ]
    for place, (head, costs) in enumerate(
        (
            ("Tokens for each run", [group.tokens for group in groups]),
            ("Seconds for each run", [group.seconds for group in groups]),
        )
    ):
        left = _LEFT + place * (_PANEL + _GAP)
        x = _cost_axis(costs, left, left + _PANEL)
        parts += _frame(head + (", logarithmic" if x.log else ""), x, y, named=not place)
        points = [
            Point(group, x.place(max(cost, x.low)), y.place(group.passed.value), *_bounds(group, y))
            for group, cost in zip(groups, costs, strict=True)
            if group.passed
        ]
        parts += _series(points, colour, shape, Rect(left, _TOP, left + _PANEL, _TOP + PANEL_HEIGHT))
    parts += _keys(keys, shape, _TOP + PANEL_HEIGHT + 66)
    base = height - 18 * len(caption) + 6
    parts += [
        f'<text x="{_LEFT}" y="{base + 18 * number}" class="soft">{xml(line)}</text>'
        for number, line in enumerate(caption)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _caption(groups: Sequence[Group]) -> list[str]:
    first = groups[0]
    tasks, seeds = ({getattr(group, what) for group in groups} for what in ("tasks", "seeds"))
    models = {group.model for group in groups}
    one = f", model {clean(first.model)}" if len(models) == 1 else ""
    return [
        f"Data set {clean(first.dataset)}, split {clean(first.split)}, {_counted(tasks, 'task')}, {_counted(seeds, 'seed')}{one}.",
        "Up and to the left is better. Bars: 95 % intervals of pass@1, by resampling tasks.",
    ]


def _counted(numbers: set[int], what: str) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low if low == high else f'{low} to {high}'} {what}{'' if low == high == 1 else 's'}"


def _bounds(group: Group, y: Axis) -> tuple[float, float]:
    assert group.passed
    value, low, high = group.passed
    return y.place(value if low is None else low), y.place(value if high is None else high)


def _cost_axis(costs: Sequence[float], start: float, end: float) -> Axis:
    positive = [cost for cost in costs if cost > 0]
    if positive and max(positive) > _LOG_FROM * min(positive):
        return Axis(min(positive) / 1.6, max(positive) * 1.6, start, end, log=True)
    most = max(positive, default=1.0)
    step = _round_up(most / 5)
    return Axis(0.0, step * math.ceil(most * 1.08 / step), start, end)


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= value * (1 - 1e-9))


# --- drawing -----------------------------------------------------------------------------------------------


def _style() -> str:
    def rules(colours: dict[str, str], series: Sequence[str]) -> str:
        marks = (
            f".company-bench .c{place} {{ fill: {colour} }} .company-bench .bar.c{place} {{ stroke: {colour} }}"
            for place, colour in enumerate(series)
        )
        return " ".join((_RULES.substitute(colours), *marks))

    return f"{rules(LIGHT, _LIGHT_SERIES)} @media (prefers-color-scheme: dark) {{ {rules(DARK, _DARK_SERIES)} }}"


def _frame(head: str, x: Axis, y: Axis, *, named: bool) -> Iterator[str]:
    for value in y.ticks():
        at = y.place(value)
        yield f'<line x1="{x.start:g}" y1="{at:.1f}" x2="{x.end:g}" y2="{at:.1f}" class="grid"/>'
        yield f'<text x="{x.start - 8:g}" y="{at + 4:.1f}" text-anchor="end" class="soft">{round(100 * value)} %</text>'
    for value in x.ticks():
        at = x.place(value)
        yield f'<line x1="{at:.1f}" y1="{y.start:g}" x2="{at:.1f}" y2="{y.start + 5:g}" class="axis"/>'
        yield f'<text x="{at:.1f}" y="{y.start + 20:g}" text-anchor="middle" class="soft">{_short(value)}</text>'
    yield f'<line x1="{x.start:g}" y1="{y.start:g}" x2="{x.end:g}" y2="{y.start:g}" class="axis"/>'
    yield f'<text x="{(x.start + x.end) / 2:g}" y="{y.start + 42:g}" text-anchor="middle" class="head">{xml(head)}</text>'
    if named:
        yield f'<text x="{x.start - 44:g}" y="{y.end - 14:g}" class="head">pass@1</text>'


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _series(points: Sequence[Point], colour: dict[str, str], shape: dict[str, str], panel: Rect) -> Iterator[str]:
    for point in points:
        where = f'x1="{point.x:.1f}" y1="{point.low:.1f}" x2="{point.x:.1f}" y2="{point.high:.1f}"'
        yield f'<line {where} class="bar {colour[point.group.sop]}"/>'
        for end in (point.low, point.high):
            where = f'x1="{point.x - 4:.1f}" y1="{end:.1f}" x2="{point.x + 4:.1f}" y2="{end:.1f}"'
            yield f'<line {where} class="bar {colour[point.group.sop]}"/>'
    labels = placed(points, panel)
    for point, label in zip(points, labels, strict=True):
        near_x = min(max(point.x, label.box.left), label.box.right)
        near_y = min(max(point.y, label.box.top), label.box.bottom)
        if math.hypot(near_x - point.x, near_y - point.y) > 14:
            yield f'<line x1="{point.x:.1f}" y1="{point.y:.1f}" x2="{near_x:.1f}" y2="{near_y:.1f}" class="leader"/>'
    for point in points:
        yield _mark(shape[point.group.model], point.x, point.y, f"mark {colour[point.group.sop]}")
    for point, label in zip(points, labels, strict=True):
        style = colour[point.group.sop]
        yield f'<text x="{label.x:.1f}" y="{label.y:.1f}" class="{style}">{xml(label.text)}</text>'


def placed(points: Sequence[Point], panel: Rect) -> list[Label]:
    """Where each label stands: the nearest place beside its mark that covers least of what is there already."""
    taken = [_around(point, _MARK + 1) for point in points]
    bars = [Rect(p.x - 4, min(p.low, p.high), p.x + 4, max(p.low, p.high)) for p in points]
    labels: list[Label | None] = [None] * len(points)
    for number in sorted(range(len(points)), key=lambda place: (points[place].y, points[place].x)):
        point = points[number]
        text = clean(point.group.sop, 32)
        width = columns(text) * _LETTER
        best: tuple[float, Label] | None = None
        for far, (x, y) in enumerate(_places(point, width)):
            x = min(max(x, panel.left + 2), panel.right - width - 2)
            y = min(max(y, panel.top + _LABEL), panel.bottom - 4)
            box = Rect(x, y - _LABEL + 3, x + width, y + 4)
            cost = far * 4 + sum(box.overlap(other) for other in taken) * 4 + sum(box.overlap(other) for other in bars)
            cost += 12 * sum(box.overlap(_around(other, 16)) > 0 for other in points if other is not point)
            if best is None or cost < best[0]:
                best = cost, Label(text, x, y, box)
        assert best
        labels[number] = best[1]
        taken.append(best[1].box)
    return [label for label in labels if label]


def _around(point: Point, away: float) -> Rect:
    return Rect(point.x - away, point.y - away, point.x + away, point.y + away)


def _places(point: Point, width: float) -> Iterator[tuple[float, float]]:
    """Beside the mark, then above and below, then farther and farther away."""
    for away in (0, 18, 36, 54, 72, 90, 108, 126):
        for down in (4 - away, 4 + away) if away else (4,):
            yield point.x + _MARK + 6, point.y + down
            yield point.x - _MARK - 6 - width, point.y + down
        yield point.x - width / 2, point.y - 14 - away
        yield point.x - width / 2, point.y + 22 + away


def _mark(shape: str, x: float, y: float, style: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_MARK}" class="{style}"/>'
    where = " ".join(f"{x + _MARK * across:.1f},{y + _MARK * down:.1f}" for across, down in _CORNERS[shape])
    return f'<polygon points="{where}" class="{style}"/>'


def _keys(models: Sequence[str], shape: dict[str, str], y: float) -> Iterator[str]:
    """Which shape is which model."""
    x = _LEFT + 6.0
    for model in models:
        text = clean(model, 48)
        yield _mark(shape[model], x, y - 4, "key")
        yield f'<text x="{x + 14:g}" y="{y:g}">{xml(text)}</text>'
        x += 14 + columns(text) * _LETTER + 24
