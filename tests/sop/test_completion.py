"""What is offered while somebody types. ``▮`` is the cursor."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from company.sop.completion import Offer, complete
from company.sop.library import Library
from company.sop.schema import json_schema

LIBRARY = Library(None)
HEAD = """\
sop: 1
name: mine
artifacts:
  Report: {passed: bool, notes: [str]}
steps:
  prd: {role: product_manager, in: requirement, out: Prd}
  design:
    role: architect
    in: [requirement, prd]
    out: Design
"""


def offer(text: str) -> Offer:
    at = text.index("▮")
    return complete(text.replace("▮", ""), at, LIBRARY)


def offered(text: str) -> list[str]:
    return [each.text for each in offer(text).options]


@pytest.mark.parametrize(
    ("text", "some", "none"),
    [
        ("▮", "sop steps deliver limits", "role"),
        ("sop: 1\nst▮", "steps", "sop"),
        ("sop: ▮", "1", "true"),
        ("limits: {▮}", "calls tokens", "steps"),
        ("limits: {calls: 3, ▮}", "tokens", "calls"),
        ("limits:\n  calls: 3\n  ▮\n", "tokens", "calls"),
        (f"{HEAD}  code: {{role: ▮}}", "engineer qa", "Prd out"),
        (f"{HEAD}  code: {{role: eng▮", "engineer", "out"),
        (f"{HEAD}  code:\n    role: ▮\n    out: SourceFile", "engineer qa", "requirement"),
        (f"{HEAD}  code: {{role: engineer, prompt: ▮}}", "code fix", "engineer"),
        (f"{HEAD}  code: {{role: engineer, out: ▮}}", "SourceFile Prd str Report", "engineer"),
        (f"{HEAD}  code: {{role: engineer, out: [▮]}}", "SourceFile Report", "engineer"),
        (f"{HEAD}  code: {{role: engineer, in: [requirement, ▮]}}", "requirement prd design", "code engineer"),
        (f"{HEAD}  code: {{role: engineer, in: design.▮}}", "files", "requirement"),
        (f"{HEAD}  code:\n    role: engineer\n    in:\n      - pr▮\n", "prd", "code"),
        (f"{HEAD}  code: {{role: engineer, model: ▮}}", "small medium large", "engineer"),
        (f"{HEAD}  code: {{▮}}", "role run gate for_each loop use", "choices_"),
        (f"{HEAD}  code: {{role: engineer, ▮}}", "out in prompt", "role loop choices until"),
        (f"{HEAD}  code:\n    role: engineer\n    ▮\n", "out in prompt", "role loop choices until"),
        (f"{HEAD}  ask: {{gate: ▮}}", "human", "engineer"),
        (f"{HEAD}  ask: {{gate: human, choices: {{yes: ▮}}}}", "next fail prd design", "ask"),
        (f"{HEAD}  ask: {{gate: human, choices: {{good: next, bad: fail}}, headless: ▮}}", "good bad", "next"),
        (f"{HEAD}  more: {{use: ▮}}", "waterfall reflection", "engineer"),
        (f"{HEAD}  more: {{use: waterfall, with: {{▮}}}}", "requirement", "engineer"),
        (f"{HEAD}  each: {{for_each: design.▮}}", "files", "prd"),
        (f"{HEAD}  each: {{for_each: design.files, as: file, do: {{role: engineer, in: [▮]}}}}", "file deps", "each"),
        (f"{HEAD}  each:\n    for_each: design.files\n    as: file\n    on_error: ▮\n", "stop collect", "file"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest, out: TestRun}}\n    until: test.▮\n", "passed", "prd"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest, out: TestRun}}\n    until: ▮\n", "test prd", "v"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest, in: ▮}}\n", "prev prd", "v test"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest, in: prev.▮}}\n", "test", "prd"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest}}\n    max: 2\ndeliver: {{accept: v.▮}}", "test", "prd"),
        (f"{HEAD}  v:\n    loop:\n      test: {{run: pytest}}\n    max: 2\ndeliver: {{accept: v.test.▮}}", "passed", "x"),
        (f"{HEAD}deliver:\n  ▮", "accept", "steps"),
        ("roles:\n  engineer: {▮}", "title profile tools", "steps"),
        (f"{HEAD}  code: {{role: engineer, commit: ▮}}", "true false", "engineer"),
        (f"{HEAD}  code:\n    {{role: engineer, in: [requirement,\n     des▮]}}", "design", "code"),
    ],
)  # fmt: skip
def test_what_fits_is_offered(text: str, some: str, none: str) -> None:
    found = offered(text)
    assert [word for word in some.split() if word not in found] == []
    assert [word for word in none.split() if word in found] == []


@pytest.mark.parametrize("text", ["# a comm▮ent", "description: |\n  words ▮\nsop: 1", "name: x # a ▮"])
def test_nothing_is_offered_in_texts_and_comments(text: str) -> None:
    assert offered(text) == []


def test_the_letters_before_the_cursor_are_replaced() -> None:
    assert offer("sop: 1\nste▮").letters == 3
    assert offer(f"{HEAD}  code: {{role: engineer, in: design.fi▮}}").letters == 2
    assert offer(f"{HEAD}  code: {{role: ▮}}").letters == 0


def test_what_is_offered_says_what_it_is() -> None:
    options = {each.text: each for each in offer(f"{HEAD}  code: {{role: engineer, in: [▮]}}").options}
    assert options["design"].about == "Design"
    roles = {each.text: each for each in offer(f"{HEAD}  code: {{role: ▮}}").options}
    assert roles["qa"].about == "QA Engineer"
    keys = {each.text: each for each in offer("▮").options}
    assert keys["steps"].about == json_schema()["properties"]["steps"]["description"]


@pytest.mark.parametrize("name", LIBRARY.sops())
def test_every_place_of_a_shipped_procedure_has_an_answer(name: str) -> None:
    text = LIBRARY.sop(name).text
    for at in range(0, len(text) + 1, 67):
        complete(text, at, LIBRARY)


@settings(deadline=None, max_examples=60)
@given(st.text("sop:1 \n-{}[],#'\"|>&*abc.", max_size=120), st.integers(0, 120))
def test_no_text_is_too_odd(text: str, at: int) -> None:
    assert complete(text, min(at, len(text)), LIBRARY).letters >= 0
