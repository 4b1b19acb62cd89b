"""Data sets of one or two problems in every format, with answers right and wrong. Lines that only a judge has hold `judge_only`.

A long word: two letters also come by chance in a hash or a compressed value of what a run keeps.
"""

import json
from pathlib import Path

HUMANEVAL = {
    "task_id": "Tiny/0",
    "prompt": 'def twice(n: int) -> int:\n    """The double of n.\n    >>> twice(1)\n    2\n    """\n',
    "entry_point": "twice",
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    judge_only_first = candidate(21)\n    assert judge_only_first == 42\n    assert candidate(-3) == twice(-3) == -6, 'judge_only sign'\n",
}
PLUS = HUMANEVAL | {
    "test": (
        "\n\nimport numpy as np\n\ndef check(candidate):\n"
        "    for judge_only_in, judge_only_out in [(21, 42.0), (7, 14.0)]:\n"
        "        assert np.allclose(candidate(judge_only_in), judge_only_out, rtol=1e-07, atol=1e-6)\n"
    )
}
MBPP = {
    "task_id": 7,
    "prompt": "Write a function to double a number.",
    "code": "import math\ndef twice(n):\n    return 2 * n",
    "test_imports": [],
    "test_list": [
        "assert twice(1) == 2",
        "assert twice(21) == 42 # judge_only",
        "assert twice(math.floor(2.5)) == 4 # judge_only",
    ],
}
MBPP_PLUS = MBPP | {
    "test": "import numpy as np\nfor judge_only_n in range(9):\n    assert twice(judge_only_n) == 2 * judge_only_n\n"
}
CLASSEVAL = {
    "task_id": "Tiny_0",
    "skeleton": 'class Counter:\n    def add(self, n):\n        """Add n and return the sum so far."""\n',
    "import_statement": ["import math"],
    "class_name": "Counter",
    "test": (
        "import unittest\n\nclass CounterTestAdd(unittest.TestCase):\n    def test_one(self):\n"
        "        self.assertEqual(Counter().add(41), 41, 'judge_only')\n\n    def test_two(self):\n"
        "        judge_only_made = Counter()\n        judge_only_made.add(41)\n        self.assertEqual(judge_only_made.add(1), 42)\n"
    ),
}
TWICE = "def twice(n):\n    return 2 * n\n"
COUNTER = "class Counter:\n    def __init__(self):\n        self.n = 0\n\n    def add(self, n):\n        self.n += n\n        return self.n\n"
ANSWERS = {
    "humaneval": ("solution.py", TWICE),
    "humaneval+": ("solution.py", TWICE),
    "mbpp": ("solution.py", TWICE),
    "mbpp+": ("solution.py", TWICE),
    "classeval": ("solution.py", COUNTER),
    "exercism": ("two_fold.py", TWICE),
    "projects": ("twice.py", "import sys\nprint(2 * int(sys.argv[1]))\n"),
    "folder": ("solution.py", TWICE),
    "token": ("solution.py", TWICE),
}
"""Format → the file that is asked for, and a right one."""
_DOCS = (Path(__file__).parents[2] / "docs/bench.md").read_text("utf-8")
CHECK = _DOCS.partition("```python\n")[2].partition("```")[0].replace("numbers", "judge_only")
"""The judge of docs/bench.md, which runs what it judges in another process."""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make(folder: Path, form: str) -> tuple[str, Path | None]:
    """A data set of this format: its name for the command, and its `--data`."""
    records = {
        "humaneval": HUMANEVAL, "humaneval+": PLUS, "mbpp": MBPP, "mbpp+": MBPP_PLUS, "classeval": CLASSEVAL,
    }  # fmt: skip
    if form in records:
        path = folder / "set.jsonl"
        write(path, json.dumps([records[form]]) if form == "mbpp" else json.dumps(records[form]) + "\n")
        return form, path
    if form == "exercism":
        place = folder / "track/exercises/practice/two-fold"
        write(place / ".docs/instructions.md", "# Instructions\n\nDouble a number.\n")
        write(place / "two_fold.py", "def twice(n):\n    pass\n")
        write(place / "two_fold_test.py", (
            "import unittest\n\nfrom two_fold import twice\n\n\nclass TwoFoldTest(unittest.TestCase):\n"
            "    def test_it(self):\n        self.assertEqual(twice(21), 42, 'judge_only')\n"
        ))  # fmt: skip
        write(place / ".meta/example.py", "def twice(n):\n    return n + n  # judge_only example\n")
        files = {"solution": ["two_fold.py"], "test": ["two_fold_test.py"], "example": [".meta/example.py"]}
        write(place / ".meta/config.json", json.dumps({"files": files}))
        return form, folder / "track"
    if form == "projects":
        write(folder / "set/twice/requirement.txt", "A program twice.py that prints the double of its argument.\n")
        write(folder / "set/twice/acceptance.py", (
            "from accept import Check, program\n\n"
            "CHECKS = [\n    Check('judge_only one', (program('twice.py', '21', stdout='42'),)),\n"
            "    Check('judge_only two', (program('twice.py', '-1', stdout='-2'),)),\n]\n"
        ))  # fmt: skip
        return form, folder / "set"
    task = folder / "set/double"
    write(task / "requirement.md", "A module solution.py with a function twice(n) that doubles a number.\n")
    if form == "token":
        write(task / "judge/check.py", CHECK)
        write(task / "judge.toml", 'command = "python check.py"\n')
    else:
        write(task / "given/notes.txt", "There is nothing yet.\n")
        write(
            task / "judge/test_twice.py",
            "from solution import twice\n\n\ndef test_judge_only():\n    judge_only = twice(21)\n    assert judge_only == 42\n",
        )
    return str(folder / "set"), None
