"""What differs between two procedures by meaning, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import library, linked
from synthetic import procedure, review_board, role, step

from company.sop.compare import compare
from company.sop.linker import load_procedure
from company.sop.procedure import Procedure

BASE = """\
sop: 1
name: test
description: One.
limits: {calls: 30}
steps:
  polish:
    loop:
      draft:  {role: engineer, in: [requirement, prev.draft, prev.critic], out: [SourceFile]}
      critic: {role: reviewer, in: [requirement, draft], out: Review}
    until: critic.approved == true
    max: 3
  test: {run: pytest, in: polish.draft}
deliver: {accept: test.passed and polish.critic.approved}
""".replace("== true", "== True")


def changed(*pairs: tuple[str, str]) -> list[str]:
    text = BASE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return compare(linked(BASE), linked(text))


def test_the_same_meaning_in_other_words_is_no_difference() -> None:
    assert changed() == []
    assert (
        changed(
            ("description: One.", "description: Another.   # a comment"),
            ("[requirement, draft]", "[draft, requirement]"),
            ("until: critic.approved == True", "until: ( critic.approved  ==  True )"),
            ("    max: 3\n", ""),
            ("    loop:\n", "    max: 3\n    loop:\n"),
            ("limits: {calls: 30}\n", ""),
            ("deliver:", "limits:\n  calls: 30\ndeliver:"),
        )
        == []
    )


@pytest.mark.parametrize("made", [review_board(), load_procedure("waterfall", library())], ids=lambda made: made.name)
def test_nothing_differs_from_itself(made: Procedure) -> None:
    assert compare(made, made) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("calls: 30", "calls: 30, minutes: 5", ["+ limit minutes: 5"]),
        ("limits: {calls: 30}\n", "", ["- limit calls: 30"]),
        ("max: 3", "max: 4", ["~ step polish: max 3 → 4", "~ model calls in the worst case: 6 → 8"]),
        ("out: Review}", "out: Review, model: small}", ["~ step polish.critic: model none → small"]),
        ("out: Review}", "out: Review, temperature: 0.5}", ["~ step polish.critic: temperature none → 0.5"]),
        ("test.passed and ", "", ["~ accept test.passed and polish.critic.approved → polish.critic.approved"]),
        ("{run: pytest,", "{run: pytest -x,", ["~ step test: run pytest → pytest -x"]),
        ("  test: {run: pytest, in: polish.draft}", "  test: {run: pytest}", ["~ step test: in [polish.draft] → []"]),
        ("limits:", "inputs: {requirement: str, n: int}\nlimits:", ["+ input n: int"]),
        ("== True", "!= False",
         ["~ step polish: until critic.approved == True → critic.approved != False"]),
    ],
)  # fmt: skip
def test_what_changes_is_said_once(old: str, new: str, said: list[str]) -> None:
    assert changed((old, new)) == said


def test_steps_and_their_edges_come_and_go() -> None:
    more = "  look: {role: reviewer, prompt: critic, in: [requirement, {draft: polish.draft}], out: Review}\ndeliver:"
    found = changed(("deliver:", more), ("accept: test.passed", "accept: test.passed and look.approved"))
    assert "+ step look: Reviewer → Review" in found
    assert "+ edge polish → look" in found
    assert "+ edge look → END" in found
    back = compare(
        linked(BASE.replace("deliver:", more).replace("accept: test", "accept: look.approved and test")), linked(BASE)
    )
    assert "- step look: Reviewer → Review" in back
    assert "- edge polish → look" in back


def test_roles_and_prompts() -> None:
    old = procedure(
        step("a"), roles={"engineer": role()}, sources={"prompts/engineer/draft.md.j2": "x", "roles/e.yaml": "1"}
    )
    new = replace(
        old,
        roles={"engineer": role(model="large"), "qa": role("qa")},
        sources={"prompts/engineer/draft.md.j2": "y", "roles/e.yaml": "2"},
    )
    assert compare(old, new) == [
        "~ role engineer: model none → large",
        "+ role qa",
        "~ prompts/engineer/draft.md.j2: another text",
    ]
    other = replace(old, roles={"engineer": replace(role(), profile="You rest.")})
    assert compare(old, other) == ["~ role engineer: another profile"]


def test_a_gate_and_who_works() -> None:
    gate = step("g", kind="gate", choices={"ok": "next"}, headless="ok")
    stricter = replace(gate, choices={"ok": "next", "no": "fail"})
    assert compare(procedure(gate), procedure(stricter)) == ["~ step g: choices {ok: next} → {ok: next, no: fail}"]
    assert compare(procedure(step("a")), procedure(step("a", role=role("qa")))) == ["~ step a: role engineer → qa"]
    assert compare(procedure(step("a")), procedure(step("a", kind="run")))[0] == "~ step a: role engineer → none"
