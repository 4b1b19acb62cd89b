"""Procedures made by hand, for what draws and compares them: every kind of step, nested, and many shapes of graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from company.sop.diagnostics import Span
from company.sop.expressions import Expression
from company.sop.procedure import Procedure, Role, Step
from company.sop.types import STR

AT = Span("x.yaml", 1, 1, 1, 2)


def expr(text: str) -> Expression:
    return Expression(text, AT)


def role(name: str = "engineer", **more: Any) -> Role:
    return Role(name=name, title=name.title(), profile="You work.", **more)


def step(path: str, *waits: str, kind: str = "role", **more: Any) -> Step:
    """A step by its path; one with a role has one, a loop has a condition."""
    if kind == "role":
        more = {"role": role(), "out": STR, "prompt": "engineer/draft", **more}
    elif kind == "run":
        more = {"command": "pytest -q", **more}
    elif kind == "loop":
        more = {"max": 3, "until": expr("test.passed"), **more}
    elif kind == "for_each":
        more = {"max": 8, "bind": "file", "over": expr("design.files"), **more}
    name = path.rpartition(".")[2]
    return Step(name=name, path=path, kind=kind, span=AT, waits=waits, **more)  # type: ignore[arg-type]


def procedure(*steps: Step, **more: Any) -> Procedure:
    fields: dict[str, Any] = {
        "name": "made", "description": "Made by hand.", "path": Path("made.yaml"), "text": "", "digest": "", "sources": {},
        "inputs": {"requirement": STR}, "limits": {}, "accept": None, "roles": {}, "worst_calls": 0,
        "artifacts": {}, "histories": frozenset(), "reads": frozenset(), "judges": frozenset(),
    }  # fmt: skip
    return Procedure(steps=steps, **{**fields, **more})


def review_board() -> Procedure:
    """A gate that sends back, reviewers side by side, a cascade, another procedure, loops in a for_each."""
    again = step(
        "approve@again",
        "prd",
        kind="loop",
        transparent=True,
        until=None,
        body=(
            step("design"),
            step("security", "design"),
            step("style", "design", when=expr("len(design.files) > 1")),
            step("cost", "design"),
            step(
                "approve",
                "security",
                "style",
                "cost",
                kind="gate",
                choices={"approve": "next", "revise": "design", "reject": "fail"},
                headless="approve",
            ),
        ),
    )
    tries = step(
        "answer@tries",
        "design",
        kind="loop",
        transparent=True,
        until=None,
        body=(step("answer"), step("judge", "answer", kind="run")),
    )
    item = step(
        "build.polish",
        "write",
        kind="loop",
        body=(step("build.polish.fix"), step("build.polish.test", "fix", kind="run")),
    )
    build = step("build", "design", kind="for_each", body=(step("build.write"), item), when=expr("answer != None"))
    other = step("docs", "design", kind="use", body=(step("docs.plan"), step("docs.text", "plan")))
    last = step(
        "release", "build", "docs", "prd", "answer", kind="run", command="python -m build --wheel . --outdir dist"
    )
    return procedure(step("prd"), again, tries, build, other, last, accept=expr("release.passed and len(build) > 0"))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["a < b & c", "漢字" * 30, "x" * 300, "]]>"]
)


@st.composite
def blocks(draw: st.DrawFn, prefix: str = "", depth: int = 2) -> tuple[Step, ...]:
    """A block of up to six steps; each waits for any of those above it."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 6 if depth == 2 else 3))):
        path = f"{prefix}s{number}"
        waits = draw(st.lists(st.sampled_from([s.name for s in steps]), unique=True)) if steps else []
        kinds = ["role", "run", "gate"] + (["loop", "for_each", "use"] if depth else [])
        kind = draw(st.sampled_from(kinds))
        more: dict[str, Any] = {}
        if kind in ("loop", "for_each", "use"):
            more["body"] = draw(blocks(prefix=f"{path}.", depth=depth - 1))
        elif kind == "run":
            more["command"] = draw(TEXTS)
        elif kind == "gate":
            more["choices"] = draw(st.dictionaries(TEXTS, st.sampled_from(["next", "fail"]), max_size=3))
        if draw(st.booleans()):
            more["when"] = expr(draw(TEXTS))
        steps.append(step(path, *waits, kind=kind, **more))
    return tuple(steps)
