"""What a requirement's own words give by rule, and the tests that are made of it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from company.artifacts import Call, Check, Checks, Command, Design, FileSpec, Part, to_json
from company.examples import calls_in, commands_in, is_program, placeholders_in, started_file, stated_output, usages_in
from company.llm.qa import as_session
from company.testgen import from_checks, from_design, parameters_of, usable_checks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('slug("A b") returns "a-b".', [('slug("A b")', '"a-b"')]),
        ('so slug("x") is "x", and slug("") gives "".', [('slug("x")', '"x"'), ('slug("")', '""')]),
        ("slug(3) raises TypeError", [("slug(3)", "raises TypeError")]),
        ("`slug('a')` should return `'b'`", [("slug('a')", "'b'")]),
        ("slug([1, 2]) == {'a': (1, 2)} holds", [("slug([1, 2])", "{'a': (1, 2)}")]),
        ('slug("(") -> ")"', [('slug("(")', '")"')]),
        ("slug(text) returns the text", []),
        ('slug(text, width=3) returns "abc"', []),
        ('other("a") returns "b"', []),
        ('slug("a") returns what was said', []),
        ("slug(-1.5) returns -2 and then", [("slug(-1.5)", "-2")]),
        ("`slug(3)` gives `4`, and must give `5`", [("slug(3)", "5")]),
        ("slug(3) returns 4 but it should return 5.", [("slug(3)", "5")]),
        ("slug(3) returns 4 instead of 5", [("slug(3)", "5")]),
        ("slug(3) must return 4, not 5", [("slug(3)", "4")]),
        ("slug(3) is 4, not what it was", [("slug(3)", "4")]),
        ("`slug(3)` returns 4, not -4.", [("slug(3)", "4")]),
        ("slug(3) returns 5. It should return 4.", [("slug(3)", "4")]),
        ("slug(3) returns 5; it should be 4", [("slug(3)", "4")]),
        ("slug(3) returns 5, should be `4`", [("slug(3)", "4")]),
        ("slug(3) returns 5, expected 4", [("slug(3)", "4")]),
        ("slug(3) == 5 (expected 4)", [("slug(3)", "4")]),
        ("slug(3) returns 5 but 4 was expected", [("slug(3)", "4")]),
        ("slug(3) returns 5 when it should return 4", [("slug(3)", "4")]),
        ("slug(3) returns 5, and it should be larger", []),
        ("slug(3) returns 5. It should never print.", [("slug(3)", "5")]),
        ("slug(3) raises ValueError but should return 4", [("slug(3)", "4")]),
        ("slug(3) raises ValueError instead of TypeError", [("slug(3)", "raises TypeError")]),
        ("slug(3) returns 5 and should raise a TypeError", [("slug(3)", "raises TypeError")]),
        ("`slug(3)` returns 2 items", []),
        ("slug(3) returns None unless it was set", []),
        ('slug(3) returns "a" letters', [("slug(3)", '"a"')]),
        ("slug(3) ➞ True\nslug(4) ==> (1, 2)", [("slug(3)", "True"), ("slug(4)", "(1, 2)")]),
        ('slug(15)   # returns "b"\nslug(16) # => 7 (the larger)', [("slug(15)", '"b"'), ("slug(16)", "7")]),
        ("slug(3) => true", [("slug(3)", "True")]),
        ("slug(19) → 19 - 5 - 6 = 8", [("slug(19)", "8")]),
        ("slug(19) → 19 - 5 - 6", []),
        ("slug(19) returns 8 - 5 = 3, and slug(1) is 1", [("slug(19)", "3"), ("slug(1)", "1")]),
    ],
)
def test_calls(text: str, found: list[tuple[str, str]]) -> None:
    checks = calls_in(text, {"slug": "pkg.slugs"})
    assert [(check.calls[0].expression, check.calls[0].expected) for check in checks] == found
    assert all(check.calls[0].imports == "from pkg.slugs import slug" for check in checks)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def pick(rows, k):\n  Input: rows = [3, 4], k = 1\n  Output: [4]", [("pick([3, 4], 1)", "[4]")]),
        ("pick(rows, k)\nInput:\n  rows : [[0], [1]]\n  k : 1\nOutput: 6\n", [("pick([[0], [1]], 1)", "6")]),
        ("def pick(rows) -> list:\n Input: [4, 2]\n Output: [2, 1]\n Explanation: 2", [("pick([4, 2])", "[2, 1]")]),
        ("def pick(rows):\n For rows = [1,2,3] the output should be 6", [("pick([1,2,3])", "6")]),
        ("def pick(a: int, b: int = 2):\n with a = 1 and b = 'x' it returns 'y'", [("pick(1, 'x')", "'y'")]),
        ("def pick(rows, k):\n Input: [4, 2]\n Output: [2, 1]", []),
        ("def other(rows):\n Input: [4, 2]\n Output: [2, 1]", []),
        ("Input: [4, 2]\n Output: [2, 1]", []),
        ("def pick(n):\n if n = 3 the program ends", []),
    ],
)
def test_pairs(text: str, found: list[tuple[str, str]]) -> None:
    checks = calls_in(text, {"pick": "a"})
    assert [(check.calls[0].expression, check.calls[0].expected) for check in checks] == found


SESSIONS = [
    (">>> slug('A b')\n'a-b'\nand so on", [("", "slug('A b')", "'a-b'")]),
    (
        "```python\n>>> box = Box(2)\n>>> box.add(3)\n>>> box.total\n5\n>>> box.add(1)\n6\n```",
        [
            ("box = Box(2)\nbox.add(3)", "box.total", "5"),
            ("box = Box(2)\nbox.add(3)\nbox.total", "box.add(1)", "6"),
        ],
    ),
    (">>> slug(Box(2))\nTraceback (most recent call last):\n    ...\npkg.errors.ValueError: no text", [("from pkg.boxes import Box", "slug(Box(2))", "raises ValueError")]),
    (">>> box.total\n5", []),
    (">>> 1 + 1\n2", []),
    (">>> Box(2)\n<Box object at 0x7f>\n>>> Box(2).total\n2", [("Box(2)", "Box(2).total", "2")]),
    (">>> for each in [1]:\n...     box = Box(each)\n>>> box.total\n1", [("for each in [1]:\n    box = Box(each)", "box.total", "1")]),
    ("  >>> slug(3)\n  [1,\n   2]\n\n>>> slug(4)\n5", [("", "slug(3)", "[1,  2]"), ("", "slug(4)", "5")]),
    (">>> slug(3) +\n4", []),
    (">>> slug(3)  # should be 5\n4", []),
    (">>> slug(3)\n4\nExpected: 5", []),
    (">>> slug(3)\n4\n\n>>> slug(3)\n5", []),
    (
        ">>> slug([])\nTraceback (most recent call last):\nIndexError: empty\n>>> slug([1])\n1",
        [("", "slug([])", "raises IndexError"), ("", "slug([1])", "1")],
    ),
    (
        ">>> import math\n>>> from pkg.slugs import slug\n>>> slug(math.pi)\n4",
        [("import math", "slug(math.pi)", "4")],
    ),
    (">>> import pkg.slugs\n>>> pkg.slugs.slug(1)\n2", [("", "pkg.slugs.slug(1)", "2")]),
    (">>> import math\n>>> math.floor(1.5)\n1", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), SESSIONS)
def test_sessions_of_python(text: str, found: list[tuple[str, str, str]]) -> None:
    """Each value is a check of its own, after the lines before it; what cannot be run by itself is none."""
    checks = calls_in(text, {"slug": "pkg.slugs", "Box": "pkg.boxes"})
    assert [(check.setup, check.calls[0].expression, check.calls[0].expected) for check in checks] == found
    assert usable_checks(Checks(checks=checks), ["pkg/slugs.py", "pkg/boxes.py"]) == (checks, [])
    made = from_checks(Checks(checks=checks), text)
    assert not made.optional
    assert compile(made.text, "made", "exec")
    assert all(call.expression in made.text for check in checks for call in check.calls)


def test_an_assignment_among_calls_is_a_line_before_those_that_use_it() -> None:
    line = "from pkg.boxes import Box"
    asked = [
        ("box = Box(1)", "box"),
        ("box.add(2)", "3"),
        ("box.add('x')", "raises TypeError"),
        ("box.total", "3"),
        ("Box(9).total", "9"),
        ("box.add(", "3"),
    ]
    made = list(as_session([Call(imports=line, expression=text, expected=value) for text, value in asked]))
    assert [(check.setup, check.calls[0].expression) for check in made] == [
        ("box = Box(1)", "box.add(2)"),
        ("box = Box(1)\nbox.add(2)", "box.add('x')"),
        ("box = Box(1)\nbox.add(2)", "box.total"),
        ("", "Box(9).total"),
        ("", "box.add("),
    ]
    assert usable_checks(Checks(checks=made), [])[0] == made[:-1]


@pytest.mark.parametrize(
    ("requirement", "plain", "setups"),
    [
        ("Box counts.\n>>> box.add(2)\n2\n>>> box.total\n2", ["Box"], ["box = Box()", "box = Box()\nbox.add(2)"]),
        ("Box counts.\n>>> box.add(2)\n2", [], []),
        ("Box and Bag count.\n>>> box.add(2)\n2", ["Box", "Bag"], []),
        ("Box and Bag count.\n>>> box.add(2)\n2", ["Box"], ["box = Box()"]),
        ("It counts.\n>>> box.add(2)\n2", ["Box"], []),
        ("Box counts.\n>>> box.add(other)\n2", ["Box"], []),
        ("Box counts.\n>>> price(3)\n2", ["Box"], []),
        ("Box counts.\n>>> Box(1).total\n1\n>>> box.add(2)\n2", ["Box"], [""]),
    ],
)
def test_a_session_of_an_object_of_nobody_is_of_the_one_class_that_is_named(
    requirement: str, plain: list[str], setups: list[str]
) -> None:
    checks = calls_in(requirement, {"Box": "boxes", "Bag": "bags"}, plain)
    assert [check.setup for check in checks] == setups
    assert all(check.calls[0].imports == "from boxes import Box" for check in checks)
    assert not from_checks(Checks(checks=checks), requirement).optional


SESSION = ">>> slug('A b')\n'a b'\n"


@pytest.mark.parametrize(
    ("text", "is_wanted"),
    [
        (f"slug makes slugs.\n\n{SESSION}", True),
        (f"slug makes slugs, for example:\n{SESSION}", True),
        (f"`slug` is wrong. This must come of it:\n\n{SESSION}\nIt gives 'x'.", True),
        (f"There is a bug in slug.\n\nExpected:\n\n```\n{SESSION}```\n", True),
        (f"There is a bug in slug:\n\n```python\n{SESSION}```\n", False),
        (f"slug('A b') fails:\n\n{SESSION}\nIt should be 'a-b'.", False),
        (f"Spaces.\n\n{SESSION}\nExpected 'a-b'.", False),
        (f"Spaces.\n\n```\n{SESSION}```\n\nbut it must give 'a-b'", False),
        (f"Actual behaviour\n{SESSION}", False),
        (f"Steps to reproduce:\n{SESSION}", False),
        (SESSION, True),
        (f"It returns the current slug:\n{SESSION}", True),
        (f"Checks it.\n:return: whether it is wrong\n{SESSION}", True),
    ],
)
def test_a_session_that_shows_what_goes_wrong_is_no_example(text: str, is_wanted: bool) -> None:
    assert bool(calls_in(text, {"slug": "pkg.slugs"})) is is_wanted


def test_an_error_of_their_own_is_imported_or_no_check_is_made_of_it() -> None:
    text = ">>> slug(3)\nTraceback (most recent call last):\nSlugError: no"
    (check,) = calls_in(text, {"slug": "pkg.slugs", "SlugError": "pkg.slugs"})
    assert usable_checks(Checks(checks=[check]), []) == ([check], [])
    made = from_checks(Checks(checks=[check]), text).text
    assert "from pkg.slugs import SlugError" in made
    assert "from pkg.slugs import slug" in made
    (other,) = calls_in(text, {"slug": "pkg.slugs"})
    assert usable_checks(Checks(checks=[other]), []) == (
        [],
        ["example of slug: `SlugError` is neither Python's own nor imported by `from pkg.slugs import slug`"],
    )


TODO = (
    'A program todo.py. "python todo.py add TEXT" stores it and prints "added 1". "python todo.py say NAME" prints "hi NAME", '
    'or "no NAME" and exits with status 1. "python todo.py about" prints "todo 1.0".'
)


def test_commands_and_their_usages() -> None:
    assert is_program(TODO)
    assert started_file(TODO) == "todo.py"
    assert placeholders_in(TODO) == {"TEXT", "NAME"}
    assert commands_in(TODO) == [Command(command="python todo.py about", stdin="", stdout="todo 1.0", exit_status=0)]
    assert [usage.outputs for usage in usages_in(TODO)] == [("added 1",), ("hi NAME", "no NAME"), ("todo 1.0",)]


@pytest.mark.parametrize(
    ("command", "said", "stated"),
    [
        ("python todo.py add milk", "added 1", "added 1"),
        ("python todo.py add 'two words'", "added 1", "added 1"),
        ("python3 todo.py say Ann", "hi Ann", "hi Ann"),
        ("python todo.py say Ann", "no NAME", "no Ann"),
        ("python todo.py say Ann", "hi Bob", None),
        ("python todo.py say", "hi", None),
        ("python todo.py add milk", "added 2", None),
        ("python todo.py add 'unclosed", "added 1", None),
        ("python todo.py add milk", "", None),
    ],
)
def test_what_a_command_may_print(command: str, said: str, stated: str | None) -> None:
    assert stated_output(command, said, usages_in(TODO)) == stated


def test_a_module_is_started_through_its_main() -> None:
    assert started_file('so that "python -m shop.cart FILE" works') == "shop/cart/__main__.py"
    assert started_file("a module shop.py with a function") == ""
    assert not is_program("a module shop.py with a function price()")


def check(**more: object) -> Check:
    return Check.model_validate({"title": "T", "quote": "", "calls": [], "commands": [], **more})


def test_a_text_that_is_too_long_with_its_quotes_leaves_its_check_out() -> None:
    call = Call(imports="from a import b", expression="b(1)", expected="it's " * 60)
    kept, reasons = usable_checks(Checks(checks=[check(calls=[call])]), {"a.py"})
    assert (kept, reasons) == ([], ["T: what `b(1)` must give is no Python value, and too long for a text"])
    longest = call.model_copy(update={"expected": "x" * 298})
    kept, _ = usable_checks(Checks(checks=[check(calls=[longest])]), {"a.py"})
    assert [Check.model_validate(to_json(one)) for one in kept] == kept  # it can be read from where it is kept
    assert kept[0].calls[0].expected == repr("x" * 298)


def test_made_tests_are_python_and_know_which_decide() -> None:
    session = [
        Command(command="python todo.py add milk", stdin="", stdout="added 1", exit_status=0),
        Command(command="python todo.py say Ann", stdin="x\n", stdout="no Ann", exit_status=1),
        Command(command="python todo.py list", stdin="", stdout="1 milk", exit_status=0),
    ]
    call = Call(imports="from todo import load", expression="load('a')", expected="raises OSError")
    tests = from_checks(Checks(checks=[check(calls=[call]), check(commands=session)]), TODO)
    names = [
        node.name
        for node in ast.parse(tests.text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
    assert names == ["test_1_t", "test_2_1_todo_py_add_milk", "test_2_2_todo_py_say_ann", "test_2_3_todo_py_list"]
    assert tests.optional == (
        "tests/test_requirement.py::test_1_t",
        "tests/test_requirement.py::test_2_3_todo_py_list",
    )
    assert "    with pytest.raises(OSError):\n        load('a')\n" in tests.text
    assert (
        "    run('python todo.py add milk')\n    status, output, errors = run('python todo.py say Ann', stdin='x\\n')\n"
        in tests.text
    )
    assert "assert (output or errors) == 'no Ann', errors" in tests.text


def test_where_nothing_is_stated_everything_decides() -> None:
    call = Call(imports="from a import b", expression="b(1)", expected="2")
    assert from_checks(Checks(checks=[check(calls=[call])]), "add one").optional == ()


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("calls", {"imports": "from a import b", "expression": "c(1)", "expected": "2"}, "uses nothing of"),
        ("calls", {"imports": "from a import b", "expression": "b(", "expected": "2"}, "is no Python"),
        ("calls", {"imports": "from a import b", "expression": "b(c)", "expected": "2"}, "`c`, which nothing defines"),
        ("calls", {"imports": "from z import b", "expression": "b(1)", "expected": "2"}, "no module `z`"),
        ("commands", {"command": "ls", "stdin": "", "stdout": "", "exit_status": 0}, "does not begin with"),
        ("commands", {"command": "python a.py | wc", "stdin": "", "stdout": "", "exit_status": 0}, "needs a shell"),
        (
            "commands",
            {"command": "python z.py", "stdin": "", "stdout": "", "exit_status": 0},
            "not among the design's files",
        ),
        ("commands", {"command": "python 'a.py", "stdin": "", "stdout": "", "exit_status": 0}, "is no command line"),
    ],
)
def test_checks_that_cannot_be_run_are_left_out_with_the_reason(
    kind: str, fields: dict[str, object], reason: str
) -> None:
    kept, reasons = usable_checks(Checks(checks=[check(**{kind: [fields]})]), {"a.py"})
    assert kept == []
    assert reason in reasons[0]


def test_interfaces() -> None:
    parts = [
        Part(signature="def add(a: int, *rest: int, key: str = '', **more: int) -> int", purpose="p", quote=""),
        Part(signature="class Shop(Base)", purpose="p", quote=""),
    ]
    spec = FileSpec(path="pkg/a.py", purpose="p", depends_on=[], parts=parts)
    design = Design(approach="a", files=[spec], entry_point="", dependencies=[])
    tests = from_design(design, "a function add(a) and more")
    assert tests
    ast.parse(tests.text)
    assert parameters_of(parts[0]) == ["a", "rest", "key", "more"]
    assert "from pkg.a import add" in tests.text
    assert "assert inspect.isclass(Shop)" in tests.text
    assert tests.optional == ("tests/test_interface.py::test_pkg_a_has_shop",) or "Shop" in tests.optional[0]
    bare = spec.model_copy(update={"parts": []})
    assert from_design(design.model_copy(update={"files": [bare]}), "") is None


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "`python roman.py 14` prints `XIV`, `python roman.py 4` prints `IV`.",
            ["python roman.py 14", "python roman.py 4"],
        ),
        ("After `python todo.py add milk`, `python todo.py list` prints `1 milk`.", []),
        ("`python a.py 1` prints `one`. After `python a.py set x`, `python a.py get` prints `x`.", ["python a.py 1"]),
        ('"python hi.py NAME" greets; "python hi.py ann" prints "hi NAME".', []),
    ],
)
def test_examples_of_commands_are_one_session_as_far_as_its_state_is_known(text: str, commands: list[str]) -> None:
    assert [command.command for command in commands_in(text)] == commands


def test_a_value_that_only_occurs_somewhere_is_not_stated() -> None:
    text = 'votes("a b a") returns 2 for at most 3 names. "python v.py list" prints one line per entry such as "1 [ ] buy milk".'
    calls = [Call(imports="from v import votes", expression="votes('a b a')", expected=value) for value in ("2", "3")]
    session = [
        Command(command="python v.py list", stdin="", stdout=said, exit_status=0) for said in ("1", "1 [ ] buy milk")
    ]
    tests = from_checks(Checks(checks=[*(check(calls=[call]) for call in calls), check(commands=session)]), text)
    assert [name.split("::")[1] for name in tests.optional] == ["test_2_t", "test_3_1_v_py_list"]


def test_a_session_ends_with_the_docstring_that_it_stands_in_and_not_with_the_fence_after_it() -> None:
    text = 'Write a.py:\n\n```python\ndef f(n):\n    """Twice n.\n    >>> f(2)\n    4\n    """\n```\n'
    (check,) = calls_in(text, {"f": "a"})
    assert [(call.expression, call.expected) for call in check.calls] == [("f(2)", "4")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("assert slug('A b') == 'a-b', 'lower'", [("", "slug('A b')", "'a-b'")]),
        ("It holds:\n- `assert set(slug(3)) == set([3])`\n", [("", "set(slug(3)) == set([3])", "True")]),
        (
            "assert not slug(0)\nassert slug([\n    1,\n])",
            [("", "not slug(0)", "True"), ("", "bool(slug([1]))", "True")],
        ),
        (
            "assert math.isclose(slug(1), 2.5, rel_tol=0.1)",
            [("import math", "bool(math.isclose(slug(1), 2.5, rel_tol=0.1))", "True")],
        ),
        (f"assert slug(1) == {list(range(70))}", [("", "slug(1)", f"{list(range(70))}")]),
        ("assert Box(slug(1)).n == 2", [("from pkg.slugs import slug", "Box(slug(1)).n", "2")]),
        (
            "assert (\n    slug(1) < 3\n)\nassert (\n    slug(2) < 3\n)",
            [("", "slug(1) < 3", "True"), ("", "slug(2) < 3", "True")],
        ),
        ("assert not slug(1) == 3", [("", "not slug(1) == 3", "True")]),
        ("assert slug('a') == 'a'.upper()", [("", "slug('a') == 'a'.upper()", "True")]),
        ("assert slug(1) is None\n- assert slug(1) is None", [("", "slug(1) is None", "True")]),
        ("assert 3 == slug(1)  # the third", [("", "slug(1)", "3")]),
        ("assert isinstance(slug(1), (int, str))", [("", "bool(isinstance(slug(1), (int, str)))", "True")]),
        ("1. `assert slug(1) == 2`", [("", "slug(1)", "2")]),
        ("slug([1,  # one\n   2]) == 3", [("", "slug([1, 2])", "3")]),
        ("assert sorted(slug(1)) == [2]  # should be [3]", []),
        ("numbers = [1]\nassert slug(numbers) == 6\ninput = 3\nassert slug(input) == 3", []),
        ("slug = slug()\nassert slug.pop(3) == 1", []),
        ("assert all(slug(n) == n for n in range(3))", []),
        ("assert await slug(2) == 4", []),
        ("assert (yield slug(2)) == 3", []),
        ("assert (slug(1) == 2, 'a tuple')", []),
        ("assert slug\nassert slug is not None\nassert callable(slug)\nassert slug() == 1", []),
        ("assert slug(1) == 2; assert slug(2) == 3", []),
        (f"assert slug({'-' * 900}1)", []),
        (f"assert slug({'1' * 400})", []),
        (f"assert slug(1){'(1)' * 380} == 2", []),
        ("assert that slug(3) is well", []),
        ("assert slug(rows) == 3", []),
        ("assert other(3) == 3", []),
        ("assert slug(", []),
    ],
)
def test_lines_that_assert(text: str, found: list[tuple[str, str, str]]) -> None:
    checks = calls_in(text, {"slug": "pkg.slugs", "Box": "pkg.boxes"})
    assert [(check.setup, check.calls[0].expression, check.calls[0].expected) for check in checks] == found


def test_what_must_be_true_is_tested_as_one_side_and_decides(tmp_path: Path) -> None:
    text = (
        "assert set(slug(3)) == set([3])\nassert not slug(0)\n"
        "assert math.isclose(slug(1)[0], 1.01, rel_tol=0.1)\nassert slug(3)"
    )
    checks = calls_in(text, {"slug": "slug"})
    tests = from_checks(Checks(checks=checks), text)
    assert (len(checks), tests.stated, tests.optional) == (4, 4, ())
    (tmp_path / tests.path).parent.mkdir(parents=True)
    (tmp_path / tests.path).write_text(tests.text)
    for body, said in (("[n] if n else []", "4 passed"), ("(n + 7, n)", "3 failed, 1 passed")):
        (tmp_path / "slug.py").write_text(f"def slug(n):\n    return {body}\n")
        done = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
            cwd=tmp_path, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said in done.stdout


@pytest.mark.parametrize("module", ["2048", "über", ""])
def test_a_module_that_cannot_be_imported_has_no_examples(module: str) -> None:
    assert calls_in("assert slug(1) == 2\nslug(2) returns 3", {"slug": module}) == []


def test_a_comment_is_no_part_of_an_input() -> None:
    assert calls_in("def f(n):\n\nInput: n = 5  # five\nOutput: 10\n", {"f": "a"}) == []


def test_what_the_program_calls_as_python_does_is_its_own() -> None:
    (check,) = calls_in("assert sum(parse('1+2')) == 3", {"sum": "lang", "parse": "lang"})
    assert {check.calls[0].imports, check.setup} == {"from lang import sum", "from lang import parse"}


@pytest.mark.parametrize(
    ("expression", "expected", "line"),
    [
        ("f(3), f(4)", "(6, 8)", "assert (f(3), f(4)) == (6, 8)"),
        ("f(3)  # doubled", "6", "assert f(3) == 6"),
        ("f(3) > 2  # big", "True", "assert (f(3) > 2) == True"),
        ("f(3) == 6", "6", "assert f(3) == 6"),
        ("f(3) == 6", "True", "assert (f(3) == 6) == True"),
        ("f([1,  # one\n 2])", "3", "assert f([1, 2]) == 3"),
    ],
)
def test_what_qa_compares_is_one_side_of_the_test(expression: str, expected: str, line: str) -> None:
    call = Call(imports="from a import f", expression=expression, expected=expected)
    kept, _ = usable_checks(Checks(checks=list(as_session([call]))), ())
    assert f"    {line}\n" in from_checks(Checks(checks=kept), "").text


def test_a_check_that_waits_is_left_out() -> None:
    call = Call(imports="from a import f", expression="await f(3)", expected="6")
    kept, reasons = usable_checks(Checks(checks=[check(calls=[call])]), ())
    assert (kept, len(reasons)) == ([], 1)
    assert "waits or yields" in reasons[0]
