"""Expressions: types, values, narrowing, and that evaluating agrees with checking."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from company.artifacts import BUILT_IN, FileSpec, Part, Review, SourceFile, TestRun
from company.errors import SopError, StepFailed
from company.sop.diagnostics import Span
from company.sop.expressions import Expression
from company.sop.types import (
    BOOL,
    FLOAT,
    INT,
    NAMES,
    STR,
    ArtifactType,
    ListOf,
    Nullable,
    Record,
    Skipped,
    Type,
    parse_type,
)

AT = Span("x", 1, 1, 1, 2)
RUN = TestRun(
    passed=False, cases=[], summary="0 of 2", output="", problems=["x"], status="ran", score=0.5, sandbox="plain"
)
FILE = FileSpec(path="a.py", purpose="p", depends_on=["b.py"], parts=[Part(signature="def f()", purpose="p", quote="")])
REVIEW = Review(approved=True, comments=[])
ENV: dict[str, Type] = {
    "test": ArtifactType("TestRun"),
    "file": ArtifactType("FileSpec"),
    "code": ListOf(ArtifactType("SourceFile")),
    "part": ArtifactType("Part"),
    "result": ArtifactType("CommandResult"),
    "name": STR,
    "n": INT,
    "fix": Skipped(ArtifactType("Review"), "fix"),
    "verify": Record({"test": ArtifactType("TestRun"), "fix": Skipped(ArtifactType("Review"), "fix")}),
    "prev": Record({"test": Nullable(ArtifactType("TestRun"), "first round")}),
    "history": ListOf(Record({"test": ArtifactType("TestRun")})),
}
VALUES: dict[str, Any] = {
    "test": RUN,
    "file": FILE,
    "code": [SourceFile(path="a.py", content="")],
    "part": FILE.parts[0],
    "name": "a",
    "n": 3,
    "fix": None,
    "verify": {"test": RUN, "fix": REVIEW},
    "prev": {"test": None},
    "history": [],
}
GOOD: list[tuple[str, Type, Any]] = [
    ("test.passed", BOOL, False),
    ("not test.passed", BOOL, True),
    ("part.name", STR, "f"),
    ("len(code) > 0 and len(name) == 1", BOOL, True),
    ("1 < n <= 3", BOOL, True),
    ("1 < n < 3", BOOL, False),
    ("test.score >= 0.5", BOOL, True),
    ("-1 < n", BOOL, True),
    ("test.status in ['ran', 'timeout']", BOOL, True),
    ("test.status == 'timeout'", BOOL, False),
    ("'a.py' not in file.depends_on", BOOL, True),
    ("file.path in name", BOOL, False),
    ("maybe.fix.approved", Nullable(BOOL), None),
    ("maybe.fix == None", BOOL, True),
    ("maybe.fix is not None", BOOL, False),
    ("maybe.verify.fix.approved", Nullable(BOOL), True),
    ("maybe.fix.approved or test.passed", BOOL, False),
    ("prev.test == None or not test.passed", BOOL, True),
    ("prev.test != None and prev.test.score < test.score", BOOL, False),
    ("prev.test.score is not None and prev.test.score < test.score", BOOL, False),
    ("maybe.fix is not None and len(maybe.fix.comments) > 0", BOOL, False),
    ("verify.test.score", FLOAT, 0.5),
    ("any([test.passed, verify.test.passed])", BOOL, False),
    ("all([n > 1, True])", BOOL, True),
    ("min(n, 2)", INT, 2),
    ("max([n, 2])", INT, 3),
    ("len(history)", INT, 0),
    ("name", STR, "a"),
    ("  (n) == 3", BOOL, True),
    ("[n, 1]", ListOf(INT), [3, 1]),
    ("file.parts", ListOf(ArtifactType("Part")), FILE.parts),
]


@pytest.mark.parametrize(("text", "kind", "value"), GOOD, ids=[case[0] for case in GOOD])
def test_type_and_value(text: str, kind: Type, value: Any) -> None:
    expression = Expression(text, AT)
    assert expression.type_in(ENV) == kind
    assert expression.evaluate(VALUES) == value


BAD = [
    ("test.pased", "SOP204", "pased"), ("nme", "SOP501", "nme"), ("fix.approved", "SOP504", "fix"),
    ("verify.fix.approved", "SOP504", "verify.fix"), ("verify.fix", "SOP504", "verify.fix"), ("name.upper()", "SOP202", "name.upper()"),
    ("name.upper", "SOP204", "upper"), ("test.model_dump", "SOP204", "model_dump"), ("test.__class__", "SOP204", "__class__"),
    ("code[0]", "SOP202", "code[0]"), ("n + 1", "SOP202", "n + 1"), ("n if n else n", "SOP202", "n if n else n"),
    ("[x for x in code]", "SOP202", "[x for x in code]"), ("f'{n}'", "SOP202", "f'{n}'"), ("b'x' == name", "SOP202", "b'x'"),
    ("... == name", "SOP202", "..."), ("(n := 3)", "SOP202", "n := 3"), ("{1: 2}", "SOP202", "{1: 2}"), ("*n", "SOP201", "*"),
    ("len(n)", "SOP206", "len(n)"), ("len(code, code)", "SOP206", "len(code, code)"), ("min(code)", "SOP206", "min(code)"),
    ("any(code)", "SOP206", "any(code)"), ("n and test.passed", "SOP203", "n"), ("not code", "SOP203", "code"),
    ("n < name", "SOP206", "n < name"), ("n == name", "SOP206", "n == name"), ("n in code", "SOP206", "n in code"),
    ("n is 3", "SOP202", "n is 3"), ("n == None", "SOP205", "n == None"), ("prev.test.score < 1", "SOP207", "prev.test.score"),
    ("prev.test != None or prev.test.score < 1", "SOP207", "prev.test.score"), ("result.exit_status > 0", "SOP207", "result.exit_status"),
    ("[n, name]", "SOP206", "name"), ("test.status == 'rann'", "SOP206", "'rann'"), ("test.status in ['rann']", "SOP206", "'rann'"),
    ("true", "SOP501", "true"), ("'é' == name and nme", "SOP501", "nme"), ("n ==", "SOP201", None), ("", "SOP201", None),
    ("(" * 300, "SOP201", None), ("not " * 200 + "n", "SOP201", None), ("n\x00", "SOP201", None), ("n" * 2000, "SOP201", None),
    ("len(code, key=n)", "SOP206", "len(code, key=n)"), ("lambda: n", "SOP202", "lambda: n"), ("eval('1')", "SOP202", "eval('1')"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "place"), BAD, ids=[repr(case[0][:30]) for case in BAD])
def test_mistakes(text: str, code: str, place: str | None) -> None:
    _, problems = Expression(text, AT).check(ENV)
    assert [problem.code for problem in problems] == [code]
    if place is not None:
        assert text[problems[0].start : problems[0].end] == place
    with pytest.raises(SopError):
        Expression(text, AT).type_in(ENV)


def test_equality_is_by_text_so_that_steps_compare() -> None:
    assert Expression("a.b", AT) == Expression("a.b", Span("y", 9, 9, 9, 9))
    assert hash(Expression("a.b", AT)) == hash(Expression("a.b", Span("y", 9, 9, 9, 9)))
    assert Expression("a.b", AT) != Expression("a.c", AT)


def test_references() -> None:
    found = Expression("maybe.verify.fix.approved and len(code) > n and 'x.y' == name", AT).references()
    assert [(reference.parts, reference.maybe) for reference in found] == [
        (("verify", "fix", "approved"), True), (("code",), False), (("n",), False), (("name",), False),
    ]  # fmt: skip


def test_what_the_checker_rules_out_fails_cleanly_at_run_time() -> None:
    for text in ("gone", "n + 1", "test.pased", "test.model_dump", "code.append", "n ==", "n < name"):
        with pytest.raises(StepFailed):
            Expression(text, AT).evaluate(VALUES)


def test_only_what_is_needed_is_looked_up() -> None:
    assert Expression("n == 3 or gone", AT).evaluate(VALUES) is True


NAMES_OF = ["test.passed", "test.score", "n", "name", "code", "file.parts", "maybe.fix.approved", "prev.test.score", "None", "1", "'ran'",
            "test.status", "verify.test.passed", "0.5", "True"]  # fmt: skip
TREES = st.recursive(
    st.sampled_from(NAMES_OF),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "==", "!=", "<", ">=", "in", "is"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda text: f"(not {text})"),
        st.tuples(st.sampled_from(["len", "any", "all", "min", "max"]), inner).map(
            lambda pair: f"{pair[0]}({pair[1]})"
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(TREES)
def test_what_checks_evaluates(text: str) -> None:
    expression = Expression(text, AT)
    kind, problems = expression.check(ENV)
    if problems:
        return
    value = expression.evaluate(VALUES)
    if kind == BOOL:
        assert isinstance(value, bool)
    elif kind in (INT, FLOAT):
        assert isinstance(value, int | float)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
@example("ﬀ")  # python reads it as the name `ff`
@example("prd.ﬀ")
def test_no_text_crashes_it(text: str) -> None:
    kind, problems = Expression(text, AT).check(ENV)
    assert problems or isinstance(kind, Type)
    for problem in problems:
        assert 0 <= problem.start < max(problem.end, 1)


def test_types_are_read_as_they_are_written() -> None:
    for text in ("str", "[SourceFile]", "{str: int}", "[Prd | null]", "one_of(a, b)", "{str: [float]} | null"):
        assert str(parse_type(text)) == text
    assert parse_type([{"str": "Prd | null"}]) == ListOf(parse_type("{str: Prd | null}"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_artifact_has_types_for_all_its_fields(name: str) -> None:
    kind = NAMES[name]
    assert isinstance(kind, ArtifactType)
    assert set(BUILT_IN[name].model_fields) <= set(kind.fields)
    assert kind.annotation is BUILT_IN[name]
