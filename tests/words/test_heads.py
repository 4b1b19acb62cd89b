"""What a machine sees before any test runs: heads that the requirement shows, and calls that do not fit."""

import ast

import pytest

from company.artifacts import SourceFile
from company.lint import calls_that_do_not_fit, findings
from company.llm.heads import absent, not_as_shown

SHOWN = '''A module box.py:

```python
class Box:
    """Holds things."""

    def __init__(self, size=3):
        pass

    def add(self, thing, count):
        """Put it in."""


def cut(text: str, width: int = 3):
    """Cut it."""
```
'''


def said(code: str) -> list[str]:
    return not_as_shown(SHOWN, [SourceFile(path="box.py", content=code)])


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("class Box:\n    def __init__(self): pass\n    def add(self, thing, count=1): return 1\ndef cut(a, b): return a",
         ["box.py:2: `def __init__(self)` does not take what the requirement's `def __init__(self, size=3)` takes"]),
        ("class Box:\n    def __init__(self, n): self.n = n\n    def add(self, a, b):\n        '''Put'''\n\ndef cut(text):\n    return text",
         ["box.py:3: `Box.add` is not written out",
          "box.py:6: `def cut(text)` does not take what the requirement's `def cut(text: str, width: int=3)` takes"]),
        ("from other import cut\nclass Box(dict): pass", []),
        ("class Box:\n    pass\nbox = 1",
         ["box.py:1: there is no method `Box.__init__`, and the requirement shows `def __init__(self, size=3)`",
          "box.py:1: there is no method `Box.add`, and the requirement shows `def add(self, thing, count)`",
          "box.py:1: there is no function `cut`, and the requirement shows `def cut(text: str, width: int=3)`"]),
        ("def cut(*a): return a\nBox = dict", []),
        ("def cut(:", []),
    ],
)  # fmt: skip
def test_heads_that_the_requirement_shows(code: str, found: list[str]) -> None:
    assert said(code) == found
    assert not_as_shown(SHOWN, [SourceFile(path="other.py", content=code)]) == []


def test_what_is_absent_is_where_it_belongs() -> None:
    file = SourceFile(path="box.py", content="class Box:\n    def __init__(self, a): pass\n")
    assert list(absent(SHOWN, [file])) == [
        (file, "Box", "def add(self, thing, count)"),
        (file, "", "def cut(text: str, width: int=3)"),
    ]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(a, b=1): pass\nf()\nf(1)\nf(1, 2)\nf(1, 2, 3)\nf(*x)\nf(1, c=2)",
         ["2: `f()` gives 0 arguments, and `f` takes 1 to 2.", "5: `f(1, 2, 3)` gives 3 arguments, and `f` takes 1 to 2."]),
        ("def f(a: int, b: list[int]): pass\nf('1', [])\nf(None, (1,))\nf(True, x)",
         ["2: `a` of `f` is int, and `f('1', [])` gives it `'1'`.", "3: `b` of `f` is list, and `f(None, (1,))` gives it `(1,)`."]),
        ("class A:\n    def f(self, a): return self.f()\n    @staticmethod\n    def g(a): return self.g()",
         ["2: `self.f()` gives 0 arguments, and `f` takes 1."]),
        ("def f(a): pass\ndef g(f): f()", []),
        ("def f(a: 'int | str', **more): pass\nf()", []),
    ],
)  # fmt: skip
def test_calls_that_do_not_fit(code: str, found: list[str]) -> None:
    assert [f"{line}: {text}" for line, text in calls_that_do_not_fit(ast.parse(code))] == found


def test_findings_have_their_lines() -> None:
    code = "import os\n\ndef f():\n    return g('NAME is')\n"
    assert [each.line for each in findings(code, (), {"NAME"})] == [4, 4]


def test_an_argument_that_is_no_value_at_all_is_nobodys_complaint() -> None:
    assert not calls_that_do_not_fit(ast.parse("def f(a: int):\n    return a\n\n\nf({[1]})\n"))
