"""A program from the functions of several, where none of them holds all examples; in a real sandbox."""

import asyncio
from collections.abc import Sequence

import pytest

from company.artifacts import Call, Check, Checks, Selection, SourceFile
from company.recombined import Program, Worth, recombined
from company.sandbox import choose
from company.selection import select

REQUIREMENT = """A module shop.py with this class:

```python
class Till:
    def add(self, price):
        \"\"\"Adds a price, and gives how many there are.
        >>> till.add(5)
        1
        \"\"\"

    def total(self):
        \"\"\"
        >>> till.total()
        0
        \"\"\"
```
"""
HEAD = "class Till:\n    def __init__(self):\n        self.prices = []\n\n"
ADDS = "    def add(self, price):\n        self.prices.append(price)\n        return len(self.prices)\n\n"
NO_ADDS = "    def add(self, price):\n        return price\n\n"
SUMS = "    def total(self):\n        return sum(self.prices)\n"
NO_SUMS = "    def total(self):\n        return len(self.prices) - 1\n"
SUMS_EXACTLY = "    def total(self):\n        return whole(fsum(self.prices))\n"
NEEDED = (
    "import os\nfrom math import fsum\n\n\ndef whole(number):\n    return int(number)\n\n\ndef other():\n    pass\n\n\n"
)


def program(text: str) -> list[SourceFile]:
    return [SourceFile(path="shop.py", content=text)]


def stated() -> Checks:
    calls = [("till.add(5)", "1"), ("till.total()", "0")]
    made = [Call(imports="from shop import Till", expression=text, expected=value) for text, value in calls]
    return Checks(
        checks=[Check(title=one.expression, quote="", setup="till = Till()", calls=[one], commands=[]) for one in made]
    )


def chosen(*texts: str) -> Selection:
    return asyncio.run(select(choose(), [[program(text) for text in texts], stated()], REQUIREMENT, 60.0))


def test_what_each_does_right_is_put_together_and_agrees_with_nobody() -> None:
    found = chosen(HEAD + ADDS + NO_SUMS, HEAD + NO_ADDS + SUMS)
    assert found.files == program(HEAD + ADDS + SUMS)
    assert (found.stated, found.holds, found.agreeing, found.candidates, found.share) == (2, True, 1, 2, 0.5)
    assert found.summary == "put together from 2 candidates, 2 of 2 examples hold"


def test_a_function_brings_along_what_it_needs_and_no_more() -> None:
    (file,) = chosen(HEAD + ADDS + NO_SUMS, NEEDED + HEAD + NO_ADDS + SUMS_EXACTLY).files
    assert "from math import fsum" in file.content
    assert "def whole(number):" in file.content
    assert "import os" not in file.content
    assert "def other" not in file.content
    assert ADDS.strip() in file.content


def test_a_program_that_holds_all_stays_as_it_is() -> None:
    found = chosen(HEAD + NO_ADDS + SUMS, HEAD + ADDS + SUMS)
    assert (found.files, found.holds) == (program(HEAD + ADDS + SUMS), True)
    assert found.summary.endswith("inputs, 2 of 2 examples hold")


def test_where_nothing_is_gained_the_best_of_them_is_taken() -> None:
    found = chosen(
        HEAD + ADDS + NO_SUMS, HEAD + NO_ADDS + NO_SUMS, "class Till:\n    def total(self): pass\n", "no python("
    )
    assert (found.files, found.holds) == (program(HEAD + ADDS + NO_SUMS), False)


def test_what_the_failing_calls_do_not_reach_is_left_alone() -> None:
    tried: list[Program] = []

    async def weigh(programs: Sequence[Program]) -> list[Worth]:
        tried.extend(programs)
        return [(int("return 2" in each["a.py"]),) for each in programs]

    first = {"a.py": "def f():\n    return helper()\n\n\ndef helper():\n    return 1\n\n\ndef g():\n    return 1\n"}
    second = {"a.py": first["a.py"].replace("return 1", "return 2")}
    made = asyncio.run(recombined([first, second], 0, weigh, ["f()"]))
    assert made == {"a.py": first["a.py"].replace("helper():\n    return 1", "helper():\n    return 2")}
    assert all("def g():\n    return 1" in each["a.py"] for each in tried)


RAISES = "    def total(self):\n        raise NotImplementedError\n"


def test_those_that_lent_their_functions_are_no_witnesses() -> None:
    found = chosen(*[HEAD + ADDS + RAISES] * 7, HEAD + NO_ADDS.replace("return price", "raise TypeError") + SUMS)
    assert (found.holds, found.candidates, found.agreeing, found.share) == (True, 8, 1, 0.125)
    assert found.set_aside == []


@pytest.mark.parametrize(
    "odd",
    [
        (HEAD + ADDS + RAISES).replace("    ", "\t"),
        HEAD + ADDS + "    def total(self):\n        return " + " + ".join(["1"] * 3000) + "\n",
        "from shop import *\n" + HEAD + ADDS + ADDS + RAISES,
    ],
)
def test_odd_programs_end_no_run(odd: str) -> None:
    found = chosen(odd, HEAD + NO_ADDS + NO_SUMS)
    assert (found.stated, found.agreeing) == (2, 1)


def test_for_commands_and_operators_every_function_may_be_reached() -> None:
    async def weigh(programs: Sequence[Program]) -> list[Worth]:
        return [(each["a.py"].count("return 2"),) for each in programs]

    first = {"a.py": "def f():\n    return 1\n\n\nclass V:\n    def __add__(self, other):\n        return 1\n"}
    second = {"a.py": first["a.py"].replace("return 1", "return 2")}
    assert asyncio.run(recombined([first, second], 0, weigh, [""])) == second
    added = asyncio.run(recombined([first, second], 0, weigh, ["V() + V()"]))
    assert added == {"a.py": first["a.py"].replace("other):\n        return 1", "other):\n        return 2")}


def test_each_function_has_its_turn_among_many_versions() -> None:
    async def weigh(programs: Sequence[Program]) -> list[Worth]:
        return [(each["a.py"].count("return -1"),) for each in programs]

    names = [f"f{number}" for number in range(9)]

    def made(number: int) -> Program:
        last = f"def last():\n    return {-1 if number == 3 else number}\n"
        return {"a.py": "".join(f"def {name}():\n    return {number}\n\n\n" for name in names) + last}

    found = asyncio.run(recombined([made(number) for number in range(20)], 0, weigh, [f"{' '.join(names)} last"]))
    assert found == {"a.py": made(0)["a.py"].replace("last():\n    return 0", "last():\n    return -1")}
