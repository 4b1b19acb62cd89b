"""One function taken over into another module: what comes along, what stays, what cannot be done."""

import ast

import pytest

from company.llm.transplant import Place, functions, transplanted

OLD = '''import os

RATE = 0.2


def given():
    return RATE


class A:
    def __init__(self, size):
        self.size = size

    def area(self):
        """Its area."""
        return 0

    @property
    def tax(self):
        return 1
'''


def test_what_is_needed_comes_along_and_nothing_else() -> None:
    new = """import math, os
from itertools import chain
LIMIT = math.inf
UNUSED = 1


def helper(x):
    return deeper(x)


def deeper(x):
    return min(x, LIMIT)


class A:
    def __init__(self, other):
        self.other = other

    def area(self):
        # exactly
        return helper(self._twice())

    def _twice(self):
        return self.size * 2

    def unasked(self):
        return 3
"""
    made = transplanted(OLD, new, Place("A", "area"))
    space: dict[str, object] = {}
    exec(made, space)
    assert eval("A(4).area()", space) == 8
    assert "# exactly" in made
    assert all(word not in made for word in ("chain", "UNUSED", "unasked", "other", "Its area"))
    assert "def __init__(self, size):" in made


@pytest.mark.parametrize(
    "new",
    [
        "RATE = 9\n\n\ndef given():\n    return 1\n\n\nclass A:\n    def area(self):\n        return RATE\n",
        "import os\n\n\ndef area(self):\n    return RATE\n",
        "class A:\n    def __init__(self):\n        pass\n\n    def tax(self):\n        pass\n\n    def area(self):\n        return RATE\n",
    ],
)
def test_what_is_there_stays_as_it_is(new: str) -> None:
    expected = OLD.replace('        """Its area."""\n        return 0', "        return RATE")
    assert transplanted(OLD.rstrip(), new, Place("A", "area")) == expected


def test_a_decorator_that_is_left_out_stays_and_an_empty_maker_is_filled() -> None:
    made = transplanted(OLD, "def tax(self):\n    return 2\n", Place("A", "tax"))
    assert "    @property\n    def tax(self):\n        return 2" in made
    old = "class A:\n    def __init__(self, n): ...\n\n    def f(self): ...\n"
    new = "class A:\n    def __init__(self, n):\n        self.n = n\n\n    def f(self):\n        return self.n\n"
    assert ast.unparse(ast.parse(transplanted(old, new, Place("A", "f")))) == ast.unparse(ast.parse(new))
    assert "self.n = n" in transplanted("class A:\n    def f(self): ...\n", new, Place("A", "f"))


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("def other(): return 1", LookupError),
        ("class A:\n    def area(self): pass", LookupError),
        ("class A:\n    def area(self): return 1\n    def area(self): return 2", LookupError),
        ("def A(): return 1", LookupError),
        ("class A:\n    def area(self:", SyntaxError),
    ],
)
def test_what_has_no_such_function_gives_none(new: str, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        transplanted(OLD, new, Place("A", "area"))


def test_tabs_and_spaces_do_not_go_together() -> None:
    old = "class A:\n\tdef f(self):\n\t\treturn 1\n\n\tdef g(self):\n\t\treturn 1\n"
    with pytest.raises(SyntaxError):
        transplanted(old, "class A:\n    def f(self):\n        return 2\n", Place("A", "f"))


def test_of_two_with_one_name_nobody_can_say_which() -> None:
    code = "def f(): pass\ndef f(): pass\nclass B:\n    @property\n    def x(self): pass\n    @x.setter\n    def x(self, v): pass\n    def y(self): pass\n"
    assert [*functions(ast.parse(code))] == [Place("B", "y")]
