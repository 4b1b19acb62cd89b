"""A laid out procedure → an SVG: a document of its own (no scripts, nothing from elsewhere, light and dark), or a piece of a page.

Where everything is: `layout.py`. Colours and letters are shared with the benchmarks' picture, `bench/figures.py`. The rules of a
piece: `studio/static/picture.css`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from html import escape
from itertools import pairwise
from string import Template

from company.sop.layout import LINE, PAD, SIZES, Box, Layout, Line, Text, layout
from company.sop.procedure import Procedure

LIGHT = {
    "page": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "line": "#6e7781", "edge": "#8c959f", "frame": "#f3f5f7",
    "role": "#dbeafe", "run": "#dcfce7", "gate": "#fef3c7", "start": "#e5e7eb", "back": "#b45309",
    "done": "#116329", "bad": "#a40e26", "busy": "#0757b5",
}  # fmt: skip
DARK = {
    "page": "#0d1117", "ink": "#e6edf3", "soft": "#9aa4b0", "line": "#8b949e", "edge": "#6e7681", "frame": "#161b22",
    "role": "#1e3a5f", "run": "#14432a", "gate": "#4a3a0f", "start": "#30363d", "back": "#f0a35e",
    "done": "#6fdd8b", "bad": "#ff9a94", "busy": "#79b8ff",
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_RULES = Template(
    " ".join(
        f".company-sop {rule}"
        for rule in (
            f"text {{ font-family: {FONT}; fill: $ink }}",
            f".name {{ font-size: {SIZES['name'] - 1}px; font-weight: 600 }}",
            f".who {{ font-size: {SIZES['who'] - 1}px }}",
            f".note {{ font-size: {SIZES['note'] - 1}px; fill: $soft }}",
            ".page { fill: $page }",
            ".frame { fill: $frame; stroke: $line }",
            ".box { stroke: $line; stroke-width: 1.2 }",
            ".end { fill: $start }",
            ".role { fill: $role }",
            ".run { fill: $run }",
            ".gate { fill: $gate }",
            ".line { fill: none; stroke: $edge; stroke-width: 1.4 }",
            ".back { stroke: $back; stroke-width: 1.8; stroke-dasharray: 2 4; stroke-linecap: round }",
            ".tip { fill: $edge }",
            ".tip-back { fill: $back }",
            ".state { stroke: $page; stroke-width: 1.5 }",
            ".sign { font-size: 12px; font-weight: 700; fill: $page }",
            ".is-done { fill: $done }",
            ".is-failed, .is-stopped { fill: $bad }",
            ".is-running { fill: $busy }",
            ".is-skipped, .is-waiting { fill: $edge }",
        )
    )
)
_SUNK = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold."""
SIGNS = {"done": "✓", "failed": "✗", "running": "▶", "stopped": "■", "skipped": "–", "waiting": "·"}
"""How a step's state is marked in a picture of a run."""


def svg(procedure: Procedure, states: Mapping[str, str] | None = None, *, styled: bool = True) -> str:
    """The picture of a procedure, a whole document; not `styled`, it is for a page that has the rules.

    Args:
        states: of a run, how each step stands, by path: one of `SIGNS`.
    """
    picture = layout(procedure)
    about = f"{procedure.name}: {procedure.description}" if procedure.description else procedure.name
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="company-sop" role="img" width="{picture.width:g}" '
        f'height="{picture.height:g}" viewBox="0 0 {picture.width:g} {picture.height:g}">',
        f"<title>{xml(about)}</title>",
        *([f"<style>{_style()}</style>"] if styled else []),
        f"<defs>{_marker('tip')}{_marker('tip-back')}</defs>",
        '<rect width="100%" height="100%" class="page"/>',
        *_body(picture),
        *_signs(picture, states or {}),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def piece(procedure: Procedure, href: Callable[[str], str], state: Callable[[str], str] = lambda path: "") -> str:
    """The picture for a page, whose sheet has the rules: every step is a link, with its path in `data-step`.

    Args:
        href: where the link of a step, by its path, leads.
        state: how a step stands; it is a class of the step's box or frame, and part of the link's name.
    """
    picture = layout(procedure)
    size = f'width="{picture.width:g}" height="{picture.height:g}" viewBox="0 0 {picture.width:g} {picture.height:g}"'
    known = {step.path for step in procedure.walk() if not step.transparent}
    parts = [
        f'<svg class="company-sop" role="group" aria-label="{xml(procedure.name)}" {size}>',
        f"<defs>{_marker('tip')}{_marker('tip-back')}</defs>",
    ]

    def linked(box: Box, drawn: list[str], mark: str) -> list[str]:
        if box.path not in known:
            return drawn
        how, path = xml(state(box.path)), xml(box.path)
        name = xml(f"{box.path}: {' '.join(line.text for line in box.lines)}")
        about = f'data-step="{path}" data-name="{name}" aria-label="{name}{how and f", {how}"}" class="step {how}"'
        return [f'<a href="{xml(href(box.path))}" {about}>', *drawn, mark, "</a>"]

    for frame in picture.frames:
        mark = f'<text x="{frame.x + frame.w - PAD:g}" y="{frame.y + PAD + LINE - 5:g}" text-anchor="end" class="mark" aria-hidden="true"></text>'
        parts += linked(frame, _frame(frame), mark)
    parts += [_path(line) for line in picture.lines]
    for box in picture.boxes:
        inset = 2 * PAD if box.kind == "gate" else 6
        mark = f'<text x="{box.x + box.w - inset:g}" y="{box.y + LINE - 4:g}" text-anchor="end" class="mark" aria-hidden="true"></text>'
        parts += linked(box, _box(box), mark)
    return "\n".join([*parts, "</svg>"])


def drawing(picture: Layout, width: float, height: float, name: str) -> str:
    """Any picture for a page, whose sheet has the rules for `.diagram`."""
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    parts = [
        f'<svg class="diagram" role="img" aria-label="{xml(name)}" {size}>',
        f"<defs>{_marker('tip')}{_marker('tip-back')}</defs>",
    ]
    return "".join([*parts, *_body(picture), "</svg>"])


def _style() -> str:
    dark = _RULES.substitute(DARK)
    return f"{_RULES.substitute(LIGHT)} @media (prefers-color-scheme: dark) {{ {dark} }}"


def _body(picture: Layout) -> list[str]:
    parts = []
    for frame in picture.frames:
        parts += _frame(frame)
    parts += [_path(line) for line in picture.lines]
    for box in picture.boxes:
        parts += _box(box)
    return parts


def _frame(frame: Box) -> list[str]:
    lines = _lines(frame.lines, frame.x + PAD, frame.y + PAD + LINE - 5, "start")
    return [f'<rect {_place(frame)} rx="10" class="frame"/>', *lines]


def _box(box: Box) -> list[str]:
    middle = box.y + (box.h - len(box.lines) * LINE) / 2 + LINE - 5
    return [*_shape(box), *_lines(box.lines, box.x + box.w / 2, middle, "middle")]


def _signs(picture: Layout, states: Mapping[str, str]) -> Iterator[str]:
    """A coloured spot with a sign at the corner of each step and frame whose state is known."""
    for box in (*picture.frames, *picture.boxes):
        if (state := states.get(box.path)) in SIGNS:
            x, y = box.x + box.w - 4, box.y + 4
            yield f'<g><title>{xml(box.path)}: {state}</title><circle cx="{x:g}" cy="{y:g}" r="9" class="state is-{state}"/>'
            yield f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle" class="sign">{SIGNS[state]}</text></g>'


def _shape(box: Box) -> list[str]:
    kind = "end" if box.kind in ("start", "end") else box.kind
    style = f'class="box {kind}"'
    if kind == "gate":
        left, right, middle = box.x, box.x + box.w, box.y + box.h / 2
        corners = [(left + PAD, box.y), (right - PAD, box.y), (right, middle)]
        corners += [(right - PAD, box.y + box.h), (left + PAD, box.y + box.h), (left, middle)]
        return [f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in corners)}" {style}/>']
    round_by = box.h / 2 if kind == "end" else 2 if kind == "run" else 8
    shapes = [f'<rect {_place(box)} rx="{round_by:g}" {style}/>']
    if box.each:  # one behind the other
        behind = f'x="{box.x + 4:g}" y="{box.y + 4:g}" width="{box.w:g}" height="{box.h:g}"'
        shapes.insert(0, f'<rect {behind} rx="{round_by:g}" {style}/>')
    return shapes


def _place(box: Box) -> str:
    return f'x="{box.x:g}" y="{box.y:g}" width="{box.w:g}" height="{box.h:g}"'


def _lines(lines: tuple[Text, ...], x: float, y: float, anchor: str) -> list[str]:
    return [
        f'<text x="{x:g}" y="{y + number * LINE:g}" text-anchor="{anchor}" class="{line.style}">{xml(line.text)}</text>'
        for number, line in enumerate(lines)
    ]


def _path(line: Line) -> str:
    """Forward: straight down, and an S between layers. Back: straight, with round corners."""
    (x, y), *_ = line.points
    steps = [f"M{x:g} {y:g}"]
    if line.back:
        steps += [f"L{px:g} {py:g}" for px, py in line.points[1:]]
    else:
        for (x, y), (to_x, to_y) in pairwise(line.points):
            half = (y + to_y) / 2
            straight = x == to_x
            steps.append(f"L{to_x:g} {to_y:g}" if straight else f"C{x:g} {half:g} {to_x:g} {half:g} {to_x:g} {to_y:g}")
    style, tip = ("line back", "tip-back") if line.back else ("line", "tip")
    return f'<path d="{" ".join(steps)}" class="{style}" marker-end="url(#company-sop-{tip})"/>'


def _marker(tip: str) -> str:
    sizes = 'viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"'
    path = f'<path d="M0 0.5 L8 4 L0 7.5 z" class="{tip}"/>'
    return f'<marker id="company-sop-{tip}" {sizes} orient="auto">{path}</marker>'


def xml(text: str) -> str:
    """Any text as it may stand in a document, what XML cannot hold replaced."""
    return escape(_SUNK.sub("\ufffd", text))
