"""Procedure → a picture's geometry: boxes, frames around blocks, and lines between them, in layers from top to bottom.

Pure and deterministic; the same edges as the Mermaid flowchart (`diagram.py`). Drawing it: `svg.py`.
All numbers are pixels from the top left corner, at the text sizes of `SIZES`.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from company.sop.diagram import END, START, Edge, back_edges, block_edges, heading, who
from company.sop.procedure import Procedure, Step

Style = Literal["name", "who", "note"]
SIZES: Mapping[Style, int] = {"name": 14, "who": 13, "note": 12}
"""Height of the letters of each kind of text."""
LINE = 18
"""Height of a line of text."""
PAD = 14
"""Between a box or frame and what is in it."""
GAP_X, GAP_Y = 28, 44
"""Between neighbours in a layer, and between layers."""
LANE = 9
"""Between the lines back of one loop."""
WIDEST = 52
"""Columns of text before it is broken."""
_LETTER = 0.6
"""Width of a letter, as a share of its height; generous, so that no font overflows its box."""
Point = tuple[float, float]


class Text(NamedTuple):
    """A line of text in a box or at the top of a frame."""

    text: str
    style: Style


@dataclass(frozen=True)
class Box:
    """A step, the start or the end; or the frame around a step's body."""

    path: str
    kind: str
    """A `procedure.Kind`, ``start`` or ``end``."""
    x: float
    y: float
    w: float
    h: float
    lines: tuple[Text, ...]
    each: bool = False
    """Whether it is done once for each item of a list."""


@dataclass(frozen=True)
class Line:
    """An edge as a line through `points`, an arrow at its last one."""

    source: str
    target: str
    points: tuple[Point, ...]
    back: bool


@dataclass(frozen=True)
class Layout:
    """A picture of `width` × `height`. Frames come before the frames inside them."""

    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    frames: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()

    def moved(self, x: float, y: float) -> Layout:
        """The same elsewhere; its size stays."""

        def shifted(boxes: Iterable[Box]) -> tuple[Box, ...]:
            return tuple(replace(box, x=box.x + x, y=box.y + y) for box in boxes)

        lines = (replace(line, points=tuple((px + x, py + y) for px, py in line.points)) for line in self.lines)
        return replace(self, boxes=shifted(self.boxes), frames=shifted(self.frames), lines=tuple(lines))


def layout(procedure: Procedure) -> Layout:
    """The picture of a whole procedure, with its start and its end."""
    inputs = [Text(f"{name}: {kind}", "note") for name, kind in procedure.inputs.items()]
    accept = [Text(f"accepted where {procedure.accept.text}", "note")] if procedure.accept else []
    parts = {START: boxed(START, "start", [Text("start", "name"), *inputs])}
    parts |= {step.path: _step(step, False) for step in procedure.steps}
    parts[END] = boxed(END, "end", [Text("end", "name"), *accept])
    paths = set(parts)
    edges = [e for e in block_edges(procedure.steps, START, END) if e.source in paths and e.target in paths]
    whole = arranged(parts, edges)
    return replace(whole.moved(PAD, PAD), width=whole.width + 2 * PAD, height=whole.height + 2 * PAD)


def columns(text: str) -> int:
    """How wide a text is, in narrow letters: east Asian ones take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _step(step: Step, each: bool) -> Layout:
    condition = [Text(f"when {step.when.text}", "note")] if step.when else []
    if not step.body:
        title = [] if step.name == "do" else [Text(step.name, "name")]
        choices = [Text(f"{choice} → {place}", "note") for choice, place in step.choices.items()]
        return boxed(step.path, step.kind, [*title, Text(who(step), "who"), *choices, *condition], each)
    parts = {inner.path: _step(inner, each or step.kind == "for_each") for inner in step.body}
    edges = [e for e in block_edges(step.body) if e.source in parts and e.target in parts and not e.back]
    inside = arranged(parts, [*edges, *(back_edges(step) if step.kind == "loop" else ())])
    name, what = heading(step)
    written, width = _written([Text(name, "name"), Text(what, "note"), *condition])
    width = max(inside.width, width) + 2 * PAD
    top = PAD + len(written) * LINE + PAD
    inside = inside.moved((width - inside.width) / 2, top)
    frame = Box(step.path, step.kind, 0, 0, width, top + inside.height + PAD, written, each)
    return replace(inside, width=width, height=frame.h, frames=(frame, *inside.frames))


def boxed(path: str, kind: str, texts: Sequence[Text], each: bool = False) -> Layout:
    """One box around texts."""
    lines, width = _written(texts)
    side = 2 * PAD if kind == "gate" else PAD  # a hexagon's corners
    width, height = max(width + 2 * side, 90), len(lines) * LINE + 2 * PAD - 4
    return Layout(width, height, (Box(path, kind, 0, 0, width, height, lines, each),))


def _written(texts: Sequence[Text]) -> tuple[tuple[Text, ...], float]:
    """Texts broken into lines, and the width of the widest."""
    lines = []
    for text, style in texts:
        shown = "".join(char if char.isprintable() else " " for char in text)
        broken = textwrap.wrap(shown, WIDEST, max_lines=3, placeholder=" …") or [""]
        lines += [Text(line, style) for line in broken]
    return tuple(lines), max(columns(line.text) * SIZES[line.style] * _LETTER for line in lines)


# --- layers ------------------------------------------------------------------------------------------

_Bend = tuple[int, int]
"""Where an edge passes a layer: number of the edge, number of the layer."""
_Rows = list[list["str | _Bend"]]


def arranged(parts: Mapping[str, Layout], edges: Sequence[Edge]) -> Layout:
    """Parts in layers, each below all that it follows, which come before it; an edge goes around what lies between."""
    layer: dict[str, int] = {}
    ahead = [edge for edge in edges if not edge.back]
    for path in parts:  # in written order nothing follows what is below it
        layer[path] = max((layer[edge.source] + 1 for edge in ahead if edge.target == path), default=0)
    rows: _Rows = [[] for _ in range(max(layer.values()) + 1)]
    for path in parts:
        rows[layer[path]].append(path)
    chains: list[list[str | _Bend]] = []
    for number, edge in enumerate(ahead):
        bends = [(number, row) for row in range(layer[edge.source] + 1, layer[edge.target])]
        for bend in bends:
            rows[bend[1]].append(bend)
        chains.append([edge.source, *bends, edge.target])
    pairs = [pair for chain in chains for pair in pairwise(chain)]
    rows = _ordered(rows, pairs)
    width = {node: parts[node].width if isinstance(node, str) else 0.0 for row in rows for node in row}
    x = _across(rows, pairs, width)
    return _drawn(parts, edges, rows, layer, x, chains)


def _drawn(
    parts: Mapping[str, Layout],
    edges: Sequence[Edge],
    rows: _Rows,
    layer: Mapping[str, int],
    x: Mapping[str | _Bend, float],
    chains: Sequence[Sequence[str | _Bend]],
) -> Layout:
    """Everything in its place: `x` are centres. Slanted lines lie between layers alone, so they cross no box."""
    back = [edge for edge in edges if edge.back]
    side = GAP_X / 2 + (len(back) + 1) * LANE if back else 0.0  # on the left too, so that the boxes stay in the middle
    x = {node: centre + side for node, centre in x.items()}
    top: list[float] = []
    bottom: list[float] = []
    y = side
    for number, row in enumerate(rows):
        leaving = sum(layer[edge.source] == number for edge in back)
        top.append(y)
        bottom.append(y + max((parts[node].height for node in row if isinstance(node, str)), default=0.0))
        y = bottom[-1] + GAP_Y + leaving * LANE
    width = max(x[node] + (parts[node].width / 2 if isinstance(node, str) else 0) for node in x)
    height = bottom[-1] + side
    placed = [part.moved(x[path] - part.width / 2, top[layer[path]]) for path, part in parts.items()]
    end = {path: top[layer[path]] + part.height for path, part in parts.items()}
    lines = []
    for chain in chains:
        source, *bends, target = chain
        assert isinstance(source, str)
        assert isinstance(target, str)
        points = [(x[source], end[source]), (x[source], bottom[layer[source]])]
        for bend in bends:
            points += [(x[bend], top[int(bend[1])]), (x[bend], bottom[int(bend[1])])]
        lines.append(Line(source, target, (*points, (x[target], top[layer[target]])), False))
    for number, (source, target, _, _) in enumerate(back, 1):
        lane = width + GAP_X / 2 + number * LANE
        low, high = bottom[layer[source]] + number * LANE, top[layer[target]] - LANE - number * LANE
        corners = [(x[source], end[source]), (x[source], low), (lane, low), (lane, high), (x[target], high)]
        lines.append(Line(source, target, (*corners, (x[target], top[layer[target]])), True))
    boxes, frames, inner = [[thing for part in placed for thing in getattr(part, kind)] for kind in _KINDS]
    return Layout(width + side, height, tuple(boxes), tuple(frames), (*inner, *lines))


_KINDS = ("boxes", "frames", "lines")
_Pair = tuple["str | _Bend", "str | _Bend"]


def _ordered(rows: _Rows, pairs: Sequence[_Pair]) -> _Rows:
    """The rows in an order with few crossings: each node near the middle of its neighbours, seen from above and below."""
    best = rows
    for sweep in range(6):
        down = sweep % 2 == 0
        rows = [[*row] for row in rows]
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for number in order:
            place = {node: at for at, node in enumerate(rows[number - 1 if down else number + 1])}
            here = {node: float(at) for at, node in enumerate(rows[number])}
            for node in rows[number]:
                near = [place[a if down else b] for a, b in pairs if (b if down else a) == node]
                here[node] = sum(near) / len(near) if near else here[node]
            rows[number].sort(key=here.__getitem__)
        if _crossings(rows, pairs) < _crossings(best, pairs):
            best = rows
    return best


def _crossings(rows: _Rows, pairs: Sequence[_Pair]) -> int:
    at = {node: (number, place) for number, row in enumerate(rows) for place, node in enumerate(row)}
    ends = [(*at[a], at[b][1]) for a, b in pairs]
    return sum(r == s and (a - c) * (b - d) < 0 for i, (r, a, b) in enumerate(ends) for s, c, d in ends[:i])


def _across(rows: _Rows, pairs: Sequence[_Pair], width: Mapping[str | _Bend, float]) -> dict[str | _Bend, float]:
    """The centre of every node: as near to its neighbours' centres as the order and the widths allow."""
    x: dict[str | _Bend, float] = dict.fromkeys(width, 0.0)
    for sweep in range(12):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            wanted = []
            for node in row:
                near = [x[a if down else b] for a, b in pairs if (b if down else a) == node]
                wanted.append(sum(near) / len(near) if near else x[node])
            x.update(zip(row, _apart(wanted, [width[node] for node in row]), strict=True))
    left = min(x[node] - width[node] / 2 for node in x)
    return {node: round(centre - left, 1) for node, centre in x.items()}


def _apart(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Centres as near as can be to what is wanted (least squares), in order and `GAP_X` apart."""
    offset, offsets = 0.0, []
    for number, width in enumerate(widths):
        offset += (widths[number - 1] + width) / 2 + GAP_X if number else 0.0
        offsets.append(offset)
    groups: list[tuple[float, int]] = []  # neighbours that touch move together: sum of their wishes, and how many
    for want, offset in zip(wanted, offsets, strict=True):
        groups.append((want - offset, 1))
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            (one, many), (other, more) = groups.pop(), groups.pop()
            groups.append((one + other, many + more))
    flat = [total / count for total, count in groups for _ in range(count)]
    return [base + offset for base, offset in zip(flat, offsets, strict=True)]
