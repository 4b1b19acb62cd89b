"""Code that a requirement shows with empty functions, written one function at a time; only the model is faked."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from company.artifacts import Part, TestRun
from company.errors import ReplyError, StepFailed
from company.llm.ask import Ask
from company.llm.client import Message, StepLabel
from company.llm.skeleton import fill_in, skeleton_of

SHOWN = '''from math import pi


class Circle:
    """A circle."""

    def __init__(self, radius):
        self.radius = radius

    def area(self):
        """
        >>> Circle(1).area()
        3.141592653589793
        """

    def double(self):
        """Doubles the radius."""


def unit():
    """A circle with a radius of one."""
'''
REQUIREMENT = f"A module circle.py with this, every method written out:\n\n```python\n{SHOWN}```\n"


class Model:
    """Answers by what is asked last; each reply is read as a gateway reads it, three times at the most."""

    def __init__(self, **replies: list[str]) -> None:
        self.replies = replies
        self.talks: list[list[str]] = []

    async def ask(self, ask: Ask, read: Callable[[str], Any]) -> Any:
        self.talks.append([message.content for message in ask.messages])
        fault: ReplyError | None = None
        for reply in self.replies[ask.defines]:
            try:
                return read(reply)
            except ReplyError as error:
                fault = error
        raise StepFailed(f"no usable reply: {fault}") from fault


def question(part: Part | None, module: str, number: int, run: TestRun | None) -> Ask:
    assert part
    text = f"Write {part.signature}, {part.purpose}" if module else f"{REQUIREMENT}\nWrite {part.signature}"
    return Ask(StepLabel("engineer", "draft"), (Message("system", "s"), Message("user", text)), defines=part.name)


def block(text: str) -> str:
    return f"```python\n{text}\n```"


def filled(model: Model) -> str:
    skeleton = skeleton_of(REQUIREMENT)
    assert skeleton
    (file,) = asyncio.run(fill_in(model, question, skeleton, REQUIREMENT))  # type: ignore[arg-type]  # a gateway's one method
    assert file.path == "circle.py"
    assert file.content.endswith("\n")
    return file.content


AREA = "def area(self):\n    return pi * self.radius ** 2"
DOUBLE = "class Circle:\n    def double(self):\n        self.radius = math.prod([2, self.radius])"
UNIT = "def unit():\n    return Circle(1)"


def test_each_function_is_asked_for_in_one_talk_and_keeps_its_words() -> None:
    model = Model(area=[block(AREA)], double=[block(f"import math\n\n{DOUBLE}")], unit=[block(UNIT)])
    content = filled(model)
    space: dict[str, Any] = {}
    exec(content, space)
    circle = space["unit"]()
    circle.double()
    assert circle.area() == space["pi"] * 4
    assert space["Circle"].area.__doc__.strip().startswith(">>> Circle(1).area()")
    assert space["Circle"].__init__.__code__.co_varnames == ("self", "radius")
    assert space["unit"].__doc__ == "A circle with a radius of one."
    assert [len(talk) for talk in model.talks] == [2, 4, 6]
    assert REQUIREMENT in model.talks[2][1]
    assert model.talks[2][2] == block(AREA)
    assert model.talks[2][3:] == [
        "Write def double(self), a method of the class `Circle`",
        block("def double(self):\n    self.radius = math.prod([2, self.radius])"),
        "Write def unit(), a function",
    ]


def test_a_reply_that_leaves_it_empty_again_or_is_about_another_is_none() -> None:
    empty = block(SHOWN)
    model = Model(area=[empty, block(AREA)], double=[block(UNIT), empty], unit=[block(UNIT)])
    content = filled(model)
    assert "return pi * self.radius ** 2" in content
    assert '"""Doubles the radius."""\n\n\ndef unit' in content
    assert [len(talk) for talk in model.talks] == [2, 4, 4]


def test_none_at_all_is_a_failure() -> None:
    with pytest.raises(StepFailed, match="`area` is left empty"):
        filled(Model(area=[block(SHOWN)], double=[""], unit=["no code"]))


@pytest.mark.parametrize(
    "requirement",
    [
        "A function area(radius) in circle.py.",
        "A module a.py:\n\n```python\ndef f():\n    '''Gives one.'''\n```\n",
        "A module a.py:\n\n```python\ndef f():\n    return 1\n\ndef g():\n    return 2\n```\n",
        "Modules a.py and b.py:\n\n```python\ndef f():\n    pass\n\ndef g():\n    pass\n```\n",
        "A module a.py:\n\n```python\ndef f(): ...\n\ndef g(): ...\n\nclass A:\n    class B:\n        def h(self): ...\n```\n",
        "A module a.py:\n\n```python\n@overload\ndef f(x: int): ...\n@overload\ndef f(x: str): ...\ndef f(x):\n    return x\n```\n",
        "A module a.py:\n\n```python\ndef f(): ...\n\ndef öffnen(): ...\n```\n",
    ],
)
def test_what_shows_no_two_empty_functions_of_one_file_is_written_whole(requirement: str) -> None:
    assert skeleton_of(requirement) is None


def test_what_makes_an_object_of_something_is_written_too() -> None:
    code = 'class A:\n    def __init__(self, size):\n        """Keeps it."""\n\n    def get(self): ...\n\nclass B:\n    def __init__(self): ...\n'
    found = skeleton_of(f"A module a.py:\n\n```python\n{code}```\n")
    assert found
    assert [part.signature for part in found.empty.values()] == ["def __init__(self, size)", "def get(self)"]


def test_a_reply_changes_nothing_that_it_was_not_asked_for() -> None:
    more = f"class Circle:\n    def __init__(self, r=1):\n        self.r = r\n\n    def area(self): pass\n\n{UNIT}"
    both = "class Circle:\n    def area(self):\n        return 0\n\n    def double(self):\n        self.radius *= 2"
    content = filled(Model(area=[block(AREA)], double=[block(both)], unit=[block(more)]))
    assert "return pi * self.radius ** 2" in content
    assert "self.radius *= 2" in content
    assert "self.r = r" not in content
    tabs = block("class Circle:\n\tdef double(self):\n\t\tself.radius *= 2")
    assert "Doubles" in filled(
        Model(area=[block(AREA)], double=[tabs, block("def Circle():\n    return 1")], unit=[block(UNIT)])
    )
