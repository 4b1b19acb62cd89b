"""What is mended, by rule: which function a failing test points at, what its writer sees, which checks are left out."""

import pytest

from company.artifacts import Call, Check, Checks, Part, SourceFile, TestCase, TestRun
from company.assemble import elided, graft
from company.llm.classes import keeping_members, with_method
from company.llm.parts import _about, _places, _suspects
from company.testgen import usable_checks

FILES = [
    SourceFile(
        path="shop/cart.py", content="def total(x):\n    return 1\n\n\nclass Cart:\n    def add(self):\n        pass\n"
    ),
    SourceFile(
        path="main.py", content="def show_all():\n    pass\n\n\ndef main():\n    print('usage: main.py WORD')\n"
    ),
]


def judged(*cases: tuple[str, str, bool]) -> TestRun:
    made = [
        TestCase(id=f"t::{n}", outcome="failed", message=message, required=required, source=source)
        for n, (source, message, required) in enumerate(cases)
    ]
    return TestRun(
        passed=False, cases=made, summary="", output="", problems=[], status="ran", score=0.0, sandbox="bubblewrap"
    )


@pytest.mark.parametrize(
    ("cases", "suspects"),
    [
        ([], []),
        ([("assert total(2) == 1", "E  assert", True)], ["shop/cart.py: total"]),
        ([("run('python main.py')", 'File "/box/main.py", line 3, in main\n  File "/box/shop/cart.py", line 9, in total', True)],
         ["shop/cart.py: total"]),
        ([("assert Cart().add(1)", "shop/cart.py:7: in add\nE  x", True)], ["shop/cart.py: Cart.add"]),
        ([("assert Cart().add(1)", "E  assert", True)], ["shop/cart.py: Cart.add"]),
        ([("assert Cart().pay(1)", "E  AttributeError: 'Cart' object has no attribute 'pay'", True)], ["shop/cart.py: Cart"]),
        ([("assert Cart().add(1)", "shop/cart.py:7: in add\nE  AttributeError: 'Cart' object has no attribute 'pay'", True)],
         ["shop/cart.py: Cart"]),
        ([("run('python main.py')", "E  assert '' == 'x'", True)], ["main.py: main"]),
        ([("run('python main.py add 1')\nrun('python main.py show 1')", "E  assert", True)],
         ["main.py: show_all", "main.py: main"]),
        ([("run('python main.py show 1')", "E     - 1 a\nE     + usage: main.py WORD", True)], ["main.py: main"]),
        ([("x = 1", "E  assert", True)], [""]),
        ([("assert subtotal(2)", "", True)], [""]),
        ([("assert total(1)", "", False), ("assert Cart()", "", True)], ["shop/cart.py: Cart"]),
        ([("assert total(1)", "", False)], ["shop/cart.py: total"]),
    ],
)  # fmt: skip
def test_a_failing_test_points_at_what_is_written_anew(cases: list[tuple[str, str, bool]], suspects: list[str]) -> None:
    assert list(_suspects(judged(*cases), _places(FILES, ""))) == suspects


def test_what_is_shown_of_a_run_is_about_the_part() -> None:
    run = judged(("assert total(2)", "", True), ("assert Cart()", "", True))
    total, cart = (
        Part(signature="def total(x)", purpose="p", quote=""),
        Part(signature="class Cart", purpose="p", quote=""),
    )
    main = Part(signature="def main()", purpose="p", quote="")
    narrowed = [_about(run, part, []) for part in (total, cart, main, None)]
    assert [[case.source for case in each.cases] for each in narrowed if each] == [
        ["assert total(2)"], ["assert Cart()"], ["assert total(2)", "assert Cart()"], ["assert total(2)", "assert Cart()"],
    ]  # fmt: skip


def test_what_points_at_a_part_comes_before_what_speaks_of_it() -> None:
    usage = "E     + usage: main.py WORD"
    run = judged(("run('python main.py add 1')", usage, True), ("run('python main.py show 1')", "E  x", True))
    pointing = _suspects(run, _places(FILES, ""))
    assert list(pointing) == ["main.py: main", "main.py: show_all"]
    narrowed = _about(run, Part(signature="def show_all()", purpose="p", quote=""), pointing["main.py: show_all"])
    assert narrowed
    assert [case.message for case in narrowed.cases] == ["E  x"]


OLD = """import math


class Cart(dict):
    \"\"\"Holds things.\"\"\"

    rate = 2

    def __init__(self):
        self.things = []

    @property
    def size(self):
        return 0

    def add(self, thing):
        return None
"""


@pytest.mark.parametrize(
    ("reply", "there", "gone"),
    [
        ("def add(self, thing):\n    return thing", ["    def add(self, thing):\n        return thing\n", "def size"], ["return None"]),
        (
            "import os\n\nclass Cart:\n  def size(self):\n    return 9\n\n  def add(self, thing):\n    return os.sep\n\n  def more(self):\n    pass",
            ["import os", "class Cart(dict)", "return 0", "    def add(self, thing):\n      return os.sep"],
            ["return 9", "return None"],
        ),
        (
            "def helper():\n    return 1\n\n\ndef _inner(self):\n    return 2\n\n\ndef add(self, thing):\n    return helper() + self._inner()",
            ["\ndef helper():", "    def _inner(self):", "        return helper() + self._inner()"],
            ["return None"],
        ),
        (
            "class Cart:\n    def __init__(self):\n        self.things = {}\n\n    def add(self, thing):\n        return self.things",
            ["self.things = {}", '    """Holds things."""', "rate = 2", "@property"],
            ["self.things = []", "return None"],
        ),
    ],
)  # fmt: skip
def test_a_method_is_put_into_its_class_and_the_others_stay(reply: str, there: list[str], gone: list[str]) -> None:
    made = graft(OLD, with_method(OLD, reply, "Cart", "add"))
    assert compile(made, "made", "exec")
    assert [text for text in there if text not in made] == []
    assert [text for text in gone if text in made] == []
    assert made.count("class Cart") == 1


TWICE = """class Cart:
    @property
    def total(self):
        return 0

    @total.setter
    def total(self, value):
        self.value = value

    @staticmethod
    def parse(text):
        return None


def add(cart):
    return cart.add()
"""


def test_decorators_stay_and_members_of_one_name_are_told_apart() -> None:
    assert [*_places([SourceFile(path="a.py", content=TWICE)], "")] == ["a.py: Cart", "a.py: Cart.parse", "a.py: add"]
    shown = elided(TWICE, "parse", "def parse(text)", "Cart")
    assert "    @staticmethod\n    def parse(text):\n        ...  # left out" in shown
    made = graft(TWICE, with_method(TWICE, "def parse(text):\n    return text", "Cart", "parse"))
    assert "    @staticmethod\n    def parse(text):\n        return text\n" in made
    reply = TWICE.replace("return 0", "return 9")
    made = graft(TWICE, keeping_members(TWICE, reply))
    assert "return 9" in made
    assert "@total.setter" in made
    whole = TWICE.replace("return None", "return 7").replace("def add(cart):", "def parse(cart):")
    assert "        return 7\n" in with_method(TWICE, whole, "Cart", "parse")


def test_lines_inside_a_string_are_not_moved_with_their_method() -> None:
    reply = 'def parse(text):\n    """Says it.\n\n    Twice.\n    """\n    return """usage: todo\n  add NAME\n"""'
    made = with_method(TWICE, reply, "Cart", "parse")
    assert '        return """usage: todo\n  add NAME\n"""' in made
    assert '        """Says it.\n\n        Twice.\n        """' in made


def test_a_method_is_left_out_of_its_class_alone() -> None:
    both = OLD + "\n\ndef add(x):\n    return x\n"
    shown = elided(both, "add", "def add(self, thing)", "Cart")
    assert "    def add(self, thing):\n        ...  # left out\n" in shown
    assert "return None" not in shown
    assert "return x" in shown


@pytest.mark.parametrize(
    ("signature", "expected", "is_kept"),
    [
        ("def f(x) -> int", "5", True), ("def f(x) -> int", "'5'", False), ("def f(x) -> int", "True", False),
        ("def f(x) -> float", "5", True), ("def f(x) -> bool", "1", False), ("def f(x) -> list[str]", "['a']", True),
        ("def f(x) -> list[str]", "{'a': 1}", False), ("def f(x) -> str | None", "5", True), ("def f(x)", "5", True),
        ("def f(x) -> Thing", "5", True), ("def f(x) -> int", "raises ValueError", True),
    ],
)  # fmt: skip
def test_a_check_wants_no_other_type_than_the_signature_gives(signature: str, expected: str, is_kept: bool) -> None:
    call = Call(imports="from a import f", expression="f(1)", expected=expected)
    asked = Checks(checks=[Check(title="t", quote="", calls=[call], commands=[])])
    kept, reasons = usable_checks(asked, {"a.py"}, {"f": Part(signature=signature, purpose="p", quote="")})
    assert bool(kept) is is_kept
    assert is_kept or "returns" in reasons[0]
