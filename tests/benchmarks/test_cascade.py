"""The cascade's benchmark asks, judges and counts what it says: a served model, the real sandbox, tasks that stand here."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from tests.fault_server import Behaviour, ok, serving
from tests.scripts_of import load

ROOT = Path(__file__).resolve().parents[2]


cascade_tasks = load("cascade_tasks")
cascade_judge = load("cascade_judge")
cascade_table = load("cascade_table")
cascade = load("cascade")

DOUBLE = {
    "task_id": "Own/0",
    "prompt": 'def double(n: int) -> int:\n    """Twice n.\n    >>> double(2)\n    4\n    """\n',
    "entry_point": "double",
    "canonical_solution": "    return n + n\n",
    "test": "def check(candidate):\n    assert candidate(5) == 10\n    assert candidate(0) == 0\n",
}
LONGEST = {
    "task_id": 7,
    "prompt": "Write a function to find the longest word.",
    "code": "def longest(words):\n    return max(words, key=len)",
    "test_imports": [],
    "test_list": ["assert longest(['a', 'bcd', 'ef']) == 'bcd'"],
}
RIGHT, LUCKY, WRONG = ("def double(n: int) -> int:\n    return " + value for value in ("n * 2", "n * n", "n + 1"))


def humaneval(folder: Path) -> Path:
    path = folder / "HumanEval.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(DOUBLE) + "\n").encode()))
    return path


def reply(code: str) -> Behaviour:
    return ok(f"### solution.py\n```python\n{code}\n```\n")


def test_the_tasks_say_what_the_tests_need_and_nothing_of_the_tests(tmp_path: Path) -> None:
    (tmp_path / "mbpp.json").write_text(json.dumps([LONGEST]))
    (task,) = cascade_tasks.tasks("mbpp", tmp_path)
    assert task.requirement == "Write a function to find the longest word.\n\nIt is `longest(words)` in solution.py."
    assert task.entry == "longest"
    assert "assert" not in task.requirement
    with pytest.raises(AssertionError, match="is in the prompt"):
        cascade_tasks.refuse_secrets(task, task.requirement + " For instance longest(['a',  'bcd', 'ef']).")


def test_replies_are_asked_once_judged_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = humaneval(tmp_path), tmp_path / "small.jsonl"
    monkeypatch.chdir(tmp_path)

    async def ask(model: str, *codes: str) -> int:
        async with serving(*map(reply, codes)) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            for _ in range(2):  # the second time there is nothing left to ask
                assert await cascade.replies("humaneval", data, model, len(codes), 1, out, 0) == 0
        texts = [message["content"] for seen in server.requests for message in seen.body["messages"]]
        assert any("double(2)" in text for text in texts)
        assert not any("candidate" in text or "n + n" in text for text in texts)
        assert [seen.body["temperature"] for seen in server.requests] == [0.0, 0.8, 0.8][: len(codes)]
        return len(server.requests)

    assert asyncio.run(ask("openai:small", WRONG, LUCKY, RIGHT)) == 3
    assert asyncio.run(ask("openai:large", RIGHT)) == 1
    lines = list(cascade.read_lines(out))
    found = {task.name: task for task in cascade_tasks.tasks("humaneval", data)}
    judged = tmp_path / "judged.jsonl"
    for _ in range(2):
        asyncio.run(cascade_judge.judge(found, lines, judged, list(cascade.read_lines(judged)), 1, reference=False))
    told = {(line["model"], line["sample"]): line["verdict"] for line in cascade.read_lines(judged)}
    assert len(judged.read_text().splitlines()) == 4
    seen = {key: (verdict["interface"], verdict["examples"], verdict["right"]) for key, verdict in told.items()}
    assert seen == {
        ("openai:small", 0): ([1, 1], [0, 1], False),
        ("openai:small", 1): ([1, 1], [1, 1], False),  # what the example cannot tell
        ("openai:small", 2): ([1, 1], [1, 1], True),
        ("openai:large", 0): ([1, 1], [1, 1], True),
    }
    assert told["openai:small", 2]["behaviour"] == told["openai:large", 0]["behaviour"]
    assert told["openai:small", 2]["behaviour"] != told["openai:small", 1]["behaviour"]
    small, large = cascade_table.Tier("openai:small", 0.5, 100, 10), cascade_table.Tier("openai:large", 1.5, 50, 5)
    table, picture = cascade_table.tell(list(cascade.read_lines(judged)), small, large)
    rows = {line.split(" | ")[0].strip("| "): line for line in table if line.startswith("| ")}
    assert "| 0.0 [0.0, 0.0] |" in rows["small alone"]
    assert "| 100.0 [100.0, 100.0] |" in rows["cascade, examples, 1 small"]  # both are paid: 2 / 1.5
    assert "| 1.33 [1.33, 1.33] |" in rows["cascade, examples, 1 small"]
    assert "| 0.0 [0.0, 0.0] |" in rows["cascade, examples, 2 small"]  # accepted and wrong
    assert "| 100.0 [100.0, 100.0] |" in rows["router that knows (hidden tests)"]
    assert picture.startswith("<svg ")


def test_code_that_ends_or_hangs_is_wrong_and_harms_no_other(tmp_path: Path) -> None:
    (task,) = cascade_tasks.tasks("humaneval", humaneval(tmp_path))
    codes = [
        "import os\nos._exit(0)\n",
        RIGHT,
        "import sys\ndef double(n):\n    sys.exit(0)\n",
        "def double(n, more):\n    return 2 * n\n",
    ]
    programs = [cascade_judge.Program(task, {"solution.py": code}) for code in codes]
    told = asyncio.run(cascade_judge.verdicts(cascade_judge.choose(), programs))
    assert [verdict["right"] for verdict in told] == [False, True, False, False]
    assert [verdict["interface"][0] for verdict in told] == [0, 1, 1, 0]
