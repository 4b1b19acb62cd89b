"""Questions that get no usable reply in their first form: a change as its bare task, QA's calls held to calls, a program from its requirement.

Documents in pieces: `test_fields.py`. What becomes of a run in which no form helps: `tests/engine/`.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from company.artifacts import Call, Change, Checks, Command, Patch, SourceFile
from company.cache import Replies
from company.errors import StepFailed, UsageError
from company.events import Journal, read
from company.llm.ask import Ask
from company.llm.budget import Budget, Spent
from company.llm.client import Message, StepLabel
from company.llm.docstrings import bare, with_docstrings
from company.llm.edits import patched
from company.llm.gateway import Gateway
from company.llm.qa import _Answer, _as_checks
from company.llm.shapes import form
from company.llm.structured import obtain
from company.sop.types import ArtifactType, ListOf, Type
from company.store import Folder
from tests.llm.test_fields import Heard, asked, script

CODE = '''"""Sums."""

import math
from os import path


def area(r):
    """The area.

    r: the radius.
    """
    # a circle's
    return math.pi * r * r


@property
def other(x): return x


class Cart:
    """Things."""

    size = 0

    def add(self, name):
        """Put it in."""
        self.size += 1

    def empty(self):
        "It will."
'''
SYSTEM = Message("system", "You are careful.")
ASK = Ask(StepLabel("edit", "engineer"), (SYSTEM, Message("user", "All of it, long.")), ident="edit#1")


def block(code: str) -> str:
    return f"```python\n{code}```"


def change(what: str, path: str = "sums.py") -> dict[str, Any]:
    return {
        "requirement": "No None.",
        "code": [SourceFile(path="sums.py", content=CODE)],
        "change": Change(action="edit", path=path, what=what),
    }


def test_a_change_that_copies_its_file_is_asked_for_as_its_bare_task(tmp_path: Path) -> None:
    same = block(CODE)
    new = "def area(r):\n    if r is None:\n        raise TypeError('r')\n    return math.pi * r * r\n"
    model, told = Heard(script(same, block(new))), []
    given = change("`area` raises a TypeError for None")
    made, events = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), given, told.append)
    )
    assert isinstance(made, Patch)
    start, end = CODE.index("    # a circle's"), CODE.index("\n\n@property")
    wanted = CODE[:start] + new.split("\n", 1)[1] + CODE[end:]
    assert [file.content for file in made.files] == [wanted], "the docstring stays, and so does all the rest"
    assert told == []
    system, user = model.talks[1]
    assert system == SYSTEM
    shown = "import math\n\n\nfrom os import path\n\n\ndef area(r):\n    # a circle's\n    return math.pi * r * r"
    assert user.content == (
        f"This is in `sums.py` now:\n\n### sums.py\n```python\n{shown}\n```\n\n"
        "Task: `area` raises a TypeError for None\n\nGive one ```python block with the changed `area`."
    )
    assert [event["attempt"] for event in events if event["event"] == "call_finished"] == [1, 2]
    notices = [event["text"] for event in events if event["event"] == "notice"]
    assert notices == ["edit#1: no usable reply after one try; asked in another form"]


def test_what_no_form_brings_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    told: list[str] = []
    made, events = asked(
        tmp_path,
        script(*[block(CODE)] * 6),
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), change("`area` is quicker"), told.append),
    )
    assert made == Patch(files=[SourceFile(path="sums.py", content=CODE)])
    assert told == [
        "edit#1: no usable reply after one try, nor in another form: the reply cannot be applied: it changes nothing; the files stay as they were"
    ]
    assert sum(event["event"] == "call_finished" for event in events) == 4


def test_another_fault_is_told_before_the_form_is_changed(tmp_path: Path) -> None:
    model = Heard(script("No.", "No.", block(CODE), block("def area(r):\n    return 1\n")))
    made, _ = asked(
        tmp_path,
        model,
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), change("`area` is 1"), lambda text: None),
    )
    assert "return 1\n\n\n@property" in made.files[0].content
    assert ["Task: " in talk[-1].content for talk in model.talks] == [False, False, False, True]


def test_a_script_that_ends_inside_the_other_form_is_an_error(tmp_path: Path) -> None:
    given = change("`area` is quicker")
    made, _ = asked(
        tmp_path,
        script(*[block(CODE)] * 2),
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), given, lambda text: None),
    )
    assert isinstance(made, UsageError)


def test_no_other_form_is_begun_that_a_limit_would_end(tmp_path: Path) -> None:
    told: list[str] = []
    made, events = asked(
        tmp_path,
        script(*[block(CODE)] * 6),
        {"calls": 3},
        lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), change("`area` is quicker"), told.append),
    )
    assert isinstance(made, Patch)
    assert "after 3 tries: " in told[0]
    assert sum(event["event"] == "call_finished" for event in events) == 3


def test_qa_is_held_to_calls_where_none_of_its_checks_is_one(tmp_path: Path) -> None:
    def answer(expression: str, expected: str) -> dict[str, Any]:
        call = {"imports": "from sums import area", "expression": expression, "expected": expected}
        return {"calls": [call], "commands": []}

    ask = Ask(StepLabel("tests", "qa"), (SYSTEM, Message("user", "Write checks.")), ident="tests#1")
    model = Heard(script(*[answer("r = 5", "0.5 * 5 = 2")] * 3, answer("area(2)", "12")))
    given = {"requirement": "A module sums.py with `area(r)` and the class `Cart`."}
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ask, ArtifactType("Checks"), given, lambda text: None)
    )
    assert isinstance(made, Checks)
    assert [call.expression for check in made.checks for call in check.calls] == ["area(2)"]
    assert model.talks[3] == ask.messages, "the same question"
    free, narrow = (
        schema["properties"]["calls"]["items"]["properties"] for schema in (model.schemas[0], model.schemas[3])
    )
    assert "pattern" not in free["expression"]
    calls, values = (re.compile(narrow[name]["pattern"]) for name in ("expression", "expected"))
    right = [
        "area(2)",
        "area('a (b', [1, 2], key={'x': (1, 'y)')})",
        "Cart(2).add('pen', 1)",
        "area()",
        "Cart().add()",
        "area(2).real()",
        f"area({[*range(25)]})",
        "area(((1, 2), 3))",
    ]
    wrong = [
        "r = 5",
        "Cart(2)",
        "cart.add('pen')",
        "area('a b)",
        "area(2) == 3",
        'area("a")',
        "area(2",
        "area(\n)",
        "print(area(2))",
    ]
    assert [bool(calls.match(text)) for text in right + wrong] == [True] * len(right) + [False] * len(wrong)
    right = ["12", "-1.5", "True", "None", "'a b'", "[1, (2, 'x')]", "()", "{'a': [1]}", "raises ValueError"]
    wrong = ["0.5 * 5 = 2", "twelve", "'a", "raises an error", "", "[1", "12 apples", "'a' 'b"]
    assert [bool(values.match(text)) for text in right + wrong] == [True] * len(right) + [False] * len(wrong)
    shown = form(model.schemas[3])
    assert "`calls.expression`: a call such as area(…), with plain Python values" in shown
    assert "matches" not in shown, "such patterns are for a decoder"


def test_a_program_is_asked_for_by_its_requirement_alone(tmp_path: Path) -> None:
    model = Heard(script(*["I would rather not."] * 3, block("def area(r):\n    return 3 * r * r\n")))
    given = {"requirement": "A module sums.py with `area(r)`."}
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("SourceFile"), given, lambda text: None)
    )
    assert made == SourceFile(path="sums.py", content="def area(r):\n    return 3 * r * r\n")
    assert model.talks[3] == (
        SYSTEM,
        Message("user", "A module sums.py with `area(r)`.\n\nGive one fenced block with the complete file `sums.py`: no tests, no example of its use."),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("out", "given"),
    [
        (ArtifactType("SourceFile"), {"requirement": "A module sums.py.", "code": SourceFile(path="sums.py", content="x = 1\n")}),
        (ListOf(ArtifactType("SourceFile")), {"requirement": "Modules sums.py and more.py."}),
    ],
)  # fmt: skip
def test_what_the_requirement_alone_would_lose_has_no_other_form(
    tmp_path: Path, out: Type, given: dict[str, Any]
) -> None:
    model = script(*["I would rather not."] * 6)
    made, events = asked(tmp_path, model, use=lambda gateway: obtain(gateway, ASK, out, given, lambda text: None))
    assert isinstance(made, StepFailed)
    assert sum(event["event"] == "call_finished" for event in events) == 3


def test_only_what_the_words_name_is_shown_and_without_docstrings() -> None:
    assert bare(CODE, "`add` counts")[0] == (
        "import math\n\n\nfrom os import path\n\n\nclass Cart:\n\n    size = 0\n\n    def add(self, name):\n"
        "        self.size += 1\n\n    def empty(self):\n        pass"
    )
    assert bare(CODE, "`add` counts, `other` too")[1] == ["other", "Cart"]
    text, names = bare(CODE, "Write what it is for")
    assert (names, '"""' not in text.replace('"""Sums."""', ""), "@property\ndef other" in text) == ([], True, True)
    assert bare("def f(:", "f") == ("def f(:", [])
    assert bare(DEEP, "`f`") == (DEEP, [])
    one = "def f(): 'doc'\n\n\ndef g():\n    'doc'; return 1\n"
    assert bare(one, "") == (one.strip(), []), "a docstring that shares its line stays"


def test_a_docstring_that_a_reply_leaves_out_stays() -> None:
    method = "class Cart:\n    def add(self, name):\n        self.size += 2\n"
    assert with_docstrings(CODE, method) == (
        'class Cart:\n    """Things."""\n    def add(self, name):\n        """Put it in."""\n        self.size += 2\n'
    )
    alone = "def area(r):\n  @cached\n  def inner():\n    return 1\n  return inner()\n"
    doc = 'def area(r):\n  """The area.\n\n  r: the radius.\n  """\n'
    assert with_docstrings(CODE, alone) == doc + alone.split("\n", 1)[1]
    tabs = alone.replace("  ", "\t")
    assert with_docstrings(CODE, tabs) == doc.replace("  ", "\t") + tabs.split("\n", 1)[1]
    assert with_docstrings(with_docstrings(CODE, tabs), alone) == doc + alone.split("\n", 1)[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CODE, "def area(r): return 1\n"),
        (CODE, 'def area(r):\n    """Mine."""\n    return 1\n'),
        (CODE, "def area(:"),
        (CODE, "def fresh():\n    return 1\n"),
        ("def f(:", "def f():\n    return 1\n"),
        ('def f(x):\n    "D."; return 1\n', "def f(x):\n    return 2\n"),
        ('class E(Exception): "Raised."\n', "class E(Exception):\n    code = 1\n"),
        ('def f(x):\n    """D."""\n    return 1\n', "def f(x): \\\n    return 2\n"),
        ("x = " + "-" * 100_000 + "1", "def f():\n    return 1\n"),
        ('def f():\n    """One."""\n\n\ndef f():\n    """Two."""\n', "def f():\n    return 1\n"),
    ],
)
def test_a_docstring_that_has_no_place_is_left_out(old: str, new: str) -> None:
    assert with_docstrings(old, new) == new


def test_a_getter_and_its_setter_keep_their_own_docstrings() -> None:
    def both(*docs: str) -> str:
        get, put = (f'        """{doc}"""\n' if doc else "" for doc in docs)
        return f"class C:\n    @property\n    def x(self):\n{get}        return 1\n\n    @x.setter\n    def x(self, v):\n{put}        self.v = v\n"

    for old in (both("The x.", "Set x."), both("The x.", "")):
        assert with_docstrings(old, both("", "")) == old


def test_a_docstring_can_be_taken_away() -> None:
    files = [SourceFile(path="sums.py", content='def f():\n    """Doc."""\n    return 1\n')]
    without = [SourceFile(path="sums.py", content="def f():\n    return 1\n")]
    assert patched("", files, without, "Remove the documentation of `f`.") == without


def test_what_was_not_shown_is_not_taken_away(tmp_path: Path) -> None:
    old = "LIMIT = 3\n\n\ndef add(x, xs):\n    xs.append(x)\n\n\ndef remove(x, xs):\n    xs.remove(x)\n"
    new = "def add(x, xs):\n    if x in xs:\n        raise ValueError(x)\n    xs.append(x)\n"
    what = "`add` raises ValueError for duplicates up to LIMIT"
    given = {
        "requirement": "add must raise ValueError for duplicates; remove stays as it is.",
        "code": [SourceFile(path="a.py", content=old)],
        "change": Change(action="edit", path="a.py", what=what),
    }
    model = Heard(script(block(old), block(f"{new}\n\nxs = []\nadd(1, xs)\nprint(xs)\n")))
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), given, lambda text: None)
    )
    assert made.files[0].content == old.replace("def add(x, xs):\n    xs.append(x)\n", new)
    assert "LIMIT = 3\n\n\ndef add" in model.talks[1][-1].content
    assert "remove" not in model.talks[1][-1].content


def test_an_ordinary_word_names_no_function() -> None:
    code = "def add(a, b):\n    return a + b\n\n\nif True:\n    def read(p):\n        return p\n"
    assert bare(code, "Add a check that p is a str") == (code.strip(), [])
    assert bare(code, "In `read` add a check, see `add`") == (code.strip(), []), "nobody can say which part is meant"
    assert bare(code.replace("add", "add_up"), "Let add_up give ints")[1] == ["add_up"]


DEEP = "x = " + "+".join(["1"] * 3000) + "\n\n\ndef f(x):\n    return 1\n"


def test_a_file_that_is_too_deep_to_be_read_has_no_other_form(tmp_path: Path) -> None:
    told: list[str] = []
    given = {
        "requirement": "r",
        "code": [SourceFile(path="a.py", content=DEEP)],
        "change": Change(action="edit", path="a.py", what="`f` gives 2"),
    }
    out = ArtifactType("Patch")
    made, events = asked(
        tmp_path, script(*[block(DEEP)] * 3), use=lambda gateway: obtain(gateway, ASK, out, given, told.append)
    )
    assert made.files == given["code"]
    assert told == [
        "edit#1: no usable reply after 3 tries: the reply is nested too deeply to be read; the files stay as they were"
    ]
    assert sum(event["event"] == "call_finished" for event in events) == 3


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_run_that_was_killed_in_the_other_form_goes_on_in_it(tmp_path: Path, killed_after: int) -> None:
    given = change("`area` is quicker")
    good = block("def area(r):\n    return 3 * r * r\n")
    replies = [*[block(CODE)] * 2, block("def area(:"), good]

    def sitting(answers: list[str], spent: int, counted: list[str]) -> tuple[Any, list[str]]:
        journal, model = Journal(tmp_path / "events.jsonl"), script(*answers)
        budget = Budget({"calls": 4}, {model.name: None}, {"": Spent(calls=spent)})
        store = Replies(Folder(tmp_path))
        gateway = Gateway(
            {None: model}, store, budget, journal, temperature=0.0, max_tokens=200, run="r", counted=counted
        )

        async def main() -> Any:
            try:
                return await obtain(gateway, ASK, ArtifactType("Patch"), given, lambda text: None)
            except UsageError as error:
                return error

        try:
            return asyncio.run(main()), [
                event["key"] for event in read(tmp_path / "events.jsonl") if event["event"] == "call_finished"
            ]
        finally:
            journal.close()

    _, keys = sitting(replies[:killed_after], 0, [])
    assert len(keys) == killed_after
    made, _ = sitting(replies[killed_after:], killed_after, keys)
    assert "return 3 * r * r" in made.files[0].content


def test_pieces_leave_no_room_for_the_other_form(tmp_path: Path) -> None:
    """A run at its limit would stop; so it is not begun, and QA's step goes on with the requirement's own examples."""
    told: list[str] = []
    ask = Ask(StepLabel("tests", "qa"), (Message("user", "Write checks."),), ident="tests#1")
    given = {"requirement": "A module sums.py with `area(r)`."}
    made, events = asked(
        tmp_path,
        script(*["nothing"] * 30),
        {"calls": 14},
        lambda gateway: obtain(gateway, ask, ArtifactType("Checks"), given, told.append),
    )
    assert made == Checks(checks=[])
    assert [event["text"].partition(";")[2] for event in events if event["event"] == "notice"] == [
        " asked field by field"
    ]
    assert "nor field by field" in told[0]


def test_a_small_context_asks_anew_without_the_reply_that_fills_it(tmp_path: Path) -> None:
    long = "".join(f"def f{number}(x):\n    return x + {number}\n\n\n" for number in range(90))
    given = {
        "requirement": "r",
        "code": [SourceFile(path="a.py", content=long)],
        "change": Change(action="edit", path="a.py", what="`f7` gives 7"),
    }
    replies = script(*[block(long.replace("return x", "return x x"))] * 3, block("def f7(x):\n    return 7\n"))
    replies.context = 2000
    model = Heard(replies)
    ask = replace(ASK, messages=(SYSTEM, Message("user", long)))
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ask, ArtifactType("Patch"), given, lambda text: None)
    )
    assert "def f7(x):\n    return 7\n" in made.files[0].content
    assert [len(talk) for talk in model.talks] == [2, 2, 2, 2]


SHOP = """LIMIT = 3


@dataclass
class Cart(Base):
    size: int = 0

    def add_item(self, n):
        self.size += n


class Config:
    host = "a"


def area(r):
    return 3 * r * r


def main():
    print(LIMIT)
"""


@pytest.mark.parametrize(
    ("what", "reply", "wanted"),
    [
        (  # a constant that comes with the definition that reads it; no import of the module itself, and none for an example
            "`area` refuses r above 100",
            "import pytest\nimport math as m\nfrom shop import area\n\nMOST = m.inf\n\n\ndef area(r):\n    return r if r > MOST else 0\n\n\nx = area(2)\n",
            ("import math as m\n", "MOST = m.inf\n", "LIMIT = 3\n", "def area(r):\n    return r if r > MOST else 0\n"),
        ),
        (  # what was not shown
            "`area` gives r",
            "def area(r):\n    return r\n\n\ndef main():\n    print(area(2))\n\n\nclass Config:\n    pass\n",
            ("def area(r):\n    return r\n\n\ndef main():\n    print(LIMIT)",),
        ),
        (  # a method by itself
            "`add_item` raises ValueError",
            "def add_item(self, n):\n    raise ValueError(n)\n",
            ("size: int = 0\n\n    def add_item(self, n):\n        raise ValueError(n)\n\n\nclass Config",),
        ),
        (  # a class without its head and its fields
            "`Cart.add_item` raises ValueError",
            "class Cart:\n    def add_item(self, n):\n        raise ValueError(n)\n",
            ("@dataclass\nclass Cart(Base):\n    size: int = 0\n\n    def add_item(self, n):\n        raise ValueError(n)\n",),
        ),
        ("LIMIT becomes 5", "LIMIT = 5\n", ("LIMIT = 5\n\n\n@dataclass",)),
        (
            "`main` prints nothing",
            "### shop.py\n<<<<<<< SEARCH\n    print(LIMIT)\n=======\n    pass\n>>>>>>> REPLACE",
            ("def main():\n    pass\n",),
        ),
    ],
)  # fmt: skip
def test_only_what_was_shown_is_changed(tmp_path: Path, what: str, reply: str, wanted: tuple[str, ...]) -> None:
    given = {
        "requirement": "r",
        "code": [SourceFile(path="shop.py", content=SHOP)],
        "change": Change(action="edit", path="shop.py", what=what),
    }
    text = reply if "SEARCH" in reply else block(reply)
    out = ArtifactType("Patch")
    made, _ = asked(
        tmp_path, script(block(SHOP), text), use=lambda gateway: obtain(gateway, ASK, out, given, lambda told: None)
    )
    content = made.files[0].content
    assert [part for part in wanted if part not in content] == []
    assert ("host" in content, "print(area(2))" in content, "pytest" in content) == (True, False, False)
    assert content.count("def ") == SHOP.count("def ")


def test_a_recording_without_the_other_form_says_what_it_lacks(tmp_path: Path) -> None:
    out = ArtifactType("Patch")
    made, _ = asked(
        tmp_path,
        script(block(CODE)),
        use=lambda gateway: obtain(gateway, ASK, out, change("`area` gives 2"), lambda told: None),
    )
    assert isinstance(made, UsageError)


@pytest.mark.parametrize("size", [500, 1500])
def test_a_repair_that_has_no_room_leads_to_the_other_form(tmp_path: Path, size: int) -> None:
    model = Heard(script("def area(:\n", *["No."] * 2, block("def area(r):\n    return 2\n")))
    model.context = 1100
    ask = replace(ASK, messages=(SYSTEM, Message("user", "word " * size)))
    out = ArtifactType("Patch")
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ask, out, change("`area` gives 2"), lambda told: None)
    )
    if size == 500:
        assert "return 2" in made.files[0].content
    else:
        assert "too many for a context of 1100" in made.message


def test_classes_without_methods_are_no_calls(tmp_path: Path) -> None:
    ask = Ask(StepLabel("tests", "qa"), (SYSTEM, Message("user", "Write checks.")), ident="tests#1")
    code = "class Point:\n    x = 1\n\n\nclass Stack:\n    def push(self, x):\n        pass\n"
    given = {"requirement": "A module shapes.py.", "code": [SourceFile(path="shapes.py", content=code)]}
    call = {"imports": "from shapes import Stack", "expression": "s = 5", "expected": "1"}
    model = Heard(script(*[{"calls": [call], "commands": []}] * 6))
    asked(tmp_path, model, use=lambda gateway: obtain(gateway, ask, ArtifactType("Checks"), given, lambda told: None))
    pattern = model.schemas[3]["properties"]["calls"]["items"]["properties"]["expression"]["pattern"]
    assert (bool(re.match(pattern, "Stack().push(1)")), "Point" in pattern) == (True, False)


def _wanted(*pairs: tuple[str, str]) -> list[Call]:
    return [Call(imports="from a import f", expression=one, expected=two) for one, two in pairs]


def _typed(*lines: tuple[str, int]) -> list[Command]:
    return [Command(command=line, stdin="", stdout="x", exit_status=status) for line, status in lines]


@pytest.mark.parametrize(
    ("calls", "commands", "kept"),
    [
        (_wanted(*((f"f({n})", "'errors'") for n in range(4))), [], 0),
        (_wanted(*((f"f({n})", "'errors'") for n in range(3))), [], 3),
        (_wanted(*((f"{name}(1)", "2") for name in "abcd")), [], 4),
        (_wanted(*((f"f({n})", "True") for n in range(4))), [], 4),
        (_wanted(*((f"f({n})", "raises ValueError") for n in range(4))), [], 4),
        (_wanted(*((f"f({n})", f"{n}") for n in range(4))), [], 4),
        ([], _typed(("python a.py no.txt", 1), ("python a.py no.txt", 1), ("python a.py x", 0)), 2),
        ([], _typed(("python a.py x", 0), ("python a.py in.txt", 0), ("python a.py y", 0)), 1),
        ([], _typed(("python -m my.app 5", 0)), 1),
        ([], _typed(("python a.py FILE", 0)), 0),
    ],
)
def test_what_nobody_worked_out_is_no_check(calls: list[Call], commands: list[Command], kept: int) -> None:
    """One value for all calls; the same command again; success with a file that nobody made."""
    checks = _as_checks(_Answer(calls=calls, commands=commands), '"python a.py FILE" prints the lines of the file.')
    assert sum(len(check.calls) + len(check.commands) for check in checks) == kept


def test_a_program_with_several_commands_may_make_its_files() -> None:
    made = _as_checks(
        _Answer(calls=[], commands=_typed(("python a.py save x.txt", 0))), "`python a.py save FILE` saves"
    )
    assert len(made[0].commands) == 1
