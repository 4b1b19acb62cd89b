"""Tasks said otherwise: what must stay stays, the judge still fits, and what cannot be varied says so."""

import ast
import random
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make

from company.bench.datasets import load
from company.bench.phrases import ASIDES, BOUND
from company.bench.renaming import mapping, renamed_code
from company.bench.vary import KINDS, vary
from company.bench.wording import CannotVary, Material, lost, prose, protected, sentences
from company.errors import UsageError

CLOSE = Material(
    '''A module solution.py with this function:

```python
from typing import List


def has_close_elements(numbers: List[float], threshold_: float) -> bool:
    """ Check if in given list of numbers, are any two numbers closer to each other than
    given threshold_.
    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)
    False
    >>> has_close_elements([1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3)
    True
    """
```
''',
    judge={
        "test_judge.py": """
METADATA = {'author': 'nobody', 'dataset': 'test'}


def check(candidate):
    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) is True, "é, and then two bytes"
    assert candidate([1.0, 2.0], 0.3) is False


from solution import has_close_elements as _answer


def test_task():
    check(_answer)
    "é"; assert _answer([1.0], threshold_=1.0) is False
"""
    },
    needs="solution.py",
)
CLOSE_REFERENCE = '''"""has_close_elements is here."""
def has_close_elements(numbers, threshold_):
    # has_close_elements looks at every pair
    pairs = [(a, b) for place, a in enumerate(numbers) for b in numbers[place + 1 :]]
    return any(abs(a - b) < threshold_ for a, b in pairs)
'''
COST = Material(
    """A module solution.py with this function:

```python
def min_cost(cost, m, n):
class Pair:
```

Write a function to find the minimum cost path to reach (m, n) from (0, 0) in cost[][]. If m is negative, return 0.
""",
    judge={
        "test_judge.py": r"""
import math
from solution import Pair, min_cost


def test_1():
    assert min_cost([[1, 2], [3, 4]], n=1, m=1) == 5
    assert isinstance(Pair(), Pair)


def test_task():
    exec(compile('grids = [[[1]], [[2]]]\nfor grid in grids:\n\tassert min_cost(grid, 0, 0) == grid[0][0]\nmin_cost([[1]], n=0, m=0)', 'judge', 'exec'), dict(globals()))
"""
    },
    needs="solution.py",
)
COST_REFERENCE = """
class Pair:
    m = n = 0


def min_cost(cost, m, n):
    if m == 0 and n == 0:
        return cost[0][0]
    ways = []
    if m:
        ways.append(min_cost(cost, m=m - 1, n=n))
    if n:
        ways.append(min_cost(cost, m, n - 1))
    if m and n:
        ways.append(min_cost(cost, m - 1, n - 1))
    return cost[m][n] + min(ways)
"""
STACK = Material(
    "In shop/cart.py there is a class `Cart`. Its function `total_of(cart)` counts everything twice: mend total_of.\n",
    given={
        "shop/__init__.py": "from shop.cart import Cart, total_of\n",
        "shop/cart.py": 'class Cart:\n    """A Cart of prices."""\n\n    def __init__(self):\n        self.prices = []\n\n\n'
        'def total_of(cart):\n    """See total_of(cart)."""\n    return 2 * sum(cart.prices)  # total_of\n',
        "README.md": "A shop.\n",
    },
    judge={
        "test_it.py": "import shop.cart as c\nfrom shop import cart\nfrom shop.cart import Cart, total_of\n\n\ndef test_total():\n"
        "    made = Cart()\n    made.prices += [1, 2]\n    assert total_of(made) == cart.total_of(made) == 3\n"
    },
)
STACK_REFERENCE = STACK.given["shop/cart.py"].replace("2 * ", "")


def passes(folder: Path, files: dict[str, str]) -> bool:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    judge = [path for path in files if Path(path).name.startswith("test_")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        ".",
        *judge,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("task", "path", "reference", "names"),
    [
        (CLOSE, "solution.py", CLOSE_REFERENCE, {"has_close_elements", "threshold_"}),
        (COST, "solution.py", COST_REFERENCE, {"min_cost", "Pair", "m", "n"}),
        (STACK, "shop/cart.py", STACK_REFERENCE, {"total_of"}),
    ],
    ids=["docstring", "heads", "given"],
)
def test_the_renamed_reference_passes_the_renamed_judge(
    task: Material, path: str, reference: str, names: set[str], tmp_path: Path
) -> None:
    varied = vary("rename", task, 7)
    table = dict(change.split(" → ") for change in varied.changes)
    assert names <= set(table)
    for old, new in table.items():
        for text in (varied.requirement, *varied.given.values(), *varied.judge.values()):
            if old not in ("m", "n"):
                assert not re.search(rf"(?<!\w){old}(?!\w)", text), f"{old} is left in {text}"
        assert new in varied.requirement
    made = renamed_code(reference, task, table)
    files = {**varied.given, path: made, **varied.judge}
    assert passes(tmp_path / "renamed", files)
    assert passes(tmp_path / "as it was", {**task.given, path: reference, **task.judge})
    assert not passes(tmp_path / "old names", {**files, path: reference}), "the judge really asks for the new names"
    wrong = re.sub(r"return (\S)", r"return None and \1", made)
    assert not passes(tmp_path / "wrong", {**files, path: wrong}), "and it still judges"


@pytest.mark.parametrize("task", [CLOSE, COST, STACK], ids=["docstring", "heads", "given"])
def test_renaming_back_gives_every_text_again(task: Material) -> None:
    for seed in range(5):
        varied = vary("rename", task, seed)
        table = dict(change.split(" → ") for change in varied.changes)

        def back(text: str, table: dict[str, str] = table) -> str:
            for old, new in table.items():
                text = text.replace(new, old)
            return text

        assert back(varied.requirement) == task.requirement
        assert {path: back(text) for path, text in varied.given.items()} == dict(task.given)
        assert {path: back(text) for path, text in varied.judge.items()} == dict(task.judge)
        assert vary("rename", task, seed) == varied
    assert vary("rename", task, 1) != vary("rename", task, 2)


def judged(
    judge: str, requirement: str = "A module m.py with this function:\n\n```python\ndef add_up(xs):\n```\n"
) -> Material:
    return Material(requirement, judge={"test_m.py": f"from m import add_up\n{judge}"}, needs="m.py")


@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        ("def test(): assert getattr(__import__('m'), 'add_up')([1])", "a string holds it"),
        ("def test(): assert f'{add_up([1])}' == '1'", "a formatted string holds it"),
        ("class T:\n    def add_up(self): return add_up([1])", "it stands for something else too"),
        ("import other\ndef test(): other.add_up()", "it stands for something else too"),
        ("from other import add_up", "it stands for something else too"),
        ("def test(add_up): pass", "it stands for something else too"),
        ("def test(: add_up", "a file that does not parse holds it"),
    ],
)
def test_a_name_that_is_not_certain_stays(judge: str, reason: str) -> None:
    with pytest.raises(CannotVary, match=reason):
        vary("rename", judged(judge), 0)


def test_a_file_that_is_no_python_keeps_its_names() -> None:
    task = judged("")
    with pytest.raises(CannotVary, match=r"cases\.json holds it"):
        vary("rename", replace(task, judge={**task.judge, "cases.json": '{"add_up": 1}'}), 0)


@pytest.mark.parametrize(
    "judge",
    [
        "def test(): assert add_up(**{'xs': [1]}) == 1",
        "def run(f): return f(xs=[1])\ndef test(): assert run(add_up) == 1",
        "import inspect\ndef test(): assert list(inspect.signature(add_up).parameters) == ['xs']",
        "def test(): assert 'xs' in add_up.__doc__",
    ],
)
def test_parameters_stay_where_somebody_else_may_know_them(judge: str) -> None:
    table, why = mapping(judged(judge), random.Random(0))
    assert set(table) == {"add_up"}, why
    assert "xs" in why


def test_words_that_may_be_english_stay() -> None:
    text = "Write m.py with `add(first, other)`, which gives the sum. To add two is simple.\n\n```python\ndef add(first, other):\n```\n"
    with pytest.raises(CannotVary, match="add: the requirement may mean the English word"):
        vary("rename", Material(text, judge={"t.py": "from m import add"}, needs="m.py"), 0)
    framed = text.replace("To add two", "The function add")
    table, why = mapping(Material(framed, judge={"t.py": "from m import add"}, needs="m.py"), random.Random(0))
    assert "add" in table, why


def test_modules_and_commands_stay() -> None:
    text = "Write add.py, started with `python add.py 1 2`.\n\n```python\ndef add(a_, b_):\n```\n"
    varied = vary(
        "rename", Material(text, judge={"t.py": "from add import add\nimport add as m\nm.add(1, 2)"}, needs="add.py"), 0
    )
    assert "Write add.py, started with `python add.py 1 2`." in varied.requirement
    assert re.fullmatch(r"from add import (\w+)\nimport add as m\nm\.\1\(1, 2\)", varied.judge["t.py"])


def test_a_command_line_program_has_nothing_to_rename() -> None:
    with pytest.raises(CannotVary, match="it names no function and no class"):
        vary("rename", Material('Write t.py. "python t.py" prints "1".', judge={"acceptance.py": "CHECKS = []"}), 0)


# --- other words ------------------------------------------------------------------------------------------

NOTES = Material(
    """Write notes.py. "python notes.py add TEXT" should return a whole number, at least 1. If the file is empty, return 0. If the text is
too long, print "too long".

- each line is a note
- every note has at most 80 letters

```text
each line is at least 1
```
"""
)


def test_other_words_leave_names_numbers_quotes_and_code_alone() -> None:
    seen = set()
    for seed in range(12):
        varied = vary("paraphrase", NOTES, seed)
        assert lost(NOTES.requirement, varied.requirement) == []
        assert '"python notes.py add TEXT"' in varied.requirement
        assert "```text\neach line is at least 1\n```" in varied.requirement
        assert varied.changes
        assert vary("paraphrase", NOTES, seed) == varied
        seen.add(varied.requirement)
    assert len(seen) > 3
    assert any("Return 0 if the file is empty." in text for text in seen)
    assert any('Print "too long" if the text is\ntoo long.' in text for text in seen)
    assert all("a whole number" in text for text in seen)


def test_other_words_in_a_docstring_and_nowhere_else_in_code() -> None:
    varied = vary("paraphrase", CLOSE, 3)
    assert varied.requirement != CLOSE.requirement
    assert ">>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n" in varied.requirement
    code = re.search(r"```python\n(.*)```", varied.requirement, re.DOTALL)
    assert code
    assert isinstance(ast.parse(code[1]).body[1], ast.FunctionDef)


@pytest.mark.parametrize(
    "text",
    [
        "Nothing here.",
        "If it rains, stay, or if not, go.",
        "If a is 1, b is 2 and c is 3.",
        'It prints "at least 1".',
        "`each line`",
        "All numbers are integers.",
        "It gives an integer, and no whole number.",
        "It takes a number from the list, and takes the sum.",
        "True if it is equal to or above the sum.",
    ],
)
def test_no_rule_fits(text: str) -> None:
    with pytest.raises(CannotVary, match="no rule for other words fits"):
        vary("paraphrase", Material(text), 0)


@pytest.mark.parametrize("form", ["humaneval", "humaneval+", "exercism"])
def test_a_task_is_not_said_otherwise_where_only_our_own_words_around_it_would_be(form: str, tmp_path: Path) -> None:
    name, data = make(tmp_path, form)
    (task,) = load(name, data, lambda text: None)[1]
    with pytest.raises(CannotVary, match="no rule for other words fits"):
        vary("paraphrase", Material(task.requirement), 1)


@pytest.mark.parametrize(
    ("before", "after", "faults"),
    [
        ("`f(1)` is 2 and `f(2)` is 3.", "`f(1)` is 3 and `f(2)` is 2.", ["`f(1)` with `2` is gone", "`f(2)` with `3` is gone", "`f(1)` with `3` is new", "`f(2)` with `2` is new"]),
        (">>> f(1)\n2\n>>> f(2)\n3\n", ">>> f(1)\n3\n>>> f(2)\n2\n", ["`f(1)` with `2` is gone", "`f(2)` with `3` after `f(1)` is gone", "`f(1)` with `3` is new", "`f(2)` with `2` after `f(1)` is new"]),
        ("From 3 to 3.", "From 3 up.", ["`3` is there 1 times, not 2"]),
        ("From 3 up.", "From 3 to 3.", ["`3` is there 2 times, not 1"]),
        ("From 3 to 4.", "From 4 to 3.", []),
        ("```\na\na\n```\n", "```\na\n```\n", ["the line `a` is there 1 times, not 2"]),
        ("`f(1)` returns True.", "`f(1)` gives back True.", []),
        ("`f(1)` is a case that comes to True.", "`f(1)` returns True.", []),
        ("`f(1)` is 2.", "For `f(1)` the result is 2.", []),
        ("`f(1)` raises ValueError.", "`f(1)` ends with ValueError.", []),
        ("`f(1)` returns True.", "`f(1)` gives back what it should.", ["`f(1)` with `True` is gone"]),
        ("`f(1)` gives back what it should.", "`f(1)` returns True.", ["`f(1)` with `True` is new"]),
        ("`f(1)` returns True.", "`f(1)` returns False.", ["`f(1)` with `True` is gone", "`f(1)` with `False` is new"]),
    ],
    ids=["in prose", "in a session", "less often", "more often", "another order", "lines", "a rule's words", "unread before", "a model's words", "an error", "no value", "a value of nobody", "another value"],
)  # fmt: skip
def test_what_must_stay_is_there_as_often_and_an_example_with_its_own_value(
    before: str, after: str, faults: list[str]
) -> None:
    assert lost(before, after) == faults


def test_rules_do_not_refuse_their_own_words_for_an_example() -> None:
    for seed in range(8):
        varied = vary("paraphrase", Material("A module t.py. `f(1)` returns True, and the list is sorted."), seed)
        assert "`f(1)`" in varied.requirement
        assert "True" in varied.requirement


# --- another order ----------------------------------------------------------------------------------------


def test_sentences_move_with_what_hangs_on_them() -> None:
    text = "Write t.py. Blank lines count. Tabs are blanks. They are four wide. Quotes stay."
    seen = {vary("reorder", Material(text), seed).requirement for seed in range(20)}
    assert text not in seen
    assert len(seen) == 5, "three groups"
    for each in seen:
        assert each.startswith("Write t.py. ")
        assert "Tabs are blanks. They are four wide." in each
        assert sorted(each.split()) == sorted(text.split())


def test_lists_and_examples_move_and_code_does_not() -> None:
    text = CLOSE.requirement + "\nRules:\n\n- no floats\n- no loops\n  over pairs\n- no imports\n"
    for seed in range(10):
        varied = vary("reorder", Material(text), seed).requirement
        assert sorted(varied.splitlines()) == sorted(text.splitlines())
        assert "- no loops\n  over pairs\n" in varied
        assert (
            varied.index("def has_close")
            < varied.index("Check if")
            < varied.index(">>>")
            < varied.index('    """\n```')
        )
        assert ">>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n" in varied


@pytest.mark.parametrize(
    "text",
    [
        "One sentence. Two of them.",
        "A. Then B happens. After C comes D.",
        "In this order:\n\n- a\n- b\n",
        "1. one\n2. two\n3. three\n",
        "- take it\n- then go\n",
        "```python\n>>> s = Stack()\n>>> s.push(1)\n>>> s.pop()\n1\n```\n",
        "```python\n>>> tick('a')\n1\n>>> tick('a')\n2\n```\n",
        "```python\nfirst()\nsecond()\n```\n",
        "Three follow. First one. Alpha is:",
        "A module. Add 1 to every number. Multiply every number by 2. Return the sum.",
        "The program must:\n\n- add 1 to every number\n- multiply every number by 2\n- print the sum\n",
        "It does:\n\n- **adds** 1 to every number\n- multiplies every number by 2\n",
        "A module. Finally the sum is doubled. Every number counts. Blanks do not.",
        "A module. If a number is even, return 1. Numbers are whole.",
        "A module. Do not print the sum. Numbers are whole.",
    ],
)
def test_where_order_may_matter_it_stays(text: str) -> None:
    with pytest.raises(CannotVary, match="put in another order"):
        vary("reorder", Material(text), 0)


# --- beside the point -------------------------------------------------------------------------------------


def test_sentences_beside_the_point() -> None:
    for task in (CLOSE, COST, NOTES):
        for seed in range(10):
            varied = vary("distract", task, seed)
            assert 2 <= len(varied.changes) <= 3
            text = varied.requirement
            for change in varied.changes:
                assert text.count(change.removeprefix("added: ")) == 1
                text = text.replace(change.removeprefix("added: "), "")
            assert text.split() == task.requirement.split()
            assert lost(task.requirement, varied.requirement) == []
            assert varied.judge == task.judge
    with pytest.raises(CannotVary, match="empty"):
        vary("distract", Material(" \n"), 0)


def test_asides_speak_of_nothing_that_a_program_has() -> None:
    for aside in ASIDES:
        assert not protected(aside), aside
        assert not re.search(
            r"\b(?:input|output|file|function|test|error|print|return|value|name|number|list)\b", aside
        ), aside
        assert aside.endswith(".")
    assert re.search(BOUND, "and then")


# --- all of them ------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.sampled_from([*"If each a [](){}`\"'.,:\n\t#->", ">>> f(1)", "```", '"""', "def f(x):", "at least 2", "é"]), max_size=30).map(" ".join), st.integers(0, 3))  # fmt: skip
def test_any_text_is_varied_or_refused(kind: str, text: str, seed: int) -> None:
    try:
        varied = vary(kind, Material(text, judge={"t.py": "from m import f\nf(x=1)"}, needs="m.py"), seed)
    except CannotVary as error:
        assert error.hint
    else:
        assert varied.requirement != text
        assert varied.changes
        if kind == "paraphrase":
            assert lost(text, varied.requirement) == []
        if kind == "reorder":
            assert sorted(varied.requirement.split()) == sorted(text.split())


@settings(deadline=None)
@given(st.text(alphabet="aB1 .`\"'()[]\n>-_#e"))
def test_a_text_taken_apart_is_whole(text: str) -> None:
    assert "".join(sentences(text)) == text
    spans = prose(text)
    assert all(one.end <= two.start for one, two in pairwise(spans))
    assert all(span.start < span.end <= len(text) for span in spans)
    assert lost(text, text) == []


def test_an_unknown_variation() -> None:
    with pytest.raises(UsageError, match="there is no variation `translate`"):
        vary("translate", CLOSE, 0)


def test_a_string_that_is_run_in_pieces_is_not_certain() -> None:
    with pytest.raises(CannotVary, match="a string that is run holds it"):
        vary("rename", judged("exec('add_up' '([1])')"), 0)
    varied = vary("rename", judged("exec('\\x41 = 1\\nadd_up([1], \"add\\\\tup\")')"), 0)
    new = varied.changes[0].split(" → ")[1]
    assert varied.judge["test_m.py"] == f"from m import {new}\nexec('\\x41 = 1\\n{new}([1], \"add\\\\tup\")')"


def test_a_parameter_that_a_string_speaks_of_is_not_certain() -> None:
    requirement = (
        "A module solution.py with `root(n)`. It raises ValueError with the message n must be positive.\n\n"
        '```python\ndef root(n):\n    """Root of n."""\n```\n'
    )
    test = "import pytest\nfrom solution import root\n\n\ndef test_a():\n    with pytest.raises(ValueError, match='{}'):\n        root(n=-1)\n"
    for said, stays in (("n must be positive", True), ("negative", False)):
        material = Material(requirement, {}, {"test_a.py": test.format(said)}, "solution.py")
        try:
            varied = vary("rename", material, 1)
        except CannotVary:
            assert stays
            continue
        assert ("root(n)" in varied.requirement or "(n=-1)" in varied.judge["test_a.py"]) is stays
