"""Questions that get no usable reply in their first form: a change as its bare task, QA's calls held to calls, a program from its requirement.

Documents in pieces: `test_fields.py`. What becomes of a run in which no form helps: `tests/engine/`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from company.artifacts import Change, Checks, Patch, SourceFile
from company.errors import StepFailed, UsageError
from company.llm.ask import Ask
from company.llm.client import Message, StepLabel
from company.llm.docstrings import bare, with_docstrings
from company.llm.edits import patched
from company.llm.structured import obtain
from company.sop.types import ArtifactType, ListOf, Type
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
    model, told = Heard(script(same, same, same, block(new))), []
    given = change("`area` raises a TypeError for None")
    made, events = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), given, told.append)
    )
    assert isinstance(made, Patch)
    start, end = CODE.index("    # a circle's"), CODE.index("\n\n@property")
    wanted = CODE[:start] + new.split("\n", 1)[1] + CODE[end:]
    assert [file.content for file in made.files] == [wanted], "the docstring stays, and so does all the rest"
    assert told == []
    system, user = model.talks[3]
    assert system == SYSTEM
    shown = "import math\n\n\nfrom os import path\n\n\ndef area(r):\n    # a circle's\n    return math.pi * r * r"
    assert user.content == (
        f"This is in `sums.py` now:\n\n### sums.py\n```python\n{shown}\n```\n\n"
        "Task: `area` raises a TypeError for None\n\nGive one ```python block with the changed `area`."
    )
    assert [event["attempt"] for event in events if event["event"] == "call_finished"] == [1, 2, 3, 4]
    notices = [event["text"] for event in events if event["event"] == "notice"]
    assert notices == ["edit#1: no usable reply after 3 tries; asked in another form"]


def test_what_no_form_brings_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    told: list[str] = []
    made, events = asked(
        tmp_path,
        script(*[block(CODE)] * 6),
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), change("`area` is quicker"), told.append),
    )
    assert made == Patch(files=[SourceFile(path="sums.py", content=CODE)])
    assert told == [
        "edit#1: no usable reply after 3 tries, nor in another form: the reply cannot be applied: it changes nothing; the files stay as they were"
    ]
    assert sum(event["event"] == "call_finished" for event in events) == 6


def test_a_script_that_ends_inside_the_other_form_is_an_error(tmp_path: Path) -> None:
    given = change("`area` is quicker")
    made, _ = asked(
        tmp_path,
        script(*[block(CODE)] * 4),
        use=lambda gateway: obtain(gateway, ASK, ArtifactType("Patch"), given, lambda text: None),
    )
    assert isinstance(made, UsageError)


def test_no_other_form_is_begun_that_a_limit_would_end(tmp_path: Path) -> None:
    told: list[str] = []
    made, events = asked(
        tmp_path,
        script(*[block(CODE)] * 6),
        {"calls": 5},
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
    schemas: list[Any] = []
    complete = model.complete

    async def kept(request: Any, on_tokens: Any = None) -> Any:
        schemas.append(request.schema)
        return await complete(request, on_tokens)

    model.complete = kept  # type: ignore[method-assign]
    given = {"requirement": "A module sums.py with `area(r)` and the class `Cart`."}
    made, _ = asked(
        tmp_path, model, use=lambda gateway: obtain(gateway, ask, ArtifactType("Checks"), given, lambda text: None)
    )
    assert isinstance(made, Checks)
    assert [call.expression for check in made.checks for call in check.calls] == ["area(2)"]
    assert model.talks[3] == ask.messages, "the same question"
    free, narrow = (schema["properties"]["calls"]["items"]["properties"] for schema in (schemas[0], schemas[3]))
    assert "pattern" not in free["expression"]
    calls, values = (re.compile(narrow[name]["pattern"]) for name in ("expression", "expected"))
    right = ["area(2)", "area('a (b', [1, 2], key={'x': (1, 'y)')})", "Cart(2).add('pen', 1)", "area()", "Cart().add()"]
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
    assert json.dumps(narrow).count("\\\\\\\\") < 60, "the patterns stay short enough to be shown to a model"


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
    one = "def f(): 'doc'\n\n\ndef g():\n    'doc'; return 1\n"
    assert bare(one, "") == (one.strip(), []), "a docstring that shares its line stays"


def test_a_docstring_that_a_reply_leaves_out_stays() -> None:
    method = "class Cart:\n    def add(self, name):\n        self.size += 2\n"
    assert with_docstrings(CODE, method) == (
        'class Cart:\n    """Things."""\n    def add(self, name):\n        """Put it in."""\n        self.size += 2\n'
    )
    alone = "def area(r):\n  @cached\n  def inner():\n    return 1\n  return inner()\n"
    assert with_docstrings(CODE, alone) == (
        'def area(r):\n  """The area.\n\n  r: the radius.\n  """\n' + alone.split("\n", 1)[1]
    )
    for same in (
        "def area(r): return 1\n",
        'def area(r):\n    """Mine."""\n    return 1\n',
        "def area(:",
        "def new():\n    return 1\n",
    ):
        assert with_docstrings(CODE, same) == same
    assert with_docstrings("def f(:", alone) == alone
    files = [SourceFile(path="sums.py", content='def f():\n    """Doc."""\n    return 1\n')]
    without = [SourceFile(path="sums.py", content="def f():\n    return 1\n")]
    assert patched("", files, without, "Leave the docstrings out.") == without
