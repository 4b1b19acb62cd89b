"""The picture of a procedure: nothing overlaps, all is inside what holds it, lines cross no box, and the SVG is harmless."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from support import library
from synthetic import blocks, expr, procedure, review_board, step

from company.cli_sop import _tree
from company.sop.diagram import END, START, edges, mermaid
from company.sop.layout import LINE, Box, Layout, columns, layout
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.procedure import Procedure
from company.sop.svg import svg

SHIPPED = [load_procedure(name, Library(None)) for name in Library(None).sops()]
OTHERS = [load_procedure(name, library()) for name in library().sops()]
WIDE = procedure(
    step("lead"),
    *[step(f"expert_{n}", "lead") for n in range(8)],
    step("sum", *[f"expert_{n}" for n in range(8)]),
    step("last", "lead", "sum"),
)
EVERY = [*SHIPPED, *OTHERS, review_board(), WIDE]


def overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h


def holds(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.w <= outer.x + outer.w
        and inner.y + inner.h <= outer.y + outer.h
    )


def owners(made: Procedure) -> dict[str, list[str]]:
    """Path of every step to the paths of the steps that it is inside of."""
    found: dict[str, list[str]] = {START: [], END: []}
    for top in made.steps:
        stack = [(top, list[str]())]
        while stack:
            at, around = stack.pop()
            found[at.path] = around
            stack += [(inner, [*around, at.path]) for inner in at.body]
    return found


def check(made: Procedure) -> Layout:
    picture = layout(made)
    around = owners(made)
    assert {box.path for box in picture.boxes} == {START, END} | {s.path for s in made.walk() if not s.body}
    frames = {frame.path: frame for frame in picture.frames}
    assert set(frames) == {s.path for s in made.walk() if s.body}
    everything = {**frames, **{box.path: box for box in picture.boxes}}
    for one, other in combinations(everything.values(), 2):
        if one.path not in around[other.path] and other.path not in around[one.path]:
            assert not overlap(one, other), (one.path, other.path)
    whole = Box("", "", 0, 0, picture.width, picture.height, ())
    for thing in everything.values():
        assert holds(whole, thing)
        for path in around[thing.path]:
            assert holds(frames[path], thing)
            title = frames[path].y + LINE * len(frames[path].lines)
            assert thing.y > title, "no box lies on a frame's title"
        assert thing.h >= LINE * len(thing.lines)
        assert thing.w >= max(columns(line.text) for line in thing.lines) * 6
    wanted = [(edge.source, edge.target, edge.back) for edge in edges(made)]
    assert sorted((line.source, line.target, line.back) for line in picture.lines) == sorted(wanted)
    for line in picture.lines:
        source, target = everything[line.source], everything[line.target]
        block = around[line.source]
        assert block == around[line.target], "a line stays in its block"
        assert line.points[0] == pytest.approx((source.x + source.w / 2, source.y + source.h))
        assert line.points[-1] == pytest.approx((target.x + target.w / 2, target.y))
        holder = frames[block[-1]] if block else whole
        for x, y in line.points:
            assert holder.x <= x <= holder.x + holder.w
            assert holder.y <= y <= holder.y + holder.h
        for (x, y), (to_x, to_y) in pairwise(line.points):
            # What an S or a straight piece touches lies in the rectangle of its ends; it may touch its own two boxes.
            piece = Box("", "", min(x, to_x), min(y, to_y), abs(to_x - x), abs(to_y - y), ())
            for thing in everything.values():
                if thing.path not in block:
                    assert not overlap(thing, piece), (line.source, line.target, thing.path)
        if line.back:
            beside = [thing for path, thing in everything.items() if around[path][: len(block)] == block and block]
            assert max(x for x, _ in line.points) > max(thing.x + thing.w for thing in beside), "along the side"
        else:
            assert all(y <= to_y for (_, y), (_, to_y) in pairwise(line.points)), "forward is down"
    return picture


@pytest.mark.parametrize("made", EVERY, ids=lambda made: f"{made.name}-{len(made.steps)}")
def test_a_picture_is_sound(made: Procedure) -> None:
    assert check(made) == layout(made), "the same procedure gives the same picture"


@settings(max_examples=150, deadline=None)
@given(blocks())
def test_any_picture_is_sound(steps: tuple) -> None:  # type: ignore[type-arg]
    made = procedure(*steps)
    check(made)
    ElementTree.fromstring(svg(made))
    assert "\n  START" in mermaid(made)


@pytest.mark.parametrize("made", EVERY, ids=lambda made: f"{made.name}-{len(made.steps)}")
def test_the_drawing_stands_alone(made: Procedure) -> None:
    text = svg(made)
    root = ElementTree.fromstring(text)
    assert {tag.rpartition("}")[2] for tag in (element.tag for element in root.iter())} <= {
        "svg", "title", "style", "defs", "marker", "path", "rect", "text", "polygon",
    }  # fmt: skip
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "@import" not in text
    assert re.findall(r"url\(([^)]*)\)", text).count("#company-sop-tip") + text.count("tip-back)") == len(edges(made))
    assert "prefers-color-scheme: dark" in text
    shown = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    for each in made.walk():
        if each.name != "do":
            assert each.name.partition("@")[0] in shown


def test_what_a_stranger_wrote_is_text() -> None:
    evil = "</text><script>alert(1)</script> & \x00\x1b[2J \ud800 ]]>"
    made = procedure(step("run", kind="run", command=evil), name=evil, description=evil, accept=expr(evil))
    root = ElementTree.fromstring(svg(made))
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert "<script>" not in mermaid(made)


def test_the_waterfall_as_a_person_sees_it() -> None:
    made = next(made for made in SHIPPED if made.name == "waterfall")
    picture = layout(made)
    text = {box.path: [line.text for line in box.lines] for box in (*picture.boxes, *picture.frames)}
    assert text["code"] == ["code", "each file of design.files"]
    assert text["code.do"] == ["Engineer"]
    assert text["verify"] == ["verify", "again until test.passed, 4 rounds at most"]
    assert text["verify.fix"] == ["fix", "Engineer", "when prev.test != None"]
    (back,) = [line for line in picture.lines if line.back]
    assert (back.source, back.target) == ("verify.test", "verify.fix")


def test_as_text() -> None:
    lines = [*_tree(review_board().steps)]
    assert lines[1] == "design … approve: again where approve sends it back, 3 rounds at most"
    assert lines[2] == "  design: Engineer → str"
    assert "  approve: a person decides; approve: next; revise: design; reject: fail" in lines
    assert "    fix: Engineer → str" in lines


def test_loops_without_a_name_and_gates_in_words() -> None:
    picture = layout(review_board())
    text = {box.path: [line.text for line in box.lines] for box in (*picture.boxes, *picture.frames)}
    assert text["approve@again"] == ["design … approve", "again where approve sends it back, 3 rounds at most"]
    assert text["answer@tries"] == ["answer", "again until it is accepted, 3 tries at most"]
    assert text["approve"] == ["approve", "a person decides", "approve → next", "revise → design", "reject → fail"]
    found = [(edge.source, edge.target) for edge in edges(review_board())]
    assert ("approve@again", "build") in found, "whoever waits for a step in such a loop waits for the loop"
    chart = mermaid(review_board())
    assert 's_approve{"approve<br/>a person decides' in chart
    assert "subgraph s_approve__again" in chart
