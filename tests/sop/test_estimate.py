"""What a run will use, roughly: the same calls as the checker counts, and numbers near those of measured runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from support import library
from synthetic import blocks, expr, procedure, step

from company.sop.checks import calls, turns
from company.sop.diagnostics import Diagnostics, Span
from company.sop.estimate import ITEMS, PART, TEXT, TYPICAL, Estimate, Range, estimate
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.sop.procedure import Input, Procedure
from company.sop.types import BOOL, PATCH, STR, ArtifactType, ListOf

SHIPPED = [load_procedure(name, Library(None)) for name in Library(None).sops()]
OTHERS = [load_procedure(name, library()) for name in library().sops()]


def whole(made: Procedure) -> Estimate:
    return sum(estimate(made).values(), Estimate())


@pytest.mark.parametrize("made", [*SHIPPED, *OTHERS], ids=lambda made: made.name)
def test_the_longest_run_is_the_checkers_worst_case(made: Procedure) -> None:
    found = whole(made)
    assert found.calls.most == made.worst_calls
    assert 0 < found.calls.least <= found.calls.most
    assert found.seconds().least <= found.seconds().most


@settings(max_examples=100, deadline=None)
@given(blocks())
def test_so_it_is_for_any_shape(steps: tuple) -> None:  # type: ignore[type-arg]
    found = whole(procedure(*steps))
    assert found.calls.most == calls(steps, None, Span("x", 1, 1, 1, 2), Diagnostics())
    for part in (found.calls, found.prompt, found.reply):
        assert 0 <= part.least <= part.most


def test_one_call_is_near_what_was_measured() -> None:
    """`docs/benchmarks.md`: 333 to 393 tokens read and 180 to 660 written by one call of `zero_shot`."""
    found = whole(next(made for made in SHIPPED if made.name == "zero_shot"))
    assert found.calls == Range(1, 1)
    assert 250 < found.prompt.most < 500
    assert 180 < found.reply.most < 1000


def test_what_multiplies() -> None:
    loop = step("l", kind="loop", max=4, body=(step("l.a"), step("l.b", "a", kind="run")))
    each = step("e", "l", kind="for_each", max=5, body=(step("e.do", retry=1),))
    made = procedure(step("first", when=expr("x")), loop, each, step("t", kind="run"))
    assert whole(made).calls == Range(0 + 1 + 0, 1 + 4 + 10)
    parts = [
        step("write", out=ArtifactType("SourceFile"), grain="function"), step("fix", out=PATCH, grain="function"),
    ]  # fmt: skip
    found = whole(procedure(*parts))
    assert found.calls == Range(2, 12 + 2)
    assert found.reply.most == 14 * PART


def test_the_fewest_items_are_those_that_the_list_may_have(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    asks = "role: engineer, prompt: draft, in: requirement"
    each = "max: 8, do: {role: engineer, prompt: draft, in: {requirement: requirement, plan: one}, out: str}"
    path.write_text(f"""
sop: 1
artifacts: {{Notes: {{lines: [str]}}}}
steps:
  design: {{role: architect, in: requirement, out: Design}}
  notes:  {{{asks}, out: Notes}}
  list:   {{{asks}, out: [Notes]}}
  each_file: {{for_each: design.files, as: one, {each}}}
  each_line: {{for_each: notes.lines, as: one, {each}}}
  each_note: {{for_each: list, as: one, {each}}}
""")
    steps = {one.name: one for one in load_procedure(str(path), Library(None)).steps}
    assert [turns(steps[name]) for name in ("each_file", "each_line", "each_note")] == [(1, 8), (0, 8), (1, 8)]


def test_sizes_go_by_type() -> None:
    def reply(out: object, **more: object) -> float:
        return whole(procedure(step("a", out=out, **more))).reply.most

    assert reply(ArtifactType("Prd")) == TYPICAL["Prd"]
    assert reply(ListOf(ArtifactType("SourceFile"))) == ITEMS * TYPICAL["SourceFile"]
    assert reply(BOOL) < reply(STR) == TEXT
    assert reply(ArtifactType("Prd"), max_tokens=100) == 100


def test_what_is_read_counts_wherever_it_comes_from() -> None:
    def read(*inputs: str) -> float:
        draft = step("l.draft", out=ArtifactType("Prd"))
        given = tuple(Input(text.replace(".", "_"), expr(text)) for text in inputs)
        loop = step("l", kind="loop", max=1, body=(draft, step("l.last", "draft", out=BOOL, inputs=given)))
        return whole(procedure(loop)).prompt.most - whole(procedure(step("x"), step("y"))).prompt.most

    assert read() == 0
    assert read("requirement") == TEXT
    assert read("draft") == read("prev.draft") == TYPICAL["Prd"]
    assert read("draft.requirements") == ITEMS * TYPICAL["Requirement"]


def test_models_are_apart() -> None:
    found = estimate(procedure(step("a", model="small"), step("b"), step("c", model="small")))
    assert {name: part.calls.most for name, part in found.items()} == {"small": 2, None: 1}
