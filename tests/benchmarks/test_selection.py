"""The lab of strategies: recorded candidates are judged and run for real, none is asked for."""

import asyncio
import json
from pathlib import Path

from scripts_of import load

from company.bench.tasks import Judge, Task

lab = load("selection")
REQUIREMENT = (
    'A module a.py:\n\n```python\ndef f(text: str) -> str:\n    """Turned round: f("ab") returns "ba"."""\n```\n'
)
JUDGE = "from a import f\n\ndef test_it():\n    assert f('abc') == 'cba'\n"
RIGHT, WRONG, HALF = "text[::-1]", "text", "text[::-1] if len(text) < 3 else text"


def test_strategies_on_what_was_recorded(tmp_path: Path) -> None:
    task = Task("own", "one", REQUIREMENT, Judge("tests", {"test_judge.py": JUDGE}))
    bodies = [WRONG, HALF, RIGHT, "''.join(reversed(text))", RIGHT]
    lines = [
        {"task": "one", "sample": number, "files": [["a.py", f"def f(text):\n    return {body}\n"]]}
        for number, body in enumerate(bodies)
    ]
    home = tmp_path / "examined"
    (drawn,) = asyncio.run(lab.gather([task], lines, {}, home))
    assert drawn.right == [False, False, True, True, True]
    assert [drawn.holds(number) for number in range(5)] == [False, True, True, True, True]
    told = {name: tuple(strategy(drawn)) for name, strategy in lab.STRATEGIES.items()}
    assert told == {
        "first": (False, 1),
        "first whose examples hold": (False, 2),
        "selected of all": (True, 5),
        "until 2 agree": (True, 5),  # of four, two are not more than half
        "until 3 agree": (True, 5),
        "until 4 agree": (True, 5),
        "until 5 agree": (True, 5),
        "until 3 and 85% agree": (True, 5),
        "oracle": (True, 5),
    }
    text = "\n".join(lab.table([drawn], 2))
    assert "| selected of all | 1.0 | 100.0% | 5.00 |" in text
    assert "| examples: 3 agree, more than half | 1 | 1 | 100.0% |" in text
    (line,) = home.read_text().splitlines()
    home.write_text(json.dumps({**json.loads(line), "right": [True] * 5}) + "\n")
    assert asyncio.run(lab.gather([task], lines, {}, home))[0].right == [True] * 5  # what is kept is not run again
