"""A failure in one sentence: the tests are made by the engine and run for real."""

import asyncio

from company.artifacts import Call, Check, Checks, Command, Part, Patch, SourceFile, TestCase, TestRun
from company.assemble import definition
from company.failing import failing, told
from company.prompts import Prompts
from company.sandbox import choose, run_tests
from company.sop.library import Library
from company.sop.linker import load_procedure
from company.testgen import from_checks

CODE = """
import sys


def g(x):
    return x["k"]


def f(x):
    return g({}) if x == 3 else x


if __name__ == "__main__":
    if sys.argv[1:] == ["e"]:
        sys.exit("b")
    print("a" if len(sys.argv) < 3 else 1 / 0)
"""


def test_failures_are_sentences() -> None:
    calls = [("f(1)", "2"), ("f(2)", "raises ValueError"), ("f(3)", "'x'"), ("f(b)", "'c'")]
    checks = [
        Check(title="t", quote="q", commands=[], setup="b = 'a' * 2" if "b" in each else "",
              calls=[Call(imports="from a import f", expression=each, expected=value)])
        for each, value in calls
    ]  # fmt: skip
    commands = [
        Command(command=line, stdin="", stdout="b", exit_status=0)
        for line in ("python a.py x", "python a.py x y", "python a.py e")
    ]
    tests = from_checks(Checks(checks=[*checks, Check(title="s", quote="", calls=[], commands=commands)]), "")
    run = asyncio.run(run_tests(choose(), {"a.py": CODE.encode()}, {tests.path: tests.text.encode()}))
    cases = [
        case.model_copy(update={"source": definition(tests.text, case.id.rpartition("::")[2])}) for case in run.cases
    ]
    assert [told(case) for case in cases] == [
        "`f(1)` must give `2`. It gives `1`.",
        "`f(2)` must raise ValueError. It raises nothing.",
        "`f(3)` must give `'x'`. It raises KeyError: 'k' at a.py:6 in g: `return x[\"k\"]`.",
        "After `b = 'a' * 2`, `f(b)` must give `'c'`. It gives `'aa'`.",
        "`python a.py x` must print 'b'. It prints 'a'.",
        "After `python a.py x`, `python a.py x y` must print 'b'. It prints ''. It says: a.py, line 16, in <module>"
        ' / print("a" if len(sys.argv) < 3 else 1 / 0) / ZeroDivisionError: division by zero',
        "After `python a.py x`, `python a.py x y`, `python a.py e` must print 'b' to standard output. "
        "It prints that to standard error.",
    ]
    shown = failing(run.model_copy(update={"cases": cases, "problems": ["a.py:1: odd"]}))
    assert shown == f"- a.py:1: odd\n- {told(cases[0])}\n- {told(cases[1])}"
    assert told(cases[0].model_copy(update={"source": "def test_x():\n    assert f(1)\n    assert f(2) == 2"})) == ""
    assert "E   assert 1 == 2" in failing(run)  # without the test's own text
    assert failing(None) == ""


def test_who_failed_alike_twice_is_told_to_begin_otherwise() -> None:
    procedure = load_procedure("test_first", Library(None))
    fix = next(step for step in procedure.walk() if step.path == "verify.fix")
    assert fix.role

    def run(message: str) -> TestRun:
        source = "def test_a():\n    assert f(1) == 2\n"
        case = TestCase(id="t::a", outcome="failed", required=True, message=message, source=source)
        return TestRun(
            passed=False,
            cases=[case],
            summary="",
            output="",
            problems=[],
            status="ran",
            score=0.0,
            sandbox="bubblewrap",
        )

    patch = Patch(files=[SourceFile(path="a.py", content="x")])
    one, other = run("E   assert 1 == 2"), run("E   assert 3 == 2")
    rounds = [[None, one], [None, one, patch, one], [patch, one, patch, one], [patch, other, patch, one]]
    told = []
    for each in rounds:
        history = [{"fix": each[at], "test": each[at + 1]} for at in range(0, len(each), 2)]
        shown = {"requirement": "R", "code": [], "prev_test": one, "history": history, "module": "M"}
        part = Part(signature="def f(x)", purpose="p", quote="")
        text = Prompts(procedure.sources).render(fix.prompt, fix.role, {**shown, "part": part})
        told.append("failed alike" in text)
    assert told == [False, False, True, False]


def test_what_only_looks_like_a_test_of_ours_is_shown_as_it_is() -> None:
    for line in ("with ctx():", "with pytest.raises():", "with open('a.txt') as file:"):
        source = f"def test_x():\n    {line}\n        f()\n"
        case = TestCase(
            id="tests/test_a.py::test_x", outcome="failed", required=True, message="E   ValueError: no", source=source
        )
        assert told(case) == "", line
