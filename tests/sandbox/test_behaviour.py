"""What several programs do with the same inputs, and which of them is chosen for it; in a real sandbox."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from company.artifacts import Call, Check, Checks, Command, Selection, SourceFile
from company.derived import derived
from company.errors import StepFailed
from company.sandbox import behaviour, choose
from company.sandbox.behaviour import Probe, Seen, behaviours
from company.selection import candidates_in, ranked, select, without

REQUIREMENT = 'A module a.py with f(text): f("ab") returns "ba".'


def told(programs: list[str], *probes: Probe) -> list[list[tuple[str, bool]]]:
    files = [{"a.py": text} for text in programs]
    return [[(*one,) for one in row] for row in asyncio.run(behaviours(choose(), files, probes, 120.0))]


def call(expression: str, expected: str | None = None) -> Probe:
    return Probe("from a import f", expression, expected)


def test_each_program_answers_each_input() -> None:
    programs = [
        "def f(x):\n    return x + 1",
        "def f(x):\n    raise ValueError(x)",
        "import os\ndef f(x):\n    os._exit(0) if x == 2 else None\n    return {3, 1, x}",
        "def f(x):\n    while x == 2: pass\n    return float(x)",
        "def f(x:\n",
        "import random\ndef f(x):\n    return random.random()",
    ]
    probes = (call("f(1)", "2"), call("f(2)", "raises ValueError"), call("f(3)"))
    assert told(programs, *probes) == [
        [("2", True), ("3", False), ("4", False)],
        [("raises ValueError", False), ("raises ValueError", True), ("raises ValueError", False)],
        [("{1,3}", False), ("died", False), ("{1,3}", False)],
        [("1", False), ("late", False), ("3", False)],
        [("raises SyntaxError", False)] * 3,
        [("unsteady", False)] * 3,
    ]


def test_what_looks_at_programs_is_what_this_process_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviour, "__file__", str(tmp_path / "behaviour.py"))
    (tmp_path / "prober.py").write_text("def main(job):\n    raise SystemExit('another checkout')\n")
    assert told(["def f(x):\n    return x"], call("f(1)", "1")) == [[("1", True)]]


def test_a_program_that_never_ends_does_not_use_up_the_time_of_the_others() -> None:
    probes = [call(f"f({number})") for number in range(40)]
    stubborn = (
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    )
    slow, slower, quick = told(["def f(x):\n    while True: pass", stubborn, "def f(x):\n    return x"], *probes)
    assert slow == slower == [("late", False)] * 40
    assert quick == [(str(number), False) for number in range(40)]


def test_commands_are_inputs_too() -> None:
    program = "import sys\nopen('seen', 'a').write('x')\nprint(len(open('seen').read()), *sys.argv[1:])"
    session = (("python a.py b", ""), ("python a.py c", ""))
    assert told([program, "import no"], Probe(expected="2 c", commands=session)) == [
        [("0: 2 c", True)],
        [("raises ModuleNotFoundError", False)],
    ]


def test_inputs_are_derived_near_ones_first() -> None:
    found = [expression for _, expression in derived([("from a import f", "f([2, 1], 'ab')")], 8)]
    assert found == [
        "f([1, 2], 'ab')", "f([2, 1], 'ba')", "f([2, 1, 2, 1], 'ab')", "f([2, 1], 'abab')", "f([1], 'ab')", "f([2, 1], 'b')",
        "f([3, 1], 'ab')", "f([2, 1], 'a')",
    ]  # fmt: skip
    assert derived([("b = B(5)", "b.total()")], 2) == [("b = B(6)", "b.total()"), ("b = B(10)", "b.total()")]
    assert derived([("import a", "a.f(")], 2) == []


@pytest.mark.parametrize(
    "expression", ["set(f(3)) == set([4])", "bool(math.isclose(f(3), 9.5))", "not f(3)", "abs(f(3) - 2.5) < 0.1"]
)
def test_of_a_comparison_the_call_is_what_is_tried_otherwise(expression: str) -> None:
    assert derived([("from a import f", expression)], 2) == [("from a import f", "f(4)"), ("from a import f", "f(6)")]


def checks(*calls: tuple[str, str]) -> Checks:
    made = [Call(imports="from a import f", expression=expression, expected=value) for expression, value in calls]
    return Checks(checks=[Check(title=one.expression, quote="", calls=[one], commands=[]) for one in made])


def code(body: str) -> list[SourceFile]:
    return [SourceFile(path="a.py", content=f"def f(text):\n    return {body}\n")]


def chosen(values: list[Any], requirement: str = REQUIREMENT) -> Selection:
    return asyncio.run(select(choose(), values, requirement, 60.0))


def test_an_example_of_the_requirement_weighs_more_than_any_number_that_agree() -> None:
    wrong, right = code("text.upper()"), code("text[::-1]")
    found = chosen([wrong, {"draft": right, "choice": None}, [{"draft": wrong}], checks(('f("ab")', '"ba"'))])
    assert (found.files, found.candidates, found.agreeing, found.holds, found.stated) == (right, 3, 1, True, 1)


def test_where_nothing_is_stated_those_that_agree_are_chosen_and_contradicted_checks_set_aside() -> None:
    guesses = checks(('f("ab")', '"wrong"'), ('f("cd")', '"dc"'))
    found = chosen(
        [code("text"), [code("text[::-1]"), code("''.join(reversed(text))")], guesses], "A function f(text)."
    )
    assert (found.files, found.agreeing, found.share) == (code("text[::-1]"), 2, 0.6667)
    assert (found.stated, found.holds, found.set_aside) == (0, True, ['from a import f; f("ab") == "wrong"'])
    assert [check.title for check in without(guesses, found.set_aside).checks] == ['f("cd")']
    assert found.summary == f"2 of 3 candidates agree on {found.inputs} inputs, the requirement states no example"


def test_programs_that_raise_or_give_nothing_agree_with_nobody() -> None:
    found = chosen([[code("1 / 0"), code("1 / 0"), code("None"), code("None")], checks(('f("ab")', '"ba"'))])
    assert (found.agreeing, found.holds) == (1, False)


def test_without_an_input_to_compare_them_on_nothing_is_agreed() -> None:
    found = chosen([[code("text"), code("text")]])
    assert (found.agreeing, found.inputs, found.files) == (1, 0, code("text"))


def test_a_command_that_is_set_aside_takes_those_after_it_along() -> None:
    commands = [Command(command=f"python a.py {word}", stdin="", stdout="", exit_status=0) for word in "abc"]
    made = Checks(checks=[Check(title="a", quote="", calls=[], commands=commands)])
    assert without(made, ["python a.py a; python a.py b prints ''"]).checks[0].commands == commands[:1]
    assert without(made, ["python a.py a prints ''"]).checks == []
    assert without(made, ["python a.py b prints ''", "python a.py a prints 'x'", "python a.py a"]) == made


COUNTER = """A module a.py with a class Counter. It is used so:

>>> c = Counter()
>>> c.add(1)
>>> c.total()
1
"""


def test_an_example_of_the_requirement_stays_where_qa_s_own_reading_of_the_same_call_is_set_aside() -> None:
    def after(added: int, total: str) -> Check:
        call = Call(imports="from a import Counter", expression="c.total()", expected=total)
        return Check(title="t", quote="", setup=f"c = Counter()\nc.add({added})", calls=[call], commands=[])

    right, wrong, contradicting = after(1, "1"), after(5, "4"), after(1, "2")
    body = "class Counter:\n    def __init__(self):\n        self.n = 0\n    def add(self, n):\n        self.n {}\n    def total(self):\n        return self.n\n"
    programs = [[SourceFile(path="a.py", content=body.format(how))] for how in ("+= n", "= self.n + n")]
    found = chosen([programs, Checks(checks=[right, wrong, contradicting])], COUNTER)
    assert (found.stated, found.holds) == (1, True)
    assert found.set_aside == [
        "from a import Counter; c = Counter(); c.add(5); c.total() == 4",
        "from a import Counter; c = Counter(); c.add(1); c.total() == 2",
    ]
    assert without(Checks(checks=[right, wrong, contradicting]), found.set_aside).checks == [right]


def test_a_command_of_the_requirement_stays_where_qa_s_own_readings_of_it_and_before_it_are_wrong() -> None:
    requirement = 'A program a.py. "python a.py list" prints "x".'

    def session(*said: tuple[str, str]) -> Check:
        commands = [Command(command=f"python a.py {word}", stdin="", stdout=out, exit_status=0) for word, out in said]
        return Check(title="t", quote="", calls=[], commands=commands)

    stated, other = session(("add x", "wrong"), ("list", "x")), session(("add y", ""), ("list", "wrong"))
    calls = checks(("f(1)", "1"), ("f(2)", "2"), ("f(3)", "3"))
    program = "import sys\ndef f(x):\n    return x\nif sys.argv[1:] == ['list']:\n    print(open('kept').read()[4:])\nelif sys.argv[1:]:\n    open('kept', 'w').write(' '.join(sys.argv[1:]))\n"
    programs = [[SourceFile(path="a.py", content=f"{program}# {number}\n")] for number in range(2)]
    found = chosen([programs, Checks(checks=[stated, other]), calls], requirement)
    assert (found.stated, found.agreeing) == (1, 2)
    assert found.set_aside == ["python a.py add y; python a.py list prints 'wrong'"]
    kept = without(Checks(checks=[stated, other]), found.set_aside).checks
    assert kept == [stated, session(("add y", ""))]


def test_qa_s_wrong_reading_of_the_very_command_that_the_requirement_states_is_set_aside() -> None:
    def said(out: str) -> Check:
        command = Command(command="python a.py list", stdin="", stdout=out, exit_status=0)
        return Check(title="t", quote="", calls=[], commands=[command])

    stated, wrong = said("x"), said("wrong")
    calls = checks(("f(1)", "1"), ("f(2)", "2"))
    program = "import sys\ndef f(x):\n    return x\nif sys.argv[1:] == ['list']:\n    print('x')\n"
    programs = [[SourceFile(path="a.py", content=f"{program}# {number}\n")] for number in range(2)]
    found = chosen([programs, Checks(checks=[stated, wrong]), calls], 'A program a.py. "python a.py list" prints "x".')
    assert (found.stated, found.agreeing) == (1, 2)
    assert found.set_aside == ["python a.py list prints 'wrong'"]
    assert without(Checks(checks=[stated, wrong]), found.set_aside).checks == [stated]


def test_likeness_decides_where_none_does_all_the_same() -> None:
    def row(text: str) -> list[Seen]:
        return [Seen(each, False) for each in text]

    assert ranked([row("abcd"), row("xbcd"), row("abyz")], ["derived"] * 4)[0] == 0


def test_candidates_are_found_in_lists_and_rounds() -> None:
    one, two, three = code("1"), code("2"), code("3")
    assert list(candidates_in([one, [two], [{"draft": None}, {"draft": three, "note": "x"}], None, "text"])) == [
        one,
        two,
        three,
    ]
    with pytest.raises(StepFailed, match="no program"):
        chosen([checks(('f("ab")', '"ba"'))])


def test_without_checks_the_heads_that_are_shown_give_inputs() -> None:
    shown = "A module a.py:\n\n```python\ndef f(text):\n```\nIt turns the text round."
    found = chosen([[code("text"), code("text[::-1]"), code("text[::-1]")]], shown)
    assert (found.agreeing, found.files, found.stated) == (2, code("text[::-1]"), 0)
    assert found.inputs > 5
